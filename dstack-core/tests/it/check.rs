//! `check` finds what is wrong with a log, at its place.

use async_trait::async_trait;
use dstack_core::check;
use dstack_core::model::event::{Event, RuleAllowed};
use dstack_core::model::{AppendId, At, Batch, Content, Name, Record, RecordHash, RunnerId, Seq};
use dstack_core::store::{AppendError, Appended, EventStore, Head, Past, PastId, RunRow, Snapshot, StoreError};

use super::every_kind::every_kind;
use super::given::{Given, small};

/// These records, whatever they are.
struct Fixed(Vec<Record>);

#[async_trait]
impl EventStore for Fixed {
    async fn head(&self) -> Result<Head, StoreError> {
        let newest = self.0.last();
        Ok(Head {
            seq: newest.map_or(Seq::START, |record| record.seq),
            hash: newest.map_or(RecordHash::START, |record| record.hash),
            now: newest.map_or_else(At::default, |record| record.at),
        })
    }

    async fn append(&self, _expected: Seq, _batch: &Batch) -> Result<Appended, AppendError> {
        Err(AppendError::Full)
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        Ok(self.0.iter().filter(|record| record.seq > after).take(limit.min(7)).cloned().collect())
    }

    async fn wait(&self, _after: Seq) {}

    async fn load_snapshot(&self, _version: u32) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    async fn save_snapshot(&self, _snapshot: &Snapshot, _past: &[Past]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn load_past(&self, _version: u32, _id: PastId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    async fn past_runners(&self, _version: u32, _limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }

    async fn runs(&self, _name: Option<&Name>, _limit: usize) -> Result<Vec<RunRow>, StoreError> {
        Ok(Vec::new())
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("it needs nothing").block_on(future)
}

fn broken(records: Vec<Record>) -> String {
    block_on(check(&Fixed(records))).expect_err("it is not as it should be").to_string()
}

#[test]
fn a_log_that_is_right_is_counted() {
    let mut given = Given::with_max(3);
    given.ready(1).wanted(2);
    let records = given.0.records().to_vec();
    let checked = block_on(check(&Fixed(records.clone()))).expect("it is right");
    assert_eq!(checked.records, u64::try_from(records.len()).expect("it is small"));
    assert_eq!((checked.hash, checked.faults, checked.unreadable), (given.state().hash(), 0, None));
}

#[test]
fn a_runner_beyond_its_maximum_is_found_at_its_append() {
    let mut given = Given::with_max(1);
    given.wanted(1);
    given.wanted(2);
    let beyond = given.state().seq();
    given.ready(3).submitted(super::given::specs(&[&[]]));
    let why = broken(given.0.records().to_vec());
    assert!(why.starts_with(&format!("record {beyond} breaks the law cap: 2 runners of small")), "{why}");
}

#[test]
fn a_lowered_maximum_without_its_consequences_is_found_but_not_in_the_middle_of_its_append() {
    let mut given = Given::with_max(1);
    given.ready(1);
    given.has::<Event>([RuleAllowed { max: 0, min: 0, offering: small() }.into()]);
    assert!(broken(given.0.records().to_vec()).contains("breaks the law cap"));
    let mut given = Given::with_max(1);
    given.ready(1);
    given.0.command(dstack_core::model::Command::Allow { offering: Box::new(small()), max: 0, min: 0 });
    assert!(block_on(check(&Fixed(given.0.records().to_vec()))).is_ok());
}

#[test]
fn gaps_and_time_that_runs_backwards_are_found() {
    let given = every_kind();
    let mut gap = given.0.records().to_vec();
    gap.remove(3);
    assert_eq!(broken(gap), "record 5: it stands after record 3");
    let mut back = given.0.records().to_vec();
    back[6].at = At::from_micros(5);
    assert!(broken(back).starts_with("record 7: its time 1970-"));
}

#[test]
fn a_log_of_a_newer_program_is_right_but_unreadable() {
    let mut given = Given::with_max(1);
    given.wanted(1);
    let mut records = given.0.records().to_vec();
    let seq = given.state().seq().next();
    let error = Event::decode("Surprise", 1, b"{}").expect_err("it is not known");
    let (at, append) = (given.0.now(), AppendId::from_bytes([9; 16]));
    records.push(Record { seq, at, append, hash: RecordHash::START, content: Content::Unknown(error) });
    let checked = block_on(check(&Fixed(records))).expect("it is right");
    assert!(checked.unreadable.expect("it says why").contains("Surprise"));
}
