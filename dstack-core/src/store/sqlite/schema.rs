//! The tables of a log file.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connection::unreachable;
use crate::store::StoreError;

/// Marks a file as a log of ours: "dstk" in ASCII.
const APPLICATION_ID: i64 = 0x6473_746B;
/// Version of the tables below.
const SCHEMA_VERSION: i64 = 1;

/// What varies little is stored once: a kind and its version as a small number, an append's id and time with its first
/// record only. `idx` is a record's place in its append; 0 and 1 take no space. The index holds four bytes of the id,
/// enough to find a handful of candidates. `run` and `step` hold nothing that the records do not say;
/// `snapshot` and `past` are caches of what the records make.
const TABLES: &str = "
    CREATE TABLE kind (id INTEGER PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, UNIQUE (name, version)) STRICT;
    CREATE TABLE record (
        seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, idx INTEGER NOT NULL, append BLOB, at INTEGER,
        json BLOB NOT NULL, hash BLOB NOT NULL
    ) STRICT;
    CREATE INDEX record_append ON record (substr(append, 1, 4)) WHERE append IS NOT NULL;
    CREATE TABLE step (seq INTEGER PRIMARY KEY, offset_us INTEGER NOT NULL) STRICT;
    CREATE TABLE run (seq INTEGER PRIMARY KEY, id INTEGER NOT NULL, name TEXT NOT NULL) STRICT;
    CREATE INDEX run_name ON run (name);
    CREATE TABLE snapshot (
        version INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, bytes BLOB NOT NULL, digest BLOB NOT NULL
    ) STRICT;
    CREATE TABLE past (
        place INTEGER PRIMARY KEY, version INTEGER NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL,
        seq INTEGER NOT NULL, hash BLOB NOT NULL, bytes BLOB NOT NULL, digest BLOB NOT NULL, UNIQUE (id, kind, version)
    ) STRICT;
";

/// Whether the file has tables that this program knows; a file without any has none yet.
///
/// # Errors
/// When the file is not a log, or a newer program made it.
pub(super) fn is_ready(connection: &Connection) -> Result<bool, StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(unreachable);
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(true),
        (APPLICATION_ID, _) => {
            Err(StoreError::Unusable("a newer dstack made this log: update dstack to use it".to_owned()))
        }
        (0, 0) => Ok(false),
        _ => Err(StoreError::Unusable("log.db is not a dstack log: move it away, or set DSTACK_HOME".to_owned())),
    }
}

/// Makes the tables, unless another process just did.
pub(super) fn create(connection: &Connection) -> Result<(), StoreError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(unreachable)?;
    if is_ready(&transaction)? {
        return Ok(());
    }
    transaction.execute_batch(TABLES).map_err(unreachable)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(unreachable)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(unreachable)?;
    transaction.commit().map_err(unreachable)
}
