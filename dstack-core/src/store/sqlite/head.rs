//! The newest record, and log time.

use rusqlite::{Connection, OptionalExtension};

use super::connection::unreachable;
use super::database::Database;
use crate::clock::Clock;
use crate::model::{At, RecordHash, Seq};
use crate::store::{Head, StoreError};

/// The last record and the time of its append, which stands with the append's first record; the newest clock step.
const NEWEST: &str = "
    SELECT r.seq, r.hash, coalesce(r.at, (SELECT f.at FROM record f WHERE f.seq = r.seq - r.idx)),
           coalesce((SELECT offset_us FROM step ORDER BY seq DESC LIMIT 1), 0)
    FROM record r ORDER BY r.seq DESC LIMIT 1";

impl Database {
    /// The newest record's place and hash, and log time now.
    pub(super) fn head(&self) -> Result<Head, StoreError> {
        newest(&self.connection, &*self.clock)
    }
}

pub(super) fn newest(connection: &Connection, clock: &dyn Clock) -> Result<Head, StoreError> {
    let mut statement = connection.prepare_cached(NEWEST).map_err(unreachable)?;
    let row = statement
        .query_row([], |row| {
            Ok((seq_of(row.get(0)?), row.get::<_, [u8; 32]>(1), row.get::<_, Option<i64>>(2)?, row.get::<_, i64>(3)?))
        })
        .optional()
        .map_err(unreachable)?;
    let Some((seq, hash, at, offset_us)) = row else {
        return Ok(Head { seq: Seq::START, hash: RecordHash::START, now: At::from_micros(clock.wall_micros()) });
    };
    let corrupt = |why: &str| StoreError::Corrupt { seq, why: why.to_owned() };
    let hash = RecordHash(hash.map_err(|_| corrupt("its hash is not 32 bytes long"))?);
    let at = At::from_micros(at.ok_or_else(|| corrupt("its time is missing"))?);
    Ok(Head { seq, hash, now: at.max(At::from_micros(clock.wall_micros().saturating_add(offset_us))) })
}

/// The place of a row with this number; numbers below 0 are no places.
pub(super) fn seq_of(number: i64) -> Seq {
    Seq::new(u64::try_from(number).unwrap_or(0))
}

/// The number of a place's row; a place beyond what SQLite can count is its last.
pub(super) fn number_of(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}
