//! Reading: every record is checked against the chain before anybody sees it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::append::hash_at;
use super::connection::unreachable;
use super::database::Database;
use super::head::{number_of, seq_of};
use super::kinds::{Kind, Kinds};
use crate::model::{AppendId, At, Content, EncodedRef, Event, Record, RecordHash, Seq};
use crate::store::StoreError;

const SELECT: &str = "SELECT seq, kind, idx, append, at, json, hash FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2";

/// Checked records that are not decoded yet: whoever asked for them does that, so that the next page can be read meanwhile.
#[derive(Default)]
pub(super) struct Page {
    rows: Vec<Stored>,
    /// The payloads, one after the other.
    json: Vec<u8>,
}

struct Stored {
    seq: Seq,
    at: At,
    append: AppendId,
    hash: RecordHash,
    kind: Arc<Kind>,
    json_end: usize,
}

impl Page {
    /// The records with their events.
    pub(super) fn decode(&self) -> Vec<Record> {
        let mut start = 0;
        let record = |row: &Stored| {
            let json = &self.json[start..row.json_end];
            start = row.json_end;
            let content = Event::decode(&row.kind.name, row.kind.version, json);
            let content = content.map_or_else(Content::Unknown, Content::Known);
            Record { seq: row.seq, at: row.at, append: row.append, hash: row.hash, content }
        };
        self.rows.iter().map(record).collect()
    }
}

impl Database {
    /// Up to `limit` records after `after`.
    pub(super) fn read(&mut self, after: Seq, limit: usize) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let outcome = self.scan(after, limit, |place, kind, json| {
            page.json.extend_from_slice(json);
            page.rows.push(Stored {
                seq: place.seq,
                at: place.at,
                append: place.append,
                hash: place.hash,
                kind: Arc::clone(kind),
                json_end: page.json.len(),
            });
        });
        match outcome {
            Ok(_) => Ok(page),
            Err(error @ StoreError::Corrupt { .. }) if after != Seq::START => {
                // The page hangs on a record that this read did not check: the first bad one may stand before it.
                self.scan(Seq::START, usize::MAX, |_, _, _| ())?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Walks over up to `limit` records after `after`, checking each. Returns where it stopped, if there were any.
    pub(super) fn scan(
        &mut self,
        after: Seq,
        limit: usize,
        mut each: impl FnMut(&Place, &Arc<Kind>, &[u8]),
    ) -> Result<Option<Place>, StoreError> {
        let connection = &self.connection;
        let mut statement = connection.prepare_cached(SELECT).map_err(unreachable)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query([number_of(after), limit]).map_err(unreachable)?;
        let mut place: Option<Place> = None;
        let mut last_kind: Option<(i64, Arc<Kind>)> = None;
        loop {
            let before = place.as_ref().map_or(after, |place| place.seq);
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) if is_damage(&error) => return Err(corrupt(before.next(), &error.to_string())),
                Err(error) => return Err(unreachable(error)),
            };
            let current = match place.as_mut() {
                Some(place) => place,
                None => place.insert(Place::of(connection, after)?),
            };
            let (kind, json) = current.step(connection, &mut self.kinds, &mut last_kind, row)?;
            each(current, &kind, json);
        }
        Ok(place)
    }
}

/// Where a walk along the chain stands: what the next record is checked against.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) seq: Seq,
    pub(super) hash: RecordHash,
    at: At,
    append: AppendId,
    /// Place of the record in its append; none before the first record.
    index: Option<u32>,
}

impl Place {
    /// Right after the record `after`, which is taken as it is.
    fn of(connection: &Connection, after: Seq) -> Result<Self, StoreError> {
        let start = Self {
            seq: after,
            hash: RecordHash::START,
            at: At::default(),
            append: AppendId::from_bytes([0; 16]),
            index: None,
        };
        if after == Seq::START {
            return Ok(start);
        }
        let Some(hash) = hash_at(connection, after)? else {
            return Err(corrupt(after, "it is missing, or its hash is"));
        };
        let context = || {
            let mut statement = connection.prepare_cached(
                "SELECT r.idx, f.append, f.at FROM record r JOIN record f ON f.seq = r.seq - r.idx WHERE r.seq = ?1",
            )?;
            statement
                .query_row([number_of(after)], |row| {
                    Ok((row.get::<_, u32>(0), row.get::<_, [u8; 16]>(1), row.get::<_, i64>(2)))
                })
                .optional()
        };
        match context().map_err(unreachable)? {
            Some((Ok(index), Ok(id), Ok(at))) => Ok(Self {
                hash,
                at: At::from_micros(at),
                append: AppendId::from_bytes(id),
                index: Some(index),
                ..start
            }),
            _ => Err(corrupt(after, "its append is missing")),
        }
    }

    /// Moves on to the next record, which is this row.
    fn step<'a>(
        &mut self,
        connection: &Connection,
        kinds: &mut Kinds,
        last_kind: &mut Option<(i64, Arc<Kind>)>,
        row: &'a Row<'_>,
    ) -> Result<(Arc<Kind>, &'a [u8]), StoreError> {
        let seq = self.seq.next();
        let wrong = |why: &str| corrupt(seq, why);
        if row.get::<_, i64>(0).map(seq_of).map_err(|error| wrong(&error.to_string()))? != seq {
            return Err(wrong("it is missing"));
        }
        let index: u32 = row.get(2).map_err(|_| wrong("its place in the append is no number of a place"))?;
        let id =
            row.get_ref(3).and_then(|value| Ok(value.as_blob_or_null()?)).map_err(|error| wrong(&error.to_string()))?;
        let at =
            row.get_ref(4).and_then(|value| Ok(value.as_i64_or_null()?)).map_err(|error| wrong(&error.to_string()))?;
        match (index, id, at) {
            (0, Some(id), Some(at)) => {
                let id = id.try_into().map_err(|_| wrong("its append id is not 16 bytes long"))?;
                self.append = AppendId::from_bytes(id);
                self.at = At::from_micros(at);
            }
            (1.., None, None) if self.index.is_some_and(|last| last.checked_add(1) == Some(index)) => {}
            _ => return Err(wrong("its place in the append does not follow")),
        }
        let number: i64 = row.get(1).map_err(|error| wrong(&error.to_string()))?;
        let kind = match last_kind {
            Some((known, kind)) if *known == number => Arc::clone(kind),
            _ => {
                let kind = kinds.kind(connection, number).map_err(|error| wrong(&error.to_string()))?;
                let kind = kind.ok_or_else(|| wrong("its kind is missing"))?;
                *last_kind = Some((number, Arc::clone(&kind)));
                kind
            }
        };
        let json = row.get_ref(5).and_then(|value| Ok(value.as_blob()?)).map_err(|error| wrong(&error.to_string()))?;
        let stored =
            row.get_ref(6).and_then(|value| Ok(value.as_blob()?)).map_err(|error| wrong(&error.to_string()))?;
        let event = EncodedRef { kind: &kind.name, version: kind.version, json };
        let hash = self.hash.next_of(seq, self.at, self.append, index, event);
        if stored != hash.0 {
            return Err(wrong("it is not what was appended: its hash does not fit"));
        }
        self.seq = seq;
        self.hash = hash;
        self.index = Some(index);
        Ok((kind, json))
    }
}

fn corrupt(seq: Seq, why: &str) -> StoreError {
    StoreError::Corrupt { seq, why: why.to_owned() }
}

/// Whether SQLite itself found the file damaged.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
