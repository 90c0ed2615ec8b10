//! What a change would shut down is shown before it is made: exactly that, in that order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dstack_core::model::event::Event;
use dstack_core::model::state::{Phase, Runner, RunnerPhase};
use dstack_core::model::{
    At, AttemptId, Command, RuleFilter, RunnerId, Span, State, StopReason, decide, preview, victims,
};
use dstack_core::testkit::history::{Act, Driver, Job, Luck};
use dstack_core::testkit::{samples, strategy};
use proptest::collection::vec;
use proptest::prelude::*;

const ACTS: usize = 120;

fn after(acts: &[Act]) -> Driver {
    let mut driver = Driver::new();
    acts.iter().for_each(|act| driver.act(act));
    driver
}

/// Many runners of one rule in all phases: some with work that began at different times, some that bring results home.
fn busy() -> impl Strategy<Value = Vec<Act>> {
    let job = prop::sample::select(vec![0, 0, 0, 5, 2]).prop_map(|shape| Job {
        shape,
        depends_on: 0,
        priority: 0,
        retry: None,
    });
    let one = prop_oneof![
        4 => vec(job, 1..4).prop_map(Act::Submit),
        4 => Just(Act::Plan(0)),
        1 => Just(Act::Launches),
        4 => Just(Act::Try(Luck::Fine)),
        2 => Just(Act::Go(0)),
        2 => Just(Act::Greet(0)),
        2 => (1..9u64).prop_map(|secs| Act::Pass(Span::from_secs(secs))),
        2 => (0..9usize).prop_map(|attempt| Act::Exit(attempt, 0)),
        3 => (0..9usize).prop_map(|attempt| Act::Finish(attempt, 0)),
    ];
    (2..4usize, 4..9u32, vec(one, 40..90)).prop_map(|(offering, max, rest)| {
        let mut acts = vec![Act::Allow(offering, max)];
        acts.extend(rest);
        acts
    })
}

/// What is on a runner, as far as it matters for who goes first. What is said in the design, once more in other words: not
/// launched, launched, idle, then the attempt that started last; those that bring results home last of all.
fn worth(state: &State, runner: &Runner) -> (u8, Reverse<At>) {
    let on: Vec<_> = runner.attempts.iter().filter_map(|attempt| state.workflow(attempt.workflow)).collect();
    let began = on.iter().filter_map(|workflow| workflow.started).max();
    let class = match (runner.phase, on.is_empty()) {
        (RunnerPhase::Wanted, _) => 0,
        (RunnerPhase::Launched, _) => 1,
        (_, true) => 2,
        (_, false) if on.iter().any(|workflow| matches!(workflow.phase, Phase::Exited(..))) => 4,
        (_, false) => 3,
    };
    (class, Reverse(began.unwrap_or(runner.wanted)))
}

fn commands(state: &State, pick: usize, max: u32) -> Vec<Command> {
    let offerings = samples::offerings();
    let offering = &offerings[pick % offerings.len()];
    let mut commands = vec![
        Command::Allow { offering: Box::new(offering.clone()), max, min: 0 },
        Command::Allow { offering: Box::new(offering.clone()), max, min: max + 1 },
        Command::Remove(RuleFilter { purchase: Some(offering.purchase), ..RuleFilter::default() }),
        Command::Remove(RuleFilter::default()),
        Command::Disable,
        Command::Enable,
    ];
    commands.extend(state.runners().keys().map(|id| Command::StopRunner(*id)));
    commands
}

/// The runners that a step began to stop, each with the reason and with what was on it.
fn stopped(before: &State, after: &State) -> BTreeMap<RunnerId, (StopReason, BTreeSet<AttemptId>)> {
    let was_running =
        |id: &RunnerId| before.runners().get(id).is_some_and(|runner| runner.phase < RunnerPhase::Stopping);
    let stops = after.live_runners().filter(|(id, runner)| was_running(id) && runner.phase == RunnerPhase::Stopping);
    let entry = |(id, runner): (RunnerId, &Runner)| {
        let reason = runner.stop.clone().expect("a runner that is stopped has a reason");
        (id, (reason, before.runners()[&id].attempts.clone()))
    };
    stops.map(entry).collect()
}

/// The preview of each command against its events, and against the state that they lead to.
fn previews_are_done(driver: &Driver, pick: usize, max: u32) -> Result<(), TestCaseError> {
    let state = driver.state();
    for command in commands(state, pick, max) {
        let shown = preview(state, &command);
        let events = decide(state, command.clone()).unwrap_or_default();
        let ends = |event: &Event| if let Event::RunnerStopping(event) = event { Some(event.clone()) } else { None };
        let ordered: Vec<_> = events.iter().filter_map(ends).map(|event| (event.runner, event.reason)).collect();
        let expected: Vec<_> = shown.iter().map(|victim| (victim.runner, victim.reason.clone())).collect();
        prop_assert_eq!(ordered, expected, "{:?}", command);
        let mut done = driver.clone();
        done.command(command.clone());
        let shown = shown.into_iter();
        let shown: BTreeMap<_, _> =
            shown.map(|victim| (victim.runner, (victim.reason, victim.attempts.into_iter().collect()))).collect();
        prop_assert_eq!(stopped(state, done.state()), shown, "{:?}", command);
    }
    Ok(())
}

/// Those who go are worth no more than those who stay; each is worth no more than who goes after it; a lower maximum shuts
/// down the same ones first.
fn least_worth_goes_first(state: &State) -> Result<(), TestCaseError> {
    for rule in state.rules().keys() {
        let running: BTreeMap<RunnerId, _> = state
            .live_of(rule)
            .filter(|(_, runner)| runner.phase != RunnerPhase::Stopping)
            .map(|(id, runner)| (id, worth(state, runner)))
            .collect();
        let all = victims(state, rule, 0);
        prop_assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), running.keys().copied().collect::<BTreeSet<_>>());
        let order: Vec<_> = all.iter().map(|id| (running[id], *id)).collect();
        prop_assert!(order.is_sorted(), "{:?}", order);
        for max in 0..=running.len() {
            let gone = victims(state, rule, u32::try_from(max).expect("they are few"));
            prop_assert_eq!(&gone[..], &all[..running.len() - max]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_preview_shows_what_is_then_done(acts in strategy::acts(ACTS), pick in 0..64usize, max in 0..4u32) {
        let driver = after(&acts);
        previews_are_done(&driver, pick, max)?;
        least_worth_goes_first(driver.state())?;
    }

    #[test]
    fn what_is_worth_least_goes_first_among_many(acts in busy(), max in 0..9u32) {
        let driver = after(&acts);
        previews_are_done(&driver, 2, max)?;
        least_worth_goes_first(driver.state())?;
    }
}

/// The property is worth nothing if few of its cases have anything to choose from.
#[test]
fn many_runners_differ_in_what_they_are_worth() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut met: BTreeMap<(u8, bool), u32> = BTreeMap::new();
    for _ in 0..64 {
        let driver = after(&busy().new_tree(&mut runner).expect("nothing is filtered out").current());
        let state = driver.state();
        let worths: Vec<_> = state.live_runners().map(|(_, runner)| worth(state, runner)).collect();
        for (class, since) in &worths {
            let differs = worths.iter().any(|(other, at)| other == class && at != since);
            *met.entry((*class, differs)).or_default() += 1;
        }
    }
    for (class, least) in [(0, 1), (1, 9), (2, 9), (3, 9), (4, 9)] {
        assert!(met.get(&(class, true)).is_some_and(|count| *count > least), "{met:?}");
    }
}
