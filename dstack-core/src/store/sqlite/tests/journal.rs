//! The journal cut or zeroed at any byte, files that cannot be written, and an old copy in the log's place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::{batch, open, open_read_only, run, small_log};
use crate::model::event::AutoscalingEnabled;
use crate::model::{Record, Seq};
use crate::store::sqlite::database::Database;
use crate::store::{AppendError, StoreError};

/// What a disk loses or clears at once.
const BLOCK: usize = 4_096;

/// A log whose records are still in its journal, with what it says after each append.
struct Journaled {
    home: TempDir,
    states: Vec<Vec<Record>>,
    journal: Vec<u8>,
    // The last to close would move the journal into the file.
    _open: Database,
}

fn journaled() -> Journaled {
    let home = TempDir::new().expect("a folder can be made");
    let mut database = small_log(home.path());
    let whole = database.read(Seq::START, 1_000).expect("the log is sound").decode();
    let states = [0, 3, 5].map(|length| whole[..length].to_vec()).to_vec();
    let journal = fs::read(home.path().join("log.db-wal")).expect("there is a journal");
    assert!(journal.len() > 4 * BLOCK, "{} bytes", journal.len());
    Journaled { home, states, journal, _open: database }
}

impl Journaled {
    /// Opens a copy with this journal: it says what the log said after one of its appends, is sound, and goes on.
    /// Says which append that was; none if it does not open or read.
    fn state_with(&self, journal: &[u8], what: &str) -> Option<usize> {
        let copy = TempDir::new().expect("a folder can be made");
        fs::copy(self.home.path().join("log.db"), copy.path().join("log.db")).expect("it can be copied");
        fs::write(copy.path().join("log.db-wal"), journal).expect("it can be written");
        let mut database = Database::open(copy.path(), super::clock()).ok()?;
        let read = database.read(Seq::START, 1_000).ok()?.decode();
        let place = self.states.iter().position(|state| *state == read);
        let place = place.unwrap_or_else(|| panic!("{what}: no append led to {} records", read.len()));
        let head = database.verify().unwrap_or_else(|error| panic!("{what}: {error}"));
        database.append(head.seq, &batch(77, &[run(77, "after")])).unwrap_or_else(|error| panic!("{what}: {error}"));
        Some(place)
    }

    fn cut(&self, length: usize) -> Option<usize> {
        self.state_with(&self.journal[..length], &format!("cut at {length}"))
    }

    fn zeroed(&self, from: usize) -> Option<usize> {
        let mut journal = self.journal.clone();
        let until = journal.len().min(from + BLOCK);
        journal[from..until].fill(0);
        self.state_with(&journal, &format!("zeroed from {from}"))
    }
}

/// A longer journal never says less; all of it says everything.
fn cuts(step: usize) {
    let log = journaled();
    let mut before = 0;
    for length in (0..log.journal.len()).step_by(step) {
        let place = log.cut(length).expect("a cut journal is an older one");
        assert!(place >= before, "cut at {length}: {place} after {before}");
        before = place;
    }
    assert_eq!(log.cut(log.journal.len()), Some(2));
}

fn zeroes(step: usize) {
    let log = journaled();
    let places: Vec<_> = (0..log.journal.len()).step_by(step).filter_map(|from| log.zeroed(from)).collect();
    assert!(places.contains(&0) || places.contains(&1), "nothing was lost: {places:?}");
}

#[test]
fn a_journal_cut_anywhere_is_the_log_after_an_earlier_append() {
    cuts(499);
}

#[test]
fn a_journal_with_a_block_of_zeroes_is_the_log_after_an_earlier_append() {
    zeroes(701);
}

#[test]
#[ignore = "a quarter of an hour: cargo test --release -p dstack-core every_byte_of_a_journal -- --ignored"]
fn every_byte_of_a_journal() {
    cuts(1);
    zeroes(1);
}

#[test]
fn a_log_that_may_not_be_written_says_so_and_is_read() {
    let home = TempDir::new().expect("a folder can be made");
    let mut database = small_log(home.path());
    database.connection.pragma_update(None, "query_only", true).expect("it can be set");
    let answer = database.append(Seq::new(5), &batch(9, &[AutoscalingEnabled {}.into()]));
    assert!(matches!(answer, Err(AppendError::Store(StoreError::Unusable(_)))), "{answer:?}");
    assert_eq!(database.read(Seq::START, 9).expect("the log is sound").decode().len(), 5);
    database.connection.pragma_update(None, "query_only", false).expect("it can be set");
    database.append(Seq::new(5), &batch(9, &[AutoscalingEnabled {}.into()])).expect("it may be written again");
}

fn copy_to(from: &Path, to: &Path) {
    for name in ["log.db", "log.db-wal"] {
        fs::copy(from.join(name), to.join(name)).expect("it can be copied");
    }
    fs::set_permissions(to.join("log.db"), fs::Permissions::from_mode(0o600)).expect("it is ours");
}

#[test]
fn an_old_copy_takes_nothing_that_was_decided_on_what_it_lacks() {
    let home = TempDir::new().expect("a folder can be made");
    let backup = TempDir::new().expect("a folder can be made");
    let mut database = small_log(home.path());
    copy_to(home.path(), backup.path());
    let decided = batch(9, &[run(9, "later")]);
    database.append(Seq::new(5), &decided).expect("it is in order");
    let newest = database.head().expect("the log is sound");
    let mut restored = open(backup.path());
    let head = restored.head().expect("the copy is sound");
    assert!(head.seq < newest.seq && head.hash != newest.hash);
    let answer = restored.append(newest.seq, &batch(10, &[AutoscalingEnabled {}.into()]));
    assert!(matches!(answer, Err(AppendError::Conflict { .. })), "{answer:?}");
    // The same batch, where it was decided on: it is new there, and leads to the same chain.
    restored.append(Seq::new(5), &decided).expect("it is in order");
    assert_eq!(open_read_only(backup.path()).verify().expect("the copy is sound").seq, newest.seq);
}
