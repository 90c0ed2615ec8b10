//! Snapshots: a cache in the log's own file.

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::append::hash_at;
use super::connection::unreachable;
use super::database::Database;
use super::head::{number_of, seq_of};
use crate::model::RecordHash;
use crate::store::{Past, Snapshot, StoreError};

impl Database {
    /// The snapshot, if it is of this version, of this log, and as it was saved.
    pub(super) fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError> {
        let find = || {
            let mut statement = self
                .connection
                .prepare_cached("SELECT seq, hash, bytes, digest FROM snapshot WHERE version = ?1 LIMIT 1")?;
            statement
                .query_row([version], |row| {
                    let (hash, digest): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(3)?);
                    Ok((seq_of(row.get(0)?), hash, row.get(2)?, digest))
                })
                .optional()
        };
        let Some((seq, hash, bytes, digest)) = find().map_err(unreachable)? else { return Ok(None) };
        let Ok(hash) = hash.try_into().map(RecordHash) else { return Ok(None) };
        let snapshot = Snapshot { version, seq, hash, bytes };
        let fits = hash_at(&self.connection, seq)? == Some(hash) && digest == digest_of(&snapshot);
        Ok(fits.then_some(snapshot))
    }

    /// Puts a snapshot in the place of any other, and keeps beside it what has left the state.
    pub(super) fn save_snapshot(&self, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError> {
        self.turn()?.take()?;
        let begun = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
        self.give_up_turn();
        let transaction = begun.map_err(unreachable)?;
        let digest = digest_of(snapshot);
        transaction.execute("DELETE FROM snapshot", []).map_err(unreachable)?;
        transaction
            .prepare_cached("INSERT INTO snapshot (version, seq, hash, bytes, digest) VALUES (?1, ?2, ?3, ?4, ?5)")
            .and_then(|mut insert| {
                let (seq, hash) = (number_of(snapshot.seq), snapshot.hash.0.as_slice());
                insert.execute(params![snapshot.version, seq, hash, snapshot.bytes, digest.as_slice()])
            })
            .map_err(unreachable)?;
        super::past::insert(&transaction, snapshot, past)?;
        transaction.commit().map_err(unreachable)
    }
}

/// The record's hash says nothing about the state's bytes; this does.
fn digest_of(snapshot: &Snapshot) -> [u8; 32] {
    let hash = Sha256::new()
        .chain_update(snapshot.version.to_le_bytes())
        .chain_update(snapshot.seq.get().to_le_bytes())
        .chain_update(snapshot.hash.0)
        .chain_update(&snapshot.bytes);
    hash.finalize().into()
}
