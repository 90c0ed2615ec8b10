//! The fold is total, split-invariant and faithful to its indexes, whatever comes.

use dstack_core::model::invariant::INVARIANTS;
use dstack_core::model::{AppendId, At, Content, Event, Record, RecordHash, Seq, State, Tick, outstanding, schedule};
use dstack_core::testkit::history::records_of;
use dstack_core::testkit::strategy;
use proptest::collection::vec;
use proptest::prelude::*;

/// These events as records of one log, a second apart, each an append of its own.
pub(crate) fn log_of(events: impl IntoIterator<Item = Event>) -> Vec<Record> {
    let mut records = Vec::new();
    let mut hash = RecordHash::START;
    for (place, event) in (1..).zip(events) {
        let (seq, at) = (Seq::new(place), At::from_micros(i64::try_from(place).expect("it is small") * 1_000_000));
        let append = AppendId::from_entropy([u8::try_from(place % 251).expect("it is below 251"); 16]);
        hash = hash.next(seq, at, append, 0, &event.encode());
        records.push(Record { seq, at, append, hash, content: Content::Known(event) });
    }
    records
}

pub(crate) fn fold(records: &[Record]) -> State {
    let mut state = State::default();
    state.apply_all(records);
    state
}

fn events(records: &[Record]) -> Vec<Event> {
    records.iter().filter_map(|record| record.event().cloned()).collect()
}

/// Every law but the cap, which depends on who wrote the log.
fn judge(state: &State) -> Result<(), TestCaseError> {
    for (name, law) in INVARIANTS.iter().filter(|(name, _)| *name != "cap") {
        law(state).map_err(|why| TestCaseError::fail(format!("{name} at record {}: {why}", state.seq())))?;
    }
    Ok(())
}

/// A history with some of its events taken out, doubled or moved: near enough to a real one to go deep.
fn broken_history() -> impl Strategy<Value = Vec<Event>> {
    (strategy::acts(60), vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8), 0..12)).prop_map(
        |(acts, breaks)| {
            let mut events = events(&records_of(&acts));
            for (from, to, how) in breaks {
                let (from, to) = (from.index(events.len()), to.index(events.len()));
                match how {
                    0 => events.swap(from, to),
                    1 => events.insert(to, events[from].clone()),
                    2 if events.len() > 1 => drop(events.remove(from)),
                    _ => {
                        let moved = events.remove(from);
                        events.insert(to.min(events.len()), moved);
                    }
                }
            }
            events
        },
    )
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    prop_oneof![vec(strategy::event(), 0..150), broken_history()]
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn any_event_in_any_state_is_taken_in_and_leaves_the_laws_in_force(events in any_events()) {
        let mut state = State::default();
        for record in log_of(events) {
            state.apply(&record);
            judge(&state)?;
            let tick = Tick { at: record.at, ..Tick::default() };
            schedule(&state, &tick);
            outstanding(&state);
        }
    }

    #[test]
    fn folding_in_pieces_through_snapshots_is_folding_the_whole(
        events in any_events(),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let records = log_of(events);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(records.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(records.len());
        let (mut state, mut done) = (State::default(), 0);
        for cut in cuts {
            state.apply_all(&records[done..cut]);
            done = cut;
            let snapshot = state.to_snapshot();
            let again = State::from_snapshot(&snapshot).expect("it was just written");
            prop_assert_eq!(&again, &state);
            prop_assert_eq!(again.to_snapshot(), snapshot);
            state = again;
        }
        prop_assert_eq!(state, fold(&records));
    }

    #[test]
    fn every_event_reads_back_as_it_was_written(event in strategy::event()) {
        let encoded = event.encode();
        prop_assert_eq!(Event::decode(&encoded.kind, encoded.version, &encoded.json), Ok(event));
    }

    #[test]
    fn the_same_record_twice_changes_nothing_but_the_list_of_faults(events in any_events()) {
        let mut state = State::default();
        for record in log_of(events) {
            state.apply(&record);
            let mut again = state.clone();
            again.apply(&record);
            prop_assert_eq!(again.faults().count(), state.faults().count() + 1);
            prop_assert_eq!((again.seq(), again.hash(), again.rules()), (state.seq(), state.hash(), state.rules()));
            prop_assert_eq!((again.runs(), again.runners()), (state.runs(), state.runners()));
        }
    }

    #[test]
    fn a_claim_is_made_on_a_wanted_runner_whose_earlier_claims_are_closed(events in any_events()) {
        use dstack_core::model::state::RunnerPhase;
        let mut state = State::default();
        for record in log_of(events) {
            let before = state.clone();
            state.apply(&record);
            for (id, runner) in state.runners() {
                let earlier = before.runners().get(id);
                let number = |claim: &dstack_core::model::state::Claim| claim.number.0;
                let then = earlier.and_then(|runner| runner.claim.as_ref()).map_or(0, number);
                let now = runner.claim.as_ref().map_or(0, number);
                if then != now {
                    prop_assert_eq!(now, then + 1);
                    prop_assert!(earlier.is_some_and(|runner| runner.open_claim().is_none()), "two on {}", id);
                    prop_assert_eq!(earlier.map(|runner| runner.phase), Some(RunnerPhase::Wanted));
                }
            }
        }
    }

    #[test]
    fn an_exit_that_was_recorded_never_changes(events in any_events()) {
        use dstack_core::model::state::{Outcome, Phase};
        let mut state = State::default();
        for record in log_of(events) {
            let before = state.clone();
            state.apply(&record);
            for (id, run) in before.runs() {
                for (index, workflow) in (0..).zip(&run.workflows) {
                    let Phase::Exited(_, exit) = workflow.phase else { continue };
                    let Some(after) = state.runs().get(id).and_then(|run| run.workflow(index)) else { continue };
                    match &after.phase {
                        Phase::Exited(_, now) | Phase::Over(Outcome::Failed { exit: now, .. }) => {
                            prop_assert_eq!(*now, exit);
                        }
                        Phase::Over(Outcome::Succeeded) => prop_assert!(exit.is_success()),
                        Phase::Assigned(_) => prop_assert!(false, "{} runs again without having waited", index),
                        Phase::Waiting | Phase::Over(_) => {}
                    }
                }
            }
        }
    }
}
