//! What has left the state: a cache beside the snapshots.

use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

use super::append::hash_at;
use super::connection::unreachable;
use super::database::Database;
use super::head::{number_of, seq_of};
use crate::model::{RecordHash, RunnerId, Seq};
use crate::store::{Past, PastId, Snapshot, StoreError};

/// How hard bytes are compressed: the least, which is four to ten times on what repeats itself as much as these do.
const LEVEL: i32 = 1;
/// Of a row that is a run's.
const RUN: i64 = 1;
/// Of a row that is a runner's.
const RUNNER: i64 = 2;

/// A row as it is stored.
struct Row {
    id: i64,
    seq: i64,
    hash: Vec<u8>,
    bytes: Vec<u8>,
    digest: Vec<u8>,
}

impl Database {
    /// The bytes that were kept of it, as they were.
    pub(super) fn load_past(&self, version: u32, id: PastId) -> Result<Option<Vec<u8>>, StoreError> {
        let (kind, number) = key_of(id);
        let row = self
            .connection
            .prepare_cached(
                "SELECT id, seq, hash, bytes, digest FROM past WHERE version = ?1 AND kind = ?2 AND id = ?3",
            )
            .and_then(|mut query| query.query_row(params![version, kind, number], fields).optional())
            .map_err(unreachable)?;
        let Some(row) = row else { return Ok(None) };
        self.bytes_of(version, kind, row)
    }

    /// Runners, the last to be kept first.
    pub(super) fn past_runners(&self, version: u32, limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<Row> = self
            .connection
            .prepare_cached(
                "SELECT id, seq, hash, bytes, digest FROM past NOT INDEXED WHERE version = ?1 AND kind = ?2
                 ORDER BY place DESC LIMIT ?3",
            )
            .and_then(|mut query| query.query_map(params![version, RUNNER, limit], fields)?.collect())
            .map_err(unreachable)?;
        let mut runners = Vec::with_capacity(rows.len());
        for row in rows {
            let id = RunnerId::from_bits(row.id.cast_unsigned());
            runners.extend(self.bytes_of(version, RUNNER, row)?.map(|bytes| (id, bytes)));
        }
        Ok(runners)
    }

    /// The bytes of a row, unless it was changed, or is of another log.
    fn bytes_of(&self, version: u32, kind: i64, row: Row) -> Result<Option<Vec<u8>>, StoreError> {
        let Ok(hash) = row.hash.try_into().map(RecordHash) else { return Ok(None) };
        let seq = seq_of(row.seq);
        let digest = digest_of(version, (kind, row.id), seq, hash, &row.bytes);
        let fits = row.digest == digest && hash_at(&self.connection, seq)? == Some(hash);
        Ok(if fits { zstd::decode_all(row.bytes.as_slice()).ok() } else { None })
    }
}

/// Keeps these beside a snapshot.
pub(super) fn insert(transaction: &Transaction<'_>, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError> {
    let mut statement = transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO past (version, kind, id, seq, hash, bytes, digest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .map_err(unreachable)?;
    for one in past {
        let (kind, id) = key_of(one.id);
        let Ok(bytes) = zstd::encode_all(one.bytes.as_slice(), LEVEL) else { continue };
        let digest = digest_of(snapshot.version, (kind, id), snapshot.seq, snapshot.hash, &bytes);
        let (seq, hash) = (number_of(snapshot.seq), snapshot.hash.0.as_slice());
        statement
            .execute(params![snapshot.version, kind, id, seq, hash, bytes, digest.as_slice()])
            .map_err(unreachable)?;
    }
    Ok(())
}

const fn key_of(id: PastId) -> (i64, i64) {
    match id {
        PastId::Run(id) => (RUN, id.to_bits().cast_signed()),
        PastId::Runner(id) => (RUNNER, id.to_bits().cast_signed()),
    }
}

fn fields(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row { id: row.get(0)?, seq: row.get(1)?, hash: row.get(2)?, bytes: row.get(3)?, digest: row.get(4)? })
}

fn digest_of(version: u32, (kind, id): (i64, i64), seq: Seq, hash: RecordHash, bytes: &[u8]) -> [u8; 32] {
    let hash = Sha256::new()
        .chain_update(version.to_le_bytes())
        .chain_update(kind.to_le_bytes())
        .chain_update(id.to_le_bytes())
        .chain_update(seq.get().to_le_bytes())
        .chain_update(hash.0)
        .chain_update(bytes);
    hash.finalize().into()
}
