//! Equals go in the order of their submission, and what is equal may come in any order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dstack_core::cloud::Look;
use dstack_core::model::event::*;
use dstack_core::model::*;
use dstack_core::testkit::floor::{Delays, Floor};
use dstack_core::testkit::history::Driver;
use dstack_core::testkit::{samples, strategy};
use proptest::collection::vec;
use proptest::prelude::*;

use super::given::{ME, claim};

const ACTS: usize = 120;

/// What a plan does for a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lot {
    /// It goes onto a runner.
    Assigned,
    /// A runner is being started for it.
    Promised,
    Waits,
}

fn lots(plan: &Plan) -> impl Fn(WorkflowId) -> Lot + use<> {
    let assigned = |item: &Item| if let Item::Assign { attempt, .. } = item { Some(attempt.workflow) } else { None };
    let assigned: BTreeSet<_> = plan.items.iter().filter_map(assigned).collect();
    let promised: BTreeSet<_> = plan.starting.keys().copied().collect();
    move |id| {
        if assigned.contains(&id) {
            Lot::Assigned
        } else if promised.contains(&id) {
            Lot::Promised
        } else {
            Lot::Waits
        }
    }
}

proptest! {
    #![proptest_config(super::config())]

    /// Of workflows with equal needs none fares better than one before it: by priority, then by the record that submitted
    /// it, then by its place there. No id counts.
    #[test]
    fn equals_go_in_the_order_of_their_submission(acts in strategy::acts(ACTS)) {
        let mut driver = Driver::new();
        for act in &acts {
            driver.act(act);
            let state = driver.state();
            let lot_of = lots(&schedule(state, &driver.tick()));
            let mut equals: BTreeMap<&Needs, Vec<_>> = BTreeMap::new();
            for (run, found) in state.runs() {
                let open = (0..).zip(&found.workflows).filter(|(_, it)| it.phase == state::Phase::Waiting && it.unmet == 0);
                for (index, workflow) in open {
                    let place = (Reverse(workflow.spec.priority), found.submitted, index);
                    equals.entry(&workflow.spec.needs).or_default().push((place, lot_of(WorkflowId { run: *run, index })));
                }
            }
            for (needs, mut line) in equals {
                line.sort_unstable();
                prop_assert!(line.is_sorted_by_key(|(_, lot)| *lot), "{} after {:?}: {:?}", needs, act, line);
            }
        }
    }

    /// The machines of a look may be listed in any order.
    #[test]
    fn the_order_of_a_listing_does_not_matter(acts in strategy::acts(ACTS)) {
        let mut driver = Driver::new();
        acts.iter().for_each(|act| driver.act(act));
        for scope in driver.state().scopes() {
            let seen = |(token, machine): (&Token, &dstack_core::testkit::history::FakeMachine)| dstack_core::cloud::Seen {
                id: machine.id.clone(),
                token: Some(token.clone()),
                state: machine.state,
                address: None,
                reason: None,
is_taken_back: false,
            };
            let all = driver.cloud().machines().iter().filter(|(_, machine)| machine.scope == scope);
            let mut machines: Vec<_> = all.map(seen).collect();
            let sightings = BTreeMap::new();
            let looked = |machines: &[dstack_core::cloud::Seen]| {
                let look = Look { machines: machines.to_vec(), absent: Vec::new() };
                let (scope, sightings) = (scope.clone(), sightings.clone());
                let mut after = driver.clone();
                after.append(&reconcile(driver.state(), &Observation::Looked { scope, began: driver.now(), look, sightings }));
                (after.state().runners().clone(), schedule(after.state(), &after.tick()))
            };
            let forwards = looked(&machines);
            machines.reverse();
            prop_assert_eq!(forwards, looked(&machines));
        }
    }

    /// Rules, equal runners and equal workflows in any order: the plan is the same, but for the names of equals.
    #[test]
    fn equal_inputs_in_any_order_give_the_same_plan(
        runners in vec((0..7usize, any::<bool>()), 0..12),
        needs in vec(strategy::needs(), 1..12),
        keys in vec(any::<u64>(), 31),
    ) {
        let plain = plan_of(&runners, &needs, &[0; 31]);
        prop_assert_eq!(plan_of(&runners, &needs, &keys), plain);
    }
}

/// What is planned for runs of one workflow each, in the order in which they are submitted: `keys` shuffle the rules, the
/// order in which runners become ready, and the ids of the runs, for none of which there is a reason.
fn plan_of(
    runners: &[(usize, bool)],
    needs: &[Needs],
    keys: &[u64],
) -> (Vec<(usize, RunnerId)>, Vec<RuleKey>, Vec<Lot>) {
    let shuffled = |count: usize, from: usize| {
        let mut places: Vec<usize> = (0..count).collect();
        places.sort_by_key(|place| keys[from + place]);
        places
    };
    let mut driver = Driver::new();
    let offerings = samples::offerings();
    for place in shuffled(offerings.len(), 0) {
        driver.append(&[RuleAllowed { max: 5, min: 0, offering: offerings[place].clone() }.into()]);
    }
    for (number, (offering, _)) in (0..).zip(runners) {
        let log = driver.state().log().expect("it has its first record");
        let offering = &offerings[*offering];
        let request = LaunchRequest::new(log, LaunchId::from_bits(number), offering, offering.zones[0].clone());
        let wanted = RunnerWanted { runner: RunnerId::from_bits(number), request: std::sync::Arc::new(request) };
        driver.append(&[wanted.into(), ClaimMade { controller: ME, ..claim(number, 1) }.into()]);
    }
    for place in shuffled(runners.len(), 7).into_iter().filter(|place| runners[*place].1) {
        let runner = RunnerId::from_bits(u64::try_from(place).expect("they are few"));
        let machine = MachineId(format!("m{place}"));
        driver.append(&[RunnerLaunched { runner, machine, address: None }.into()]);
        driver.append(&[RunnerReady { runner, address: None, identity: None }.into()]);
    }
    let number = |place: usize| u64::try_from(place).expect("they are few");
    let ids: Vec<RunId> = shuffled(needs.len(), 19).into_iter().map(|place| RunId::from_bits(number(place))).collect();
    for (run, needs) in ids.iter().zip(needs) {
        let name = "run".parse().expect("it is a name");
        let workflow = WorkflowId { run: *run, index: 0 };
        let spec = std::sync::Arc::new(samples::workflow("w", needs.clone()));
        driver.append(&[
            RunSubmitted { run: *run, name, workflows: 1, folder: None, secrets: Vec::new() }.into(),
            WorkflowSubmitted { id: workflow, spec }.into(),
        ]);
    }
    let plan = schedule(driver.state(), &driver.tick());
    let place_of = |run: RunId| ids.iter().position(|id| *id == run).expect("it was submitted");
    let assigned = |item: &Item| match item {
        Item::Assign { attempt, runner, .. } => Some((place_of(attempt.workflow.run), *runner)),
        Item::Skip { .. } | Item::Launch { .. } | Item::Claim { .. } | Item::Stop { .. } => None,
    };
    let launched = |item: &Item| if let Item::Launch { rule, .. } = item { Some(rule.clone()) } else { None };
    let lot_of = lots(&plan);
    (
        plan.items.iter().filter_map(assigned).collect(),
        plan.items.iter().filter_map(launched).collect(),
        ids.iter().map(|run| lot_of(WorkflowId { run: *run, index: 0 })).collect(),
    )
}

/// When each of these equal workflows starts, in the order of their submission; each comes so many seconds after the one before
/// it, and runs for so many.
fn started(max: u32, needs: &Needs, jobs: &[(u64, u64)], delays: Delays) -> Vec<At> {
    let mut floor = Floor::new(delays);
    floor.allow(samples::offering("big", Purchase::OnDemand, 8), max, 0);
    let mut now = At::default();
    let mut runs = Vec::new();
    for (gap, secs) in jobs {
        now = now.plus(Span::from_secs(*gap));
        floor.run_until(now, &mut schedule);
        runs.push(floor.submit(vec![(samples::workflow("w", needs.clone()), Span::from_secs(*secs))]));
        floor.decide(&mut schedule);
    }
    floor.run_out(&mut schedule);
    let starts: BTreeMap<RunId, At> = floor.starts().iter().map(|start| (start.workflow.run, start.at)).collect();
    runs.iter().map(|run| starts[run]).collect()
}

const AT_ONCE: Delays = Delays { launch: Span::ZERO, boot: Span::ZERO, notice: Span::ZERO };

proptest! {
    #![proptest_config(super::config())]

    /// A bigger maximum starts none of equal and independent workflows later, whenever they come and however long each runs,
    /// where machines are there at once.
    #[test]
    fn a_bigger_maximum_starts_no_equal_and_independent_workflow_later(
        jobs in vec((1..40u64, 1..400u64), 1..40),
        cpu in prop::sample::select(vec![1_000u64, 3_000, 5_000]),
        max in 1..4u32,
    ) {
        let needs = samples::needs(cpu, 1);
        let (fewer, more) = (started(max, &needs, &jobs, AT_ONCE), started(max + 1, &needs, &jobs, AT_ONCE));
        prop_assert_eq!(fewer.len(), jobs.len());
        for (fewer, more) in fewer.iter().zip(&more) {
            prop_assert!(more <= fewer, "{} instead of {}", more, fewer);
        }
    }
}

/// Where machines take time to boot it may: with one more, the work is done earlier, both machines are idle for long enough and
/// go, and the next workflow waits for a new one. With one machine that was busy all the time it would have found it there.
#[test]
fn a_bigger_maximum_can_let_go_of_the_machine_that_the_next_workflow_needs() {
    let needs = samples::needs(8_000, 1);
    let jobs = [(0, 400), (1, 400), (869, 10)];
    let last = |max| *started(max, &needs, &jobs, Delays::default()).last().expect("three start");
    let at = |secs: i64| At::from_micros(secs * 1_000_000);
    assert_eq!([last(1), last(2)], [at(870), at(935)]);
}
