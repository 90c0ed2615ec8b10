//! What every event store promises. [`event_store_laws!`](crate::event_store_laws) makes one test of each law.
//!
//! An implementation gives a [`LogMaker`]: one log, on which any number of handles can be opened.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;

use super::{AppendError, Appended, EventStore, Past, PastId, Snapshot, StoreError};
use crate::clock::{Clock, VirtualClock};
use crate::model::event::{AutoscalingEnabled, ClockStepped, RunSubmitted};
use crate::model::record::{MAX_BATCH_RECORDS, MAX_RECORD_BYTES};
use crate::model::{AppendId, Batch, Content, Encoded, Event, Record, RecordHash, RunId, RunnerId, Seq};

pub use super::held_laws::{
    a_held_append_conflicts_like_any_other, an_append_after_a_held_one_settles_both,
    what_was_held_is_there_once_settled,
};

/// One log. A new value is a new, empty log.
#[async_trait]
pub trait LogMaker: Send + Sync {
    /// Another handle on this log, with a clock of its own, as another process would have it.
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore>;
}

/// Makes one test of each law of an event store; the argument gives a [`LogMaker`] of an empty log, and is evaluated once
/// for each law. Needs tokio with `macros` and `rt`.
#[macro_export]
macro_rules! event_store_laws {
    ($make:expr) => {
        $crate::event_store_laws!(@each $make;
            an_empty_log_starts_at_zero,
            places_are_gapless_from_one,
            an_acknowledged_append_is_read_back,
            hashes_are_chained,
            a_stale_place_conflicts_and_appends_nothing,
            an_append_sent_again_is_recognised_anywhere,
            an_id_with_other_events_is_refused,
            of_concurrent_appends_one_wins,
            log_time_never_runs_backwards,
            a_clock_step_is_honoured,
            an_append_beyond_the_bounds_is_refused,
            the_largest_append_is_accepted,
            an_empty_append_is_refused,
            what_was_held_is_there_once_settled,
            a_held_append_conflicts_like_any_other,
            an_append_after_a_held_one_settles_both,
            pages_are_the_whole,
            another_handle_sees_what_was_appended,
            wait_returns_after_an_append_of_another_handle,
            wait_returns_at_once_when_there_is_something,
            a_dropped_wait_loses_nothing,
            an_unknown_event_is_kept,
            a_snapshot_counts_only_with_a_hash_of_the_log,
            a_snapshot_replaces_the_one_before,
            what_was_kept_of_the_past_counts_only_with_a_hash_of_the_log,
            runs_are_found_by_name_newest_first,
        );
    };
    (@each $make:expr; $($law:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $law() {
                let log = $make;
                $crate::store::laws::$law(&log).await;
            }
        )*
    };
}

/// A batch under an id made of one number.
pub(super) fn batch(id: u128, events: &[Event]) -> Batch {
    Batch::new(append_id(id), events)
}

pub(super) fn append_id(id: u128) -> AppendId {
    AppendId::from_bytes(id.to_be_bytes())
}

/// An event that carries a number, so that batches can be told apart.
pub(super) fn numbered(number: u64) -> Event {
    run(number, "numbered")
}

fn run(number: u64, name: &str) -> Event {
    RunSubmitted {
        run: RunId::from_bits(number),
        name: name.parse().expect("laws use valid names"),
        workflows: 1,
        folder: None,
        secrets: Vec::new(),
    }
    .into()
}

pub(super) async fn open(log: &dyn LogMaker) -> (Arc<VirtualClock>, Arc<dyn EventStore>) {
    let clock = Arc::new(VirtualClock::new(11));
    let store = log.open(Arc::<VirtualClock>::clone(&clock)).await;
    (clock, store)
}

pub(super) async fn append(store: &dyn EventStore, expected: u64, id: u128, events: &[Event]) -> Appended {
    store.append(Seq::new(expected), &batch(id, events)).await.expect("the append is in order")
}

pub(super) async fn read_all(store: &dyn EventStore) -> Vec<Record> {
    store.read(Seq::START, usize::MAX).await.expect("the log is sound")
}

/// An empty log's head is the start, and there is nothing to read.
pub async fn an_empty_log_starts_at_zero(log: &dyn LogMaker) {
    let (clock, store) = open(log).await;
    let head = store.head().await.expect("the log is sound");
    assert_eq!((head.seq, head.hash), (Seq::START, RecordHash::START));
    assert_eq!(head.now.as_micros(), clock.wall_micros());
    assert_eq!(read_all(&*store).await, []);
    assert_eq!(store.runs(None, 10).await.expect("the log is sound"), []);
}

/// Places count from 1 without gaps, within and across appends.
pub async fn places_are_gapless_from_one(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let first = append(&*store, 0, 1, &[numbered(1), numbered(2)]).await;
    assert_eq!((first.first, first.head.seq), (Seq::new(1), Seq::new(2)));
    let second = append(&*store, 2, 2, &[numbered(3)]).await;
    assert_eq!((second.first, second.head.seq), (Seq::new(3), Seq::new(3)));
    let places: Vec<u64> = read_all(&*store).await.iter().map(|record| record.seq.get()).collect();
    assert_eq!(places, [1, 2, 3]);
}

/// What was acknowledged is read back as it was, and the head is its end.
pub async fn an_acknowledged_append_is_read_back(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let events = [numbered(1), AutoscalingEnabled {}.into(), numbered(3)];
    let appended = append(&*store, 0, 9, &events).await;
    let records = read_all(&*store).await;
    let contents: Vec<_> = records.iter().filter_map(Record::event).cloned().collect();
    assert_eq!(contents, events);
    assert!(records.iter().all(|record| record.append == append_id(9) && record.at == appended.head.now));
    let head = store.head().await.expect("the log is sound");
    assert_eq!((head.seq, head.hash), (appended.head.seq, appended.head.hash));
    assert_eq!(records.last().map(|record| record.hash), Some(head.hash));
}

/// Each record's hash is that of its parts and of the hash before it.
pub async fn hashes_are_chained(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    append(&*store, 0, 1, &[numbered(1), numbered(2)]).await;
    append(&*store, 2, 2, &[numbered(3)]).await;
    let mut hash = RecordHash::START;
    for (record, index) in read_all(&*store).await.iter().zip([0, 1, 0]) {
        let encoded = record.event().expect("the laws' events are known").encode();
        hash = hash.next(record.seq, record.at, record.append, index, &encoded);
        assert_eq!(record.hash, hash, "record {}", record.seq);
    }
}

/// An append at a place that is not the end names the end, and changes nothing.
pub async fn a_stale_place_conflicts_and_appends_nothing(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let appended = append(&*store, 0, 1, &[numbered(1)]).await;
    for wrong in [0, 2, u64::MAX] {
        match store.append(Seq::new(wrong), &batch(2, &[numbered(2)])).await {
            Err(AppendError::Conflict { head }) => {
                assert_eq!((head.seq, head.hash), (appended.head.seq, appended.head.hash));
            }
            other => panic!("expected a conflict at {wrong}, got {other:?}"),
        }
    }
    assert_eq!(read_all(&*store).await.len(), 1);
}

/// The same id and events are the same append, wherever it stands and whatever place is expected.
pub async fn an_append_sent_again_is_recognised_anywhere(log: &dyn LogMaker) {
    let (clock, store) = open(log).await;
    let events = [numbered(1), numbered(2)];
    let first = append(&*store, 0, 1, &events).await;
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(append(&*store, 0, 1, &events).await, first, "right after it");
    append(&*store, 2, 2, &[numbered(3)]).await;
    for expected in [0, 2, 3, 99] {
        assert_eq!(append(&*store, expected, 1, &events).await, first, "expected at {expected}");
    }
    assert_eq!(read_all(&*store).await.len(), 3);
}

/// An id that was used for other events is refused: fewer, more, changed or in another order.
pub async fn an_id_with_other_events_is_refused(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    append(&*store, 0, 1, &[numbered(1), numbered(2)]).await;
    append(&*store, 2, 2, &[numbered(3)]).await;
    let others: [&[Event]; 4] = [
        &[numbered(1)],
        &[numbered(1), numbered(2), numbered(3)],
        &[numbered(1), numbered(4)],
        &[numbered(2), numbered(1)],
    ];
    for events in others {
        for expected in [0, 2, 3] {
            let answer = store.append(Seq::new(expected), &batch(1, events)).await;
            assert!(matches!(&answer, Err(AppendError::IdReused(id)) if *id == append_id(1)), "got {answer:?}");
        }
    }
    assert_eq!(read_all(&*store).await.len(), 3);
}

/// Of many appends at one place exactly one wins; the others learn where the log ends now.
pub async fn of_concurrent_appends_one_wins(log: &dyn LogMaker) {
    let (_, first) = open(log).await;
    let (_, second) = open(log).await;
    for round in 0..8 {
        let attempts = (0..12).map(|number| {
            let store = if number % 2 == 0 { &first } else { &second };
            let batch = batch(u128::from(round * 100 + number) + 1, &[numbered(1)]);
            async move { store.append(Seq::new(round), &batch).await }
        });
        let answers = join_all(attempts).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        for answer in lost {
            match answer {
                Err(AppendError::Conflict { head }) => assert_eq!(head.seq, Seq::new(round + 1)),
                other => panic!("expected a conflict, got {other:?}"),
            }
        }
    }
}

/// When the wall clock jumps back, log time stands still until it has caught up.
pub async fn log_time_never_runs_backwards(log: &dyn LogMaker) {
    let (clock, store) = open(log).await;
    let start = append(&*store, 0, 1, &[numbered(1)]).await.head.now;
    clock.shift_wall(-3_600_000_000);
    assert_eq!(store.head().await.expect("the log is sound").now, start);
    assert_eq!(append(&*store, 1, 2, &[numbered(2)]).await.head.now, start);
    clock.shift_wall(3_600_000_000 + 5);
    let later = append(&*store, 2, 3, &[numbered(3)]).await.head.now;
    assert_eq!(later.as_micros(), start.as_micros() + 5);
    let times: Vec<_> = read_all(&*store).await.iter().map(|record| record.at).collect();
    assert_eq!(times, [start, start, later]);
}

/// The newest `ClockStepped` corrects every handle's clock from the next append on.
pub async fn a_clock_step_is_honoured(log: &dyn LogMaker) {
    let (clock, store) = open(log).await;
    append(&*store, 0, 1, &[numbered(1)]).await;
    let wall = clock.wall_micros();
    let stepped = append(&*store, 1, 2, &[ClockStepped { offset_us: 7_000_000 }.into()]).await;
    assert_eq!(stepped.head.now.as_micros(), wall, "the step itself has the time before it");
    assert_eq!(store.head().await.expect("the log is sound").now.as_micros(), wall + 7_000_000);
    let (_, other) = open(log).await;
    assert_eq!(append(&*other, 2, 3, &[numbered(1)]).await.head.now.as_micros(), wall + 7_000_000);
    clock.advance(std::time::Duration::from_secs(20));
    append(&*store, 3, 4, &[ClockStepped { offset_us: 1_000_000 }.into()]).await;
    let now = store.head().await.expect("the log is sound").now.as_micros();
    assert_eq!(now, wall + 27_000_000, "log time stands until the smaller offset has caught up");
}

/// Too many records, or one too big, are refused whole.
pub async fn an_append_beyond_the_bounds_is_refused(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let small = AutoscalingEnabled {}.into();
    let many = Batch::new(append_id(1), std::iter::repeat_n(&small, MAX_BATCH_RECORDS + 1));
    let big = Batch { append: append_id(2), events: vec![opaque(MAX_RECORD_BYTES + 1)] };
    let heavy = Batch { append: append_id(3), events: vec![opaque(MAX_RECORD_BYTES); 257] };
    for batch in [many, big, heavy] {
        let answer = store.append(Seq::START, &batch).await;
        assert!(matches!(answer, Err(AppendError::TooLarge)), "got {answer:?}");
    }
    assert_eq!(store.head().await.expect("the log is sound").seq, Seq::START);
    let largest = Batch { append: append_id(4), events: vec![opaque(MAX_RECORD_BYTES)] };
    store.append(Seq::START, &largest).await.expect("the largest record is accepted");
    assert_eq!(read_all(&*store).await.len(), 1);
}

/// A run of 100,000 workflows and its head go in at once.
pub async fn the_largest_append_is_accepted(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let event = AutoscalingEnabled {}.into();
    let largest = Batch::new(append_id(1), std::iter::repeat_n(&event, MAX_BATCH_RECORDS));
    let appended = store.append(Seq::START, &largest).await.expect("it is within the bounds");
    assert_eq!(appended.head.seq.get(), 100_001);
    let tail = store.read(Seq::new(100_000), 10).await.expect("the log is sound");
    assert_eq!(tail.iter().map(|record| record.hash).collect::<Vec<_>>(), [appended.head.hash]);
    assert_eq!(store.append(Seq::START, &largest).await.expect("it is recognised"), appended);
}

/// An append of nothing is refused.
pub async fn an_empty_append_is_refused(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let answer = store.append(Seq::START, &batch(1, &[])).await;
    assert!(matches!(answer, Err(AppendError::TooLarge)), "got {answer:?}");
}

/// Pages of any size, put together, are the whole log; from beyond the end there is nothing.
pub async fn pages_are_the_whole(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let mut expected = 0;
    for size in [1, 4, 2, 7] {
        let events: Vec<_> = (0..size).map(numbered).collect();
        expected = append(&*store, expected, u128::from(expected) + 1, &events).await.head.seq.get();
    }
    let whole = read_all(&*store).await;
    assert_eq!(whole.len(), 14);
    for size in 1..=15 {
        let mut pages = Vec::new();
        let mut after = Seq::START;
        loop {
            let page = store.read(after, size).await.expect("the log is sound");
            assert!(page.len() <= size);
            let Some(last) = page.last() else { break };
            after = last.seq;
            pages.extend(page);
        }
        assert_eq!(pages, whole, "pages of {size}");
    }
    for beyond in [14, 15, u64::MAX] {
        assert_eq!(store.read(Seq::new(beyond), 5).await.expect("the log is sound"), []);
    }
    assert_eq!(store.read(Seq::START, 0).await.expect("the log is sound"), []);
}

/// Handles on one log see each other's appends.
pub async fn another_handle_sees_what_was_appended(log: &dyn LogMaker) {
    let (_, first) = open(log).await;
    let (_, second) = open(log).await;
    append(&*first, 0, 1, &[numbered(1)]).await;
    assert_eq!(read_all(&*second).await, read_all(&*first).await);
    append(&*second, 1, 2, &[numbered(2)]).await;
    assert_eq!(read_all(&*first).await.len(), 2);
    let (_, third) = open(log).await;
    assert_eq!(read_all(&*third).await, read_all(&*first).await);
}

/// A waiting handle is woken by what another handle appends, and again by what it appends itself.
pub async fn wait_returns_after_an_append_of_another_handle(log: &dyn LogMaker) {
    let (_, first) = open(log).await;
    let (_, second) = open(log).await;
    for round in 0..6 {
        let (waiter, appender) = if round == 5 { (&second, &second) } else { (&first, &second) };
        let waiting = waiter.wait(Seq::new(round));
        let events = [numbered(1)];
        let appending = append(&**appender, round, u128::from(round) + 1, &events);
        futures::future::join(waiting, appending).await;
        // It may return early: whoever waits reads, and waits again if there is nothing.
        while waiter.head().await.expect("the log is sound").seq.get() <= round {
            waiter.wait(Seq::new(round)).await;
        }
    }
}

/// Nobody waits for what is there already.
pub async fn wait_returns_at_once_when_there_is_something(log: &dyn LogMaker) {
    let (_, first) = open(log).await;
    append(&*first, 0, 1, &[numbered(1)]).await;
    first.wait(Seq::START).await;
    let (_, second) = open(log).await;
    second.wait(Seq::START).await;
}

/// A wait that is dropped half-way hides nothing from the next one.
pub async fn a_dropped_wait_loses_nothing(log: &dyn LogMaker) {
    let (_, first) = open(log).await;
    let (_, second) = open(log).await;
    for round in 0..3 {
        // Polled once, then dropped; it may have returned early.
        let _ = first.wait(Seq::new(round)).now_or_never();
        append(&*second, round, u128::from(round) + 1, &[numbered(1)]).await;
        first.wait(Seq::new(round)).await;
        assert_eq!(first.read(Seq::new(round), 9).await.expect("the log is sound").len(), 1);
    }
}

/// Events of a newer program stay where they are and are handed out as unknown.
pub async fn an_unknown_event_is_kept(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let known = numbered(1).encode();
    let newer = Encoded { version: 99, ..known.clone() };
    let broken = Encoded { json: b"{\"run\":".to_vec(), ..known.clone() };
    let events = vec![known, opaque(5), newer, broken];
    store.append(Seq::START, &Batch { append: append_id(1), events }).await.expect("a store takes any event");
    let records = read_all(&*store).await;
    let known: Vec<_> = records.iter().map(|record| record.event().is_some()).collect();
    assert_eq!(known, [true, false, false, false]);
    match &records[1].content {
        Content::Unknown(error) => assert_eq!((error.kind.as_str(), error.version), ("FromTheFuture", 3)),
        Content::Known(event) => panic!("{event:?} was made of an unknown kind"),
    }
}

/// A snapshot is loaded only with its version, and only while the log has its hash at its place.
pub async fn a_snapshot_counts_only_with_a_hash_of_the_log(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    assert_eq!(load(&*store, 1).await, None);
    let head = append(&*store, 0, 1, &[numbered(1), numbered(2)]).await.head;
    let good = Snapshot { version: 1, seq: head.seq, hash: head.hash, bytes: b"state".to_vec() };
    store.save_snapshot(&good, &[]).await.expect("it is kept");
    assert_eq!(load(&*store, 1).await, Some(good.clone()));
    assert_eq!(load(&*store, 2).await, None, "another version");
    let (_, other) = open(log).await;
    assert_eq!(load(&*other, 1).await, Some(good.clone()), "another handle");
    let elsewhere = Snapshot { seq: Seq::new(1), ..good.clone() };
    let changed = Snapshot { hash: RecordHash([7; 32]), ..good.clone() };
    let ahead = Snapshot { seq: Seq::new(3), ..good };
    for wrong in [elsewhere, changed, ahead] {
        store.save_snapshot(&wrong, &[]).await.expect("keeping it is no promise");
        assert_ne!(load(&*store, 1).await, Some(wrong));
    }
}

/// A newer snapshot takes the place of the older one.
pub async fn a_snapshot_replaces_the_one_before(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    for round in 0..3 {
        let head = append(&*store, round, u128::from(round) + 1, &[numbered(1)]).await.head;
        let bytes = vec![1; 10_000 * (3 - usize::try_from(round).expect("it is small"))];
        let snapshot = Snapshot { version: 1, seq: head.seq, hash: head.hash, bytes };
        store.save_snapshot(&snapshot, &[]).await.expect("it is kept");
        assert_eq!(load(&*store, 1).await, Some(snapshot));
    }
}

/// What has left the state is found as it was, under its version, while the log has the snapshot's hash at its place; kept
/// again, it is the new one that counts. Runners are listed, the last to be kept first.
pub async fn what_was_kept_of_the_past_counts_only_with_a_hash_of_the_log(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let head = append(&*store, 0, 1, &[numbered(1), numbered(2)]).await.head;
    let snapshot = Snapshot { version: 1, seq: head.seq, hash: head.hash, bytes: b"state".to_vec() };
    let (run, runner) = (PastId::Run(RunId::from_bits(u64::MAX)), |bits| PastId::Runner(RunnerId::from_bits(bits)));
    let past = |id, text: &str| Past { id, bytes: text.as_bytes().to_vec() };
    let found = async |store: &dyn EventStore, version, id| {
        let bytes = store.load_past(version, id).await.expect("the log is sound");
        bytes.map(|bytes| String::from_utf8(bytes).expect("it is text"))
    };
    let first = [past(run, "old"), past(runner(u64::MAX), "one"), past(runner(1), "two")];
    store.save_snapshot(&snapshot, &first).await.expect("it is kept");
    store.save_snapshot(&snapshot, &[past(run, "new"), past(runner(7), "three")]).await.expect("it is kept");
    let (_, other) = open(log).await;
    for store in [&*store, &*other] {
        assert_eq!(found(store, 1, run).await.as_deref(), Some("new"));
        assert_eq!(found(store, 1, runner(1)).await.as_deref(), Some("two"));
        assert_eq!(found(store, 1, PastId::Run(RunId::from_bits(1))).await, None, "a runner is no run");
        assert_eq!(found(store, 2, run).await, None, "another version");
        let runners = store.past_runners(1, 2).await.expect("the log is sound");
        let ids: Vec<u64> = runners.iter().map(|(id, _)| id.to_bits()).collect();
        assert_eq!(ids, [7, 1]);
        assert_eq!(store.past_runners(2, 2).await.expect("the log is sound"), []);
    }
    let elsewhere = Snapshot { hash: RecordHash([7; 32]), ..snapshot };
    store.save_snapshot(&elsewhere, &[past(runner(9), "of another log")]).await.expect("keeping it is no promise");
    assert_eq!(found(&*store, 1, runner(9)).await, None);
    assert_eq!(store.past_runners(1, 9).await.expect("the log is sound").len(), 3);
}

/// Runs are listed newest first, by name or all, up to the limit.
pub async fn runs_are_found_by_name_newest_first(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    append(&*store, 0, 1, &[run(1, "train"), run(u64::MAX, "eval")]).await;
    append(&*store, 2, 2, &[numbered(77), run(2, "train")]).await;
    let name = "train".parse().expect("a valid name");
    let places = async |name, limit| -> Result<Vec<(u64, u64)>, StoreError> {
        let runs = store.runs(name, limit).await?;
        Ok(runs.iter().map(|row| (row.run.to_bits(), row.submitted.get())).collect())
    };
    assert_eq!(places(Some(&name), 9).await.expect("the log is sound"), [(2, 4), (1, 1)]);
    assert_eq!(places(Some(&name), 1).await.expect("the log is sound"), [(2, 4)]);
    let all = places(None, 9).await.expect("the log is sound");
    assert_eq!(all, [(2, 4), (77, 3), (u64::MAX, 2), (1, 1)]);
}

async fn load(store: &dyn EventStore, version: u32) -> Option<Snapshot> {
    store.load_snapshot(version).await.expect("the log is sound")
}

/// An event of a kind that no program of today knows.
fn opaque(bytes: usize) -> Encoded {
    Encoded { kind: "FromTheFuture".into(), version: 3, json: vec![b' '; bytes] }
}

#[cfg(test)]
mod tests {
    /// A law that is not in the macro's list would be run by nobody.
    #[test]
    fn every_law_is_in_the_list() {
        let source = include_str!("laws.rs");
        let list = source.split("(@each $make;").nth(1).and_then(|rest| rest.split(");").next());
        let listed: Vec<_> = list.into_iter().flat_map(|list| list.split(',')).map(str::trim).collect();
        let all = [source, include_str!("held_laws.rs")].map(|source| source.split("\npub async fn ").skip(1));
        let laws: Vec<_> = all.into_iter().flatten().filter_map(|rest| rest.split('(').next()).collect();
        assert!(laws.len() > 20);
        for law in laws {
            assert!(listed.contains(&law), "{law} is not in event_store_laws!");
        }
    }
}
