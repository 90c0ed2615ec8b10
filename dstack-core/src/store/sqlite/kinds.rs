//! Kinds of events as small numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

/// A kind of event and the version of its payload's form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) version: u32,
}

/// The numbers that are known so far: a number never changes its meaning.
#[derive(Default)]
pub(super) struct Kinds {
    by_id: BTreeMap<i64, Arc<Kind>>,
    /// For each name, numbers by version.
    by_name: BTreeMap<String, BTreeMap<u32, i64>>,
}

impl Kinds {
    /// The kind with this number, if the file has one.
    pub(super) fn kind(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<Option<Arc<Kind>>> {
        if let Some(kind) = self.by_id.get(&id) {
            return Ok(Some(Arc::clone(kind)));
        }
        let mut statement = connection.prepare_cached("SELECT name, version FROM kind WHERE id = ?1")?;
        let found = statement
            .query_row([id], |row| Ok(Kind { name: row.get(0)?, version: row.get(1)? }))
            .optional()?
            .map(Arc::new);
        if let Some(kind) = &found {
            self.by_id.insert(id, Arc::clone(kind));
        }
        Ok(found)
    }

    /// The number of a kind, given out now if there is none. Only within a write transaction: when that fails, call
    /// [`Kinds::forget`].
    pub(super) fn id(&mut self, connection: &Connection, name: &str, version: u32) -> rusqlite::Result<i64> {
        if let Some(id) = self.by_name.get(name).and_then(|versions| versions.get(&version)) {
            return Ok(*id);
        }
        let mut find = connection.prepare_cached("SELECT id FROM kind WHERE name = ?1 AND version = ?2")?;
        let id = match find.query_row(params![name, version], |row| row.get(0)).optional()? {
            Some(id) => id,
            None => connection
                .prepare_cached("INSERT INTO kind (name, version) VALUES (?1, ?2)")?
                .insert(params![name, version])?,
        };
        self.by_name.entry(name.to_owned()).or_default().insert(version, id);
        Ok(id)
    }

    /// Forgets what a transaction that was rolled back may have given out.
    pub(super) fn forget(&mut self) {
        self.by_name.clear();
    }
}
