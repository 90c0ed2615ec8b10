//! Nothing starves: a workflow that was overtaken 16 times gets a runner, whatever small ones come after it.

use std::collections::{BTreeMap, BTreeSet};

use dstack_core::model::plan::{Fit, WaitReason};
use dstack_core::model::state::MAX_OVERTAKINGS;
use dstack_core::model::*;
use dstack_core::testkit::floor::{Delays, Floor};
use dstack_core::testkit::{naive, samples};
use proptest::collection::vec;
use proptest::prelude::*;

const SECS: Span = Span::from_secs(1);
/// Smallest share of a runner in these tests, in thousandths of a processor: a runner has 8,000.
const SLOT: u64 = 1_000;
/// Most small workflows that one runner holds.
const SLOTS: u64 = 8;
/// Longest time that a small one runs.
const LONGEST: u64 = 12;

fn big_offering() -> Offering {
    samples::offering("big", Purchase::OnDemand, 8)
}

fn spec(needs: Needs) -> WorkflowSpec {
    samples::workflow("w", needs)
}

fn at(secs: u64) -> At {
    At::from_micros(i64::try_from(secs).expect("it is small") * 1_000_000)
}

/// What comes in one second.
#[derive(Debug, Clone)]
struct Second {
    /// Small ones, each with its size in slots and its time.
    small: Vec<(u64, u64)>,
    /// A large one that fills a runner: sharing, or alone.
    large: Option<bool>,
}

fn second() -> impl Strategy<Value = Second> {
    let small = vec((1..=2u64, 1..=LONGEST), 1..6);
    (small, prop::option::weighted(0.04, any::<bool>())).prop_map(|(small, large)| Second { small, large })
}

fn large(shares: bool) -> Needs {
    if shares { samples::needs(8_000, 8) } else { Needs { cpu: Some(MilliCpu(8_000)), ..Needs::default() } }
}

/// Runners that are full of small work, and more of it each second than they can do.
fn floor(runners: u32) -> Floor {
    let mut floor = Floor::new(Delays { launch: Span::ZERO, boot: Span::ZERO, ..Delays::default() });
    floor.allow(big_offering(), runners, runners);
    floor.decide(&mut schedule);
    floor.run_out(&mut schedule);
    floor
}

proptest! {
    #![proptest_config(super::config())]

    /// The bound: from its 16th overtaking on, a workflow waits for one runner to drain. The runner changes only to a more empty
    /// one, so at most once for each slot; each time what runs there ends within the longest time of a workflow.
    #[test]
    fn a_workflow_that_was_overtaken_too_often_starts_within_the_bound(
        seconds in vec(second(), 60..120),
        runners in 1..4u32,
    ) {
        let mut floor = floor(runners);
        let mut large_ones: BTreeSet<WorkflowId> = BTreeSet::new();
        let mut impatient: BTreeMap<WorkflowId, u64> = BTreeMap::new();
        for (now, second) in (0..).zip(&seconds) {
            floor.run_until(at(now), &mut schedule);
            for (slots, secs) in &second.small {
                floor.submit(vec![(spec(samples::needs(slots * SLOT, 1)), Span::from_secs(*secs))]);
            }
            if let Some(shares) = second.large {
                let run = floor.submit(vec![(spec(large(shares)), Span::from_secs(LONGEST))]);
                large_ones.insert(WorkflowId { run, index: 0 });
            }
            let slow = {
                let known = dstack_core::model::plan::ScopeTick { last_look: Some(floor.now()), allowance: u32::MAX };
                let scopes = floor.state().scopes().into_iter().map(|scope| (scope, known)).collect();
                naive::schedule(floor.state(), &Tick { at: floor.now(), scopes, ..Tick::default() })
            };
            let plan = floor.decide(&mut schedule);
            prop_assert_eq!(&plan, &slow);
            if now % 8 == 0 {
                prop_assert_eq!(invariant::broken(floor.state()), None);
            }
            for id in &large_ones {
                // What has left the state is over.
                let Some(workflow) = floor.state().workflow(*id) else { continue };
                prop_assert!(workflow.overtaken <= MAX_OVERTAKINGS);
                if workflow.runner().is_none() && workflow.overtaken == MAX_OVERTAKINGS {
                    let since = *impatient.entry(*id).or_insert(now);
                    // Earlier large ones go first: each holds a runner for its own time.
                    let ahead = u64::try_from(large_ones.range(..).count()).expect("they are few");
                    let bound = (SLOTS + 1) * LONGEST + ahead * LONGEST;
                    prop_assert!(now - since <= bound, "{} waits since {} at {}", id, since, now);
                }
            }
        }
    }
}

/// Floods on all kinds of machines: each second some workflows of any shape, each with its time; and how many of each offering.
fn floods() -> impl Strategy<Value = (Vec<u32>, Vec<Vec<(usize, u64)>>)> {
    let kinds = samples::offerings().len();
    // Small ones often, so that the others are overtaken.
    let shape = prop_oneof![3 => prop::sample::select(vec![1usize, 2, 8, 10, 12]), 1 => 0..samples::shapes().len()];
    (vec(0..3u32, kinds), vec(vec((shape, 1..=LONGEST), 0..6), 30..60))
}

/// Runs a flood; `judge` sees each state before it is planned on.
fn flooded(
    maxima: &[u32],
    seconds: &[Vec<(usize, u64)>],
    mut judge: impl FnMut(&State, &Tick) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut floor = Floor::new(Delays { launch: SECS, boot: SECS, ..Delays::default() });
    for (offering, max) in samples::offerings().into_iter().zip(maxima) {
        floor.allow(offering, *max, 0);
    }
    let shapes = samples::shapes();
    for (now, second) in (0..).zip(seconds) {
        floor.run_until(at(now), &mut schedule);
        for (shape, secs) in second {
            floor.submit(vec![(spec(shapes[*shape].clone()), Span::from_secs(*secs))]);
        }
        let known = dstack_core::model::plan::ScopeTick { last_look: Some(floor.now()), allowance: u32::MAX };
        let scopes = floor.state().scopes().into_iter().map(|scope| (scope, known)).collect();
        judge(floor.state(), &Tick { at: floor.now(), scopes, ..Tick::default() })?;
        floor.decide(&mut schedule);
    }
    Ok(())
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn the_slow_and_simple_scheduler_plans_the_same_in_floods((maxima, seconds) in floods()) {
        flooded(&maxima, &seconds, |state, tick| {
            prop_assert_eq!(schedule(state, tick), naive::schedule(state, tick));
            Ok(())
        })?;
    }
}

/// The floods are worth nothing if few runners are kept in them: those of a pool, those held by one workflow, and others.
#[test]
fn floods_lead_to_reservations_of_every_kind() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut pooled, mut exclusive, mut several) = (0, 0, 0);
    for _ in 0..32 {
        let (maxima, seconds) = floods().new_tree(&mut runner).expect("nothing is filtered out").current();
        let count = |state: &State, tick: &Tick| {
            let kept = schedule(state, tick).kept;
            let of = |id: &RunnerId| &state.runners()[id];
            pooled += kept.keys().filter(|id| of(id).offering.pooled).count();
            exclusive += kept.keys().filter(|id| of(id).is_exclusive).count();
            several += usize::from(kept.len() > 1);
            Ok(())
        };
        flooded(&maxima, &seconds, count).expect("it only counts");
    }
    assert!(pooled > 9 && exclusive > 9 && several > 9, "{pooled} {exclusive} {several}");
}

/// How often a workflow was overtaken, counted from the starts alone: those of what was submitted after it.
fn overtakings(floor: &Floor, large: WorkflowId) -> usize {
    let submitted = |id: WorkflowId| floor.state().runs().get(&id.run).map(|run| run.submitted);
    floor.starts().iter().filter(|start| submitted(start.workflow) > submitted(large)).count()
}

/// Fills every slot that is free on any runner, and puts as many again behind them: without a reservation no room ever gathers.
fn flood(floor: &mut Floor, lengths: &mut impl Iterator<Item = u64>) {
    let free = |runner: &state::Runner| state::Used::all_of(&runner.offering).minus(runner.used).cpu.0 / SLOT;
    let slots: u64 = floor.state().live_runners().map(|(_, runner)| free(runner)).sum();
    for _ in 0..2 * slots.max(1) {
        let length = Span::from_secs(lengths.next().unwrap_or(LONGEST));
        floor.submit(vec![(spec(samples::needs(SLOT, 1)), length)]);
    }
}

proptest! {
    #![proptest_config(super::config())]

    /// The same bound against an adversary who sees everything and leaves no slot free: from its 16th overtaking on, which the
    /// test counts by itself, a large workflow starts within `(SLOTS + 1) * LONGEST` seconds. It takes no more than a few seconds
    /// until then, so no large workflow waits for ever.
    #[test]
    fn no_flood_of_small_workflows_starves_a_large_one(
        lengths in vec(1..=LONGEST, 50..200),
        runners in 1..4u32,
        shares in any::<bool>(),
    ) {
        let mut floor = floor(runners);
        let mut lengths = lengths.iter().copied().cycle();
        for now in 0..LONGEST {
            floor.run_until(at(now), &mut schedule);
            flood(&mut floor, &mut lengths);
            floor.decide(&mut schedule);
        }
        // Those that wait already go first.
        let waiting = u64::try_from(floor.state().queue().len()).expect("they are few");
        let run = floor.submit(vec![(spec(large(shares)), SECS)]);
        let large = WorkflowId { run, index: 0 };
        let mut since = None;
        for now in LONGEST.. {
            floor.run_until(at(now), &mut schedule);
            flood(&mut floor, &mut lengths);
            floor.decide(&mut schedule);
            if floor.state().workflow(large).expect("it is known").phase != state::Phase::Waiting {
                break;
            }
            if overtakings(&floor, large) >= usize::try_from(MAX_OVERTAKINGS).expect("it is small") {
                let since = *since.get_or_insert(now);
                prop_assert!(now - since <= (SLOTS + 1) * LONGEST, "it waits since {} at {}", since, now);
            }
            let until_then = (waiting + u64::from(MAX_OVERTAKINGS)) * LONGEST;
            prop_assert!(since.is_some() || now <= LONGEST + until_then, "nothing overtakes it, and it waits at {}", now);
        }
        prop_assert!(since.is_some(), "the flood let it through before it was overtaken sixteen times");
    }
}

/// One runner, always full of small work that comes in twos, and one workflow that needs all of it.
#[test]
fn a_large_workflow_among_endless_small_ones_is_kept_a_runner_after_sixteen() {
    let mut floor = floor(1);
    let small = || (spec(samples::needs(4_000, 1)), Span::from_secs(10));
    floor.submit(vec![small()]);
    floor.decide(&mut schedule);
    let run = floor.submit(vec![(spec(samples::needs(8_000, 1)), SECS)]);
    let large = WorkflowId { run, index: 0 };
    let overtaken = |floor: &Floor| floor.state().workflow(large).expect("it is known").overtaken;
    let mut now = 0;
    let mut counts = Vec::new();
    while overtaken(&floor) < MAX_OVERTAKINGS {
        assert!(counts.len() < 99, "it is overtaken, and nobody counts: {counts:?}");
        now += 5;
        floor.submit(vec![small()]);
        floor.run_until(at(now), &mut schedule);
        floor.decide(&mut schedule);
        counts.push(overtaken(&floor));
    }
    assert_eq!(counts, (1..=16).collect::<Vec<_>>());
    floor.submit(vec![small(), small()]);
    floor.run_until(at(now + 5), &mut schedule);
    let plan = floor.decide(&mut schedule);
    let runner = *plan.kept.first_key_value().expect("one is kept").0;
    assert_eq!(plan.kept, BTreeMap::from([(runner, large)]));
    assert_eq!(plan.waiting[&samples::needs(8_000, 1)], WaitReason::Kept(runner));
    assert_eq!(plan.waiting[&samples::needs(4_000, 1)], WaitReason::KeptForEarlier(runner));
    assert_eq!(plan.items, [], "half of it is free, and stays so");
    floor.run_until(at(now + 10), &mut schedule);
    let started = floor.state().workflow(large).expect("it is known");
    assert_eq!((started.runner(), started.overtaken), (Some(runner), 0));
}

/// Half of the only runner is taken for long. Another type is tried again after each pause, and is never there.
#[test]
fn a_launch_that_fails_again_and_again_gives_away_nothing_that_is_kept() {
    let mut floor = Floor::new(Delays { launch: SECS, boot: Span::ZERO, ..Delays::default() });
    floor.allow(big_offering(), 1, 1);
    floor.decide(&mut schedule);
    floor.run_out(&mut schedule);
    floor.zone_has("dry", false);
    floor.allow(Offering { zones: vec!["dry".to_owned()], ..samples::offering("dry", Purchase::Spot, 8) }, 1, 0);
    let half = |secs| (spec(samples::needs(4_000, 1)), Span::from_secs(secs));
    floor.submit(vec![half(2_000)]);
    floor.decide(&mut schedule);
    let run = floor.submit(vec![(spec(samples::needs(8_000, 1)), SECS)]);
    let large = WorkflowId { run, index: 0 };
    let mut launches = BTreeMap::new();
    let begun = floor.now();
    while floor.state().workflow(large).is_some_and(|known| known.runner().is_none()) {
        let second = floor.now().plus(SECS);
        assert!(second.since(begun) < Span::from_secs(2_100), "it starves");
        floor.run_until(second, &mut |state: &State, tick: &Tick| {
            let plan = schedule(state, tick);
            assert_eq!(plan, naive::schedule(state, tick));
            if plan.items.iter().any(|item| matches!(item, Item::Launch { .. })) {
                let count = launches.entry(plan.kept.len()).or_insert(0);
                *count += 1;
            }
            plan
        });
        floor.submit(vec![half(4)]);
        floor.decide(&mut schedule);
    }
    assert!(launches[&1] >= 3, "with a runner kept, the other type was tried again: {launches:?}");
    assert_eq!(overtakings(&floor, large), usize::try_from(MAX_OVERTAKINGS).expect("it is small"));
}

#[test]
fn an_overtaking_is_counted_for_the_first_of_a_shape_and_only_by_what_comes_after_it() {
    let mut floor = floor(1);
    floor.submit(vec![(spec(samples::needs(2_000, 1)), Span::from_secs(99))]);
    floor.decide(&mut schedule);
    let large = floor
        .submit(vec![(spec(samples::needs(8_000, 1)), SECS), (samples::workflow("v", samples::needs(8_000, 1)), SECS)]);
    let urgent = WorkflowSpec { priority: 1, ..spec(samples::needs(1_000, 1)) };
    floor.submit(vec![(urgent, SECS)]);
    floor.submit(vec![(spec(samples::needs(1_000, 1)), SECS)]);
    let plan = floor.decide(&mut schedule);
    assert_eq!(plan.items.iter().filter(|item| matches!(item, Item::Assign { why: Fit::Beside, .. })).count(), 2);
    let overtaken = [0, 1].map(|index| floor.state().workflow(WorkflowId { run: large, index }).map(|it| it.overtaken));
    assert_eq!(overtaken, [Some(1), Some(0)]);
}

proptest! {
    #![proptest_config(super::config())]

    /// Nothing waits that an idle fitting runner or an allowed fitting offering could take, but for a reason in the plan that is
    /// true.
    #[test]
    fn what_waits_could_not_have_been_started(
        seconds in vec(second(), 20..60),
        runners in 1..3u32,
        others in 0..3u32,
    ) {
        let mut floor = Floor::new(Delays { launch: SECS, boot: SECS, ..Delays::default() });
        floor.allow(big_offering(), runners, 0);
        floor.allow(samples::offering("small", Purchase::Spot, 2), others, 0);
        for (now, second) in (0..).zip(&seconds) {
            floor.run_until(at(now), &mut schedule);
            for (slots, secs) in &second.small {
                floor.submit(vec![(spec(samples::needs(slots * SLOT, 1)), Span::from_secs(*secs))]);
            }
            if let Some(shares) = second.large {
                floor.submit(vec![(spec(large(shares)), Span::from_secs(LONGEST))]);
            }
            let plan = floor.decide(&mut schedule);
            let state = floor.state();
            for (needs, reason) in plan.waiting.iter() {
                let fitting = || state.rules().iter().filter(|(_, rule)| needs.fit(&rule.offering));
                let is_full = fitting().all(|(key, rule)| state.live_count(key) >= rule.max);
                prop_assert!(is_full, "{} could be launched for {}: {}", fitting().count(), needs, reason);
                let has_room = |runner: &state::Runner| {
                    let free = state::Used::all_of(&runner.offering).minus(runner.used);
                    let shares = !runner.is_exclusive && needs.may_share();
                    needs.fit(&runner.offering)
                        && (runner.attempts.is_empty() || (shares && state::Used::by(needs).fits_in(free)))
                };
                let open = state.live_runners().find(|(id, runner)| {
                    runner.takes_work() && has_room(runner) && !plan.kept.contains_key(id)
                });
                prop_assert_eq!(open.map(|(id, _)| id), None, "it has room for {}: {}", needs, reason);
                let zero = fitting().all(|(_, rule)| rule.max == 0);
                match reason {
                    WaitReason::MaximumZero(rules) => prop_assert!(zero && !rules.is_empty()),
                    WaitReason::AtMaximum(rules) => {
                        prop_assert!(!zero);
                        prop_assert!(rules.iter().all(|rule| state.rules()[&**rule].max > 0));
                    }
                    WaitReason::Kept(runner) | WaitReason::KeptForEarlier(runner) => {
                        prop_assert!(plan.kept.contains_key(runner));
                    }
                    other => prop_assert!(false, "{}", other),
                }
            }
        }
    }
}

/// A bigger maximum may make a workflow start later, as in every list schedule: one more small runner lets `b` run beside `y`,
/// so that `c`, which needs the only big runner for long, is ready while `e` still waits for `y`.
#[test]
fn a_bigger_maximum_can_make_a_workflow_start_later() {
    let started = |max: u32| {
        let mut floor = Floor::new(Delays { launch: Span::ZERO, boot: Span::ZERO, ..Delays::default() });
        floor.allow(big_offering(), 1, 0);
        floor.allow(samples::offering("small", Purchase::OnDemand, 2), max, 0);
        let of = |name: &str, cpu, depends_on: &[u32]| WorkflowSpec {
            depends_on: depends_on.to_vec(),
            ..samples::workflow(name, Needs { cpu: Some(MilliCpu(cpu)), ..Needs::default() })
        };
        let secs = Span::from_secs;
        let run = floor.submit(vec![
            (of("y", 1_000, &[]), secs(10)),
            (of("b", 1_000, &[]), secs(1)),
            (of("e", 8_000, &[0]), secs(1)),
            (of("c", 8_000, &[1]), secs(100)),
        ]);
        floor.decide(&mut schedule);
        floor.run_out(&mut schedule);
        let mut starts = floor.starts().iter();
        starts.find(|start| start.workflow == WorkflowId { run, index: 2 }).map(|start| start.at)
    };
    assert_eq!([started(0), started(1)], [Some(at(11)), Some(at(101))]);
}
