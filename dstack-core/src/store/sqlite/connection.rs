//! How a log file is found, made and opened.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::filesystem;
use super::turn::Pause;
use crate::store::StoreError;

/// The log's file in its folder.
pub(crate) const FILE: &str = "log.db";
/// How long an operation waits for another process that holds the log.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(10);
/// What `PRAGMA synchronous` says when it is FULL.
const SYNCHRONOUS_FULL: i64 = 2;
/// Statements that a connection keeps ready: all there are.
const STATEMENTS_MAX: usize = 32;

/// What a failure of SQLite means: later the log may answer, unless its file may not be written.
pub(super) fn unreachable(error: rusqlite::Error) -> StoreError {
    let extended = error.sqlite_error().map(|known| known.extended_code);
    match (error.sqlite_error_code(), extended) {
        // Another process is about to bring the journal in order.
        (Some(ErrorCode::ReadOnly), Some(ffi::SQLITE_READONLY_RECOVERY | ffi::SQLITE_READONLY_CANTINIT)) => {
            StoreError::Unreachable(Box::new(error))
        }
        (Some(ErrorCode::ReadOnly), Some(ffi::SQLITE_READONLY_DBMOVED)) => {
            StoreError::Unusable(format!("{FILE} was moved or removed while it was open ({error})"))
        }
        (Some(ErrorCode::ReadOnly), _) => StoreError::Unusable(format!(
            "{FILE} cannot be written ({error}): its disk is mounted read-only, or it is not this user's to write"
        )),
        (Some(_) | None, _) => StoreError::Unreachable(Box::new(error)),
    }
}

fn no_file(error: std::io::Error) -> StoreError {
    StoreError::Unreachable(Box::new(error))
}

/// Makes the folder (0700) and an empty file in it (0600), unless they are there.
pub(super) fn prepare(folder: &Path, unique: [u8; 16]) -> Result<PathBuf, StoreError> {
    let file = folder.join(FILE);
    if !file.try_exists().map_err(no_file)? {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(no_file)?;
        filesystem::check(folder)?;
        make_file(folder, &file, &unique_name(unique)).map_err(no_file)?;
    } else {
        filesystem::check(folder)?;
    }
    Ok(file)
}

/// A file name that nobody else uses now, even if two processes draw the same entropy, as simulated clocks let them.
pub(super) fn unique_name(entropy: [u8; 16]) -> String {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
    format!("{}-{drawn}-{:08x}", std::process::id(), u128::from_ne_bytes(entropy) >> 96)
}

/// The file appears under its name complete and closed: closing it later would drop the locks that SQLite has on it in
/// this process, because such locks belong to the process and not to the opened file.
fn make_file(folder: &Path, file: &Path, unique: &str) -> std::io::Result<()> {
    let draft = folder.join(format!("{FILE}.{unique}"));
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?);
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens the file for reading and writing. Every property that durability rests on is read back.
pub(super) fn open_to_write(file: &Path) -> Result<Connection, StoreError> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let journal: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(unreachable)?;
    if !journal.eq_ignore_ascii_case("wal") {
        return Err(StoreError::Unusable(format!(
            "the log needs a write-ahead journal, and {} gives {journal}: set DSTACK_HOME to a folder on a local disk",
            file.display()
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(unreachable)?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(unreachable)?;
    if synchronous != SYNCHRONOUS_FULL {
        return Err(StoreError::Unusable(format!("SQLite does not sync commits (synchronous = {synchronous})")));
    }
    Ok(connection)
}

/// Opens the file for reading only.
pub(super) fn open_to_read(file: &Path) -> Result<Connection, StoreError> {
    open(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open(file: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    // Each connection belongs to one thread, or stands behind a lock of ours: SQLite's own mutexes are idle work.
    let mut connection =
        Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(unreachable)?;
    let mut pause = Pause::new();
    let wait = move |count: i32| {
        if count == 0 {
            pause = Pause::new();
        }
        pause.sleep(BUSY_MAX)
    };
    connection.busy_handler(Some(wait)).map_err(unreachable)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Leaves the journal as it is when the connection closes: a command that writes one record does not pay for moving
/// earlier ones, which whoever appends does anyhow each time a thousand pages have gathered.
pub(super) fn close_without_checkpoint(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(|_| ()).map_err(unreachable)
}
