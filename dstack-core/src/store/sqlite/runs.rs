//! Runs by name.

use rusqlite::{Row, params};

use super::connection::unreachable;
use super::database::Database;
use super::head::seq_of;
use crate::model::{Name, RunId};
use crate::store::{RunRow, StoreError};

impl Database {
    /// Runs of this name or all, newest first.
    pub(super) fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match name {
            Some(name) => self
                .connection
                .prepare_cached("SELECT seq, id, name FROM run WHERE name = ?1 ORDER BY seq DESC LIMIT ?2")
                .and_then(|mut query| query.query_map(params![name.as_str(), limit], fields)?.collect()),
            None => self
                .connection
                .prepare_cached("SELECT seq, id, name FROM run ORDER BY seq DESC LIMIT ?1")
                .and_then(|mut query| query.query_map([limit], fields)?.collect()),
        };
        let rows: Vec<(i64, i64, String)> = rows.map_err(unreachable)?;
        rows.into_iter().map(run_row).collect()
    }
}

pub(super) fn fields(row: &Row<'_>) -> rusqlite::Result<(i64, i64, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

pub(super) fn run_row((seq, id, name): (i64, i64, String)) -> Result<RunRow, StoreError> {
    let submitted = seq_of(seq);
    let name = name
        .parse()
        .map_err(|_| StoreError::Corrupt { seq: submitted, why: "its run's name in the index is none".to_owned() })?;
    Ok(RunRow { run: RunId::from_bits(id.cast_unsigned()), name, submitted })
}
