//! Files: where they are, who may read them, what is left out of them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{batch, clock, open, open_read_only, run};
use crate::model::event::AutoscalingEnabled;
use crate::model::{Batch, Event, Seq};
use crate::store::sqlite::{SqliteStore, Waking};
use crate::store::{AppendError, EventStore, StoreError};

fn home() -> TempDir {
    TempDir::new().expect("a folder can be made")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

/// Called by a process of its own: the umask belongs to the process.
pub(super) fn check_modes_without_umask(folder: &Path) {
    rustix::process::umask(rustix::fs::Mode::empty());
    let home = folder.join("a").join("b");
    let mut database = open(&home);
    database.append(Seq::START, &batch(1, &[run(1, "train")])).expect("it is in order");
    assert_eq!(mode(&home), 0o700);
    for file in std::fs::read_dir(&home).expect("it exists") {
        let file = file.expect("it can be listed").path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    for name in ["log.db", "log.db-wal", "log.db-shm", "log.turn"] {
        assert!(home.join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn reading_needs_a_log_and_makes_none() {
    let home = home();
    let folder = home.path().join("none");
    let open = |folder| SqliteStore::open_read_only(folder, clock(), Waking::Socket).expect("nothing is wrong");
    assert!(open(&folder).is_none());
    assert!(open(home.path()).is_none());
    assert!(!folder.exists());
    assert_eq!(std::fs::read_dir(home.path()).expect("it exists").count(), 0);
}

#[tokio::test]
async fn a_log_opened_for_reading_refuses_to_append() {
    let home = home();
    let mut writer = open(home.path());
    writer.append(Seq::START, &batch(1, &[run(1, "train")])).expect("it is in order");
    let reader = SqliteStore::open_read_only(home.path(), clock(), Waking::Socket);
    let reader = reader.expect("nothing is wrong").expect("there is a log");
    assert_eq!(reader.read(Seq::START, 9).await.expect("the log is sound").len(), 1);
    let answer = reader.append(Seq::new(1), &batch(2, &[run(2, "train")])).await;
    assert!(matches!(answer, Err(AppendError::Store(StoreError::Unusable(_)))), "{answer:?}");
}

#[test]
fn a_file_that_is_no_log_and_a_log_of_a_newer_program_are_refused() {
    for change in ["CREATE TABLE x (y); PRAGMA user_version = 3", "PRAGMA application_id = 7"] {
        let home = home();
        let other = Connection::open(home.path().join("log.db")).expect("it opens");
        other.execute_batch(change).expect("it can be changed");
        drop(other);
        let error = crate::store::sqlite::database::Database::open(home.path(), clock()).err();
        assert!(error.is_some_and(|error| error.to_string().contains("not a dstack log")), "{change}");
    }
    let home = home();
    drop(open(home.path()));
    let newer = Connection::open(home.path().join("log.db")).expect("it opens");
    newer.execute_batch("PRAGMA user_version = 2").expect("it can be changed");
    let error = crate::store::sqlite::database::Database::open(home.path(), clock()).err();
    assert!(error.is_some_and(|error| error.to_string().contains("newer dstack")));
}

#[test]
fn a_full_disk_appends_nothing_and_says_so() {
    let home = home();
    let mut database = open(home.path());
    database.append(Seq::START, &batch(1, &[run(1, "train")])).expect("it is in order");
    let pages: i64 = database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("it counts");
    database.connection.pragma_update(None, "max_page_count", pages).expect("it can be set");
    let event: Event = AutoscalingEnabled {}.into();
    let many: Vec<Event> = vec![event; 500];
    let answer = database.append(Seq::new(1), &batch(2, &many));
    assert!(matches!(answer, Err(AppendError::Full)), "{answer:?}");
    database.connection.pragma_update(None, "max_page_count", 1_000_000).expect("it can be set");
    assert_eq!(database.read(Seq::START, 9).expect("the log is sound").decode().len(), 1);
    // The kind that was new in the lost append has no number yet.
    database.append(Seq::new(1), &batch(3, &many)).expect("there is room again");
    open_read_only(home.path()).verify().expect("the log is sound");
}

#[test]
fn an_append_is_found_by_its_index_and_a_head_without_a_scan() {
    let home = home();
    let database = open(home.path());
    for (query, plan) in [
        ("SELECT seq, append, at FROM record WHERE append IS NOT NULL AND substr(append, 1, 4) = ?1", "record_append"),
        ("SELECT seq, id, name FROM run WHERE name = ?1 ORDER BY seq DESC LIMIT 1", "run_name"),
    ] {
        let explained: String = database
            .connection
            .query_row(&format!("EXPLAIN QUERY PLAN {query}"), ["x"], |row| row.get(3))
            .expect("it can be explained");
        assert!(explained.contains(plan), "{explained}");
    }
}

/// Bytes of the file for each record, beside its payload.
fn bytes_beside(records_each: u64, appends: u64) -> u64 {
    let home = home();
    let mut database = open(home.path());
    database.connection.pragma_update(None, "synchronous", "OFF").expect("only sizes matter here");
    let size = || std::fs::metadata(home.path().join("log.db")).expect("it exists").len();
    database.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("nobody else uses it");
    let mut beside = size();
    for append in 0..appends {
        let events: Vec<Event> = (0..records_each).map(|_| AutoscalingEnabled {}.into()).collect();
        let mut batch = batch(u128::from(append).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834), &events);
        for event in &mut batch.events {
            event.json.resize(60, b' ');
            beside += 60;
        }
        database.append(Seq::new(append * records_each), &batch).expect("it is in order");
    }
    drop(database);
    (size() - beside) / (appends * records_each)
}

#[test]
fn a_record_costs_little_beside_its_payload() {
    let (alone, in_pairs, in_tens) = (bytes_beside(1, 3_000), bytes_beside(2, 1_500), bytes_beside(10, 300));
    assert!(alone <= 88 && in_pairs <= 70 && in_tens <= 55, "{alone}, {in_pairs}, {in_tens} bytes");
}

#[tokio::test]
async fn an_append_is_carried_out_though_nobody_waits_for_it() {
    use futures::FutureExt;

    let home = home();
    let store = SqliteStore::open(home.path(), clock()).expect("the log opens");
    let batch: Batch = batch(1, &[run(1, "train")]);
    let dropped = store.append(Seq::START, &batch).now_or_never();
    assert!(dropped.is_none_or(|answer| answer.is_ok()));
    store.append(Seq::START, &batch).await.expect("it is recognised");
    assert_eq!(store.read(Seq::START, 9).await.expect("the log is sound").len(), 1);
    drop(store);
    assert_eq!(open(home.path()).head().expect("the log is sound").seq, Seq::new(1));
}
