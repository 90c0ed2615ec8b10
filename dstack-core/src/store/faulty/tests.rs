//! Without faults a faulty log is a log; with them its errors are true.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;

use super::{CommitFate, FaultyStore, StoreFaults};
use crate::clock::{Clock, VirtualClock};
use crate::model::event::AutoscalingEnabled;
use crate::model::{AppendId, Batch, Seq};
use crate::store::laws::LogMaker;
use crate::store::{AppendError, EventStore, MemoryStore, StoreError};

struct Maker(MemoryStore);

#[async_trait]
impl LogMaker for Maker {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
        Arc::new(FaultyStore::new(Arc::new(self.0.handle(Arc::clone(&clock))), clock, 1))
    }
}

crate::event_store_laws!(Maker(MemoryStore::new(Arc::new(VirtualClock::new(1)))));

fn now<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("nothing delays it")
}

fn batch(number: u8) -> Batch {
    Batch::new(AppendId::from_bytes([number; 16]), &[AutoscalingEnabled {}.into()])
}

fn rig(fate: CommitFate) -> (Arc<MemoryStore>, FaultyStore) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(1));
    let log = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let store = FaultyStore::new(Arc::clone(&log) as _, clock, 1).with_fates(move |_| fate);
    (log, store)
}

#[test]
fn a_commit_in_doubt_is_there_and_a_lost_one_is_not_and_both_are_unknown() {
    for (fate, length) in [(CommitFate::InDoubt, 2), (CommitFate::Lost, 0)] {
        let (log, store) = rig(fate);
        now(store.append_held(Seq::START, &batch(1))).expect("it is held");
        let outcome = now(store.append(Seq::new(1), &batch(2)));
        assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
        assert_eq!(now(log.head()).expect("it answers").seq, Seq::new(length), "{fate:?}");
        assert_eq!(store.take_acknowledged(), [], "nobody was told");
    }
}

#[test]
fn what_is_held_is_lost_with_its_handle_or_to_whoever_is_faster() {
    let (log, store) = rig(CommitFate::Done);
    let other = store.handle(Arc::clone(&log) as _, Arc::new(VirtualClock::new(2)));
    now(store.append_held(Seq::START, &batch(1))).expect("it is held");
    assert_eq!(now(other.head()).expect("it answers").seq, Seq::START, "nobody else sees it");
    now(other.append(Seq::START, &batch(2))).expect("the place is free");
    assert!(matches!(now(store.settle()), Err(AppendError::Unknown(_))));
    now(store.append_held(Seq::new(1), &batch(3))).expect("it is held");
    drop(store);
    assert_eq!(now(log.head()).expect("it answers").seq, Seq::new(1));
    assert_eq!(other.hits().get("held_lost"), Some(&1));
    let told: Vec<_> = other.take_acknowledged().into_iter().map(|told| (told.append, told.last)).collect();
    assert_eq!(told, [(batch(2).append, Seq::new(1))]);
}

#[test]
fn a_stale_view_is_a_prefix_that_never_goes_back() {
    let (log, store) = rig(CommitFate::Done);
    store.set_faults(StoreFaults { stale: 1_000, ..StoreFaults::default() });
    for number in 0..20_u8 {
        now(log.append(Seq::new(u64::from(number)), &batch(number))).expect("the place is free");
    }
    let mut last = Seq::START;
    let mut views = 0;
    while last < Seq::new(19) {
        let head = now(store.head()).expect("it answers");
        assert!(head.seq >= last && head.seq < Seq::new(20), "{:?} after {last:?}", head.seq);
        let seen = now(store.read(Seq::START, 100)).expect("it answers");
        assert_eq!(seen.last().map_or(Seq::START, |record| record.seq), head.seq);
        assert_eq!(seen.last().map_or(head.hash, |record| record.hash), head.hash);
        last = head.seq;
        views += 1;
        assert!(views < 1_000, "it gets on");
    }
}

#[test]
fn each_fault_is_the_error_that_its_name_says_and_nothing_is_appended() {
    let only = |faults: StoreFaults| {
        let (log, store) = rig(CommitFate::Done);
        store.set_faults(faults);
        let outcome = now(store.append(Seq::START, &batch(1)));
        assert_eq!(now(log.head()).expect("it answers").seq, Seq::START);
        outcome.expect_err("it fails")
    };
    let none = StoreFaults::default;
    assert!(matches!(only(StoreFaults { full: 1_000, ..none() }), AppendError::Full));
    let store = |error| if let AppendError::Store(error) = error { error } else { panic!("{error:?}") };
    assert!(matches!(store(only(StoreFaults { unusable: 1_000, ..none() })), StoreError::Unusable(_)));
    assert!(matches!(store(only(StoreFaults { unreachable: 1_000, ..none() })), StoreError::Unreachable(_)));
    assert!(matches!(store(only(StoreFaults { busy: 1_000, ..none() })), StoreError::Unreachable(_)));
    let (_, store) = rig(CommitFate::Done);
    store.set_faults(StoreFaults { corrupt: 1_000, ..none() });
    assert!(matches!(now(store.read(Seq::START, 1)), Err(StoreError::Corrupt { .. })));
}
