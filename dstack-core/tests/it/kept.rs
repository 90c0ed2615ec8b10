//! Which runner is kept for a workflow that was overtaken too often: the emptiest that could hold it.

use std::collections::BTreeMap;

use dstack_core::model::event::*;
use dstack_core::model::explain::RunnerAnswer;
use dstack_core::model::plan::{ScopeTick, WaitReason};
use dstack_core::model::state::MAX_OVERTAKINGS;
use dstack_core::model::*;
use dstack_core::testkit::floor::{Delays, Floor};
use dstack_core::testkit::{naive, samples};

/// Ready runners of one offering, and a workflow that needs all of one and was overtaken as often as it may be.
struct Crowd {
    floor: Floor,
    /// In the order of their ids.
    runners: Vec<RunnerId>,
    patient: WorkflowId,
    needs: Needs,
}

impl Crowd {
    fn new(offering: Offering, runners: u32, needs: Needs) -> Self {
        let mut floor = Floor::new(Delays { launch: Span::ZERO, boot: Span::ZERO, ..Delays::default() });
        floor.allow(offering, runners, runners);
        floor.decide(&mut schedule);
        floor.run_out(&mut schedule);
        let ids = floor.state().live_runners().map(|(id, _)| id).collect();
        let patient = submit(&mut floor, 0, needs.clone());
        let mut crowd = Self { floor, runners: ids, patient, needs };
        for _ in 0..MAX_OVERTAKINGS {
            let attempt = crowd.holds(0, samples::needs(250, 1));
            crowd.floor.add(AttemptExited { attempt, exit: Exit::exited(0) });
            crowd.floor.add(ResultsKept { attempt, manifest: None, missing: Vec::new() });
        }
        crowd
    }

    /// That runner is given a workflow with these needs.
    fn holds(&mut self, runner: usize, needs: Needs) -> AttemptId {
        let workflow = submit(&mut self.floor, 0, needs);
        let attempt = AttemptId { workflow, number: 1 };
        self.floor.add(AttemptAssigned { attempt, runner: self.runners[runner] });
        attempt
    }

    /// Something that goes before the one that was overtaken.
    fn urgent(&mut self, needs: Needs) {
        submit(&mut self.floor, 1, needs);
    }

    /// Which runner is kept, by the policy and by the slow scheduler.
    fn kept(&self) -> usize {
        let state = self.floor.state();
        assert_eq!(state.workflow(self.patient).map(|known| known.overtaken), Some(MAX_OVERTAKINGS));
        let known = ScopeTick { last_look: Some(self.floor.now()), allowance: u32::MAX };
        let scopes = state.scopes().into_iter().map(|scope| (scope, known)).collect();
        let tick = Tick { at: self.floor.now(), scopes, ..Tick::default() };
        let plan = schedule(state, &tick);
        assert_eq!(plan, naive::schedule(state, &tick));
        let (runner, workflow) = plan.kept.first_key_value().expect("one is kept");
        assert_eq!((plan.kept.len(), *workflow), (1, self.patient));
        assert_eq!(plan.waiting[&self.needs], WaitReason::Kept(*runner));
        let says = |id| explain(state, &tick, id).map(|told| told.runners.into_iter().find(|(id, _)| id == runner));
        assert_eq!(says(self.patient), Some(Some((*runner, RunnerAnswer::Kept))));
        let mut later = self.floor.clone();
        let behind = submit(&mut later, 0, samples::needs(7_999, 1));
        let told = explain(later.state(), &tick, behind).expect("it was submitted");
        assert!(
            told.runners.contains(&(*runner, RunnerAnswer::KeptFor(self.patient))) || told.runners.is_empty(),
            "{told}"
        );
        self.runners.iter().position(|id| id == runner).expect("it is one of them")
    }
}

fn submit(floor: &mut Floor, priority: i32, needs: Needs) -> WorkflowId {
    let spec = WorkflowSpec { priority, ..samples::workflow("w", needs) };
    WorkflowId { run: floor.submit(vec![(spec, Span::from_mins(10))]), index: 0 }
}

fn crowd(runners: u32) -> Crowd {
    Crowd::new(samples::offering("big", Purchase::OnDemand, 8), runners, samples::needs(8_000, 1))
}

#[test]
fn the_emptier_of_two_is_kept() {
    for (first, second, kept) in [(3_000, 5_000, 0), (5_000, 3_000, 1), (4_000, 4_000, 0)] {
        let mut crowd = crowd(2);
        crowd.holds(0, samples::needs(first, 1));
        crowd.holds(1, samples::needs(second, 1));
        assert_eq!(crowd.kept(), kept, "{first} {second}");
    }
}

/// What goes before it is placed first: on the fuller runner that has room for it.
#[test]
fn room_that_the_same_plan_gives_away_is_not_counted() {
    for (first, second, urgent, kept) in [
        // The first alone has room. It stays the emptier one, with room for another such or without; or it becomes the fuller.
        (1_000, 5_000, 3_100, 0),
        (1_000, 5_000, 3_900, 0),
        (1_000, 5_000, 4_500, 1),
        (5_000, 1_000, 3_100, 1),
        (5_000, 1_000, 3_900, 1),
        (5_000, 1_000, 4_500, 0),
    ] {
        let mut crowd = crowd(2);
        crowd.holds(0, samples::needs(first, 1));
        crowd.holds(1, samples::needs(second, 1));
        crowd.urgent(samples::needs(urgent, 1));
        assert_eq!(crowd.kept(), kept, "{first} {second} {urgent}");
    }
}

/// Both were given work by the same plan; the one that has no processor left for anybody has the more accelerators left.
#[test]
fn one_without_processor_for_anybody_may_be_the_emptiest() {
    let gpus = Some(Gpus { name: "T4".to_owned(), count: 2, memory: Bytes::from_gib(16) });
    let offering = Offering { gpus, ..samples::offering("gpu", Purchase::OnDemand, 4) };
    let both = Some(GpuNeed { names: Vec::new(), count: 2, memory: None });
    for accelerated_first in [false, true] {
        let mut crowd = Crowd::new(offering.clone(), 2, samples::needs(4_000, 1));
        let kinds = [samples::needs(3_500, 1), Needs { gpu: both.clone(), ..samples::needs(1_500, 1) }];
        let [one, other] = if accelerated_first { [1, 0] } else { [0, 1] };
        crowd.urgent(kinds[one].clone());
        crowd.urgent(kinds[other].clone());
        assert_eq!(crowd.kept(), usize::from(accelerated_first));
    }
}

#[test]
fn one_that_is_shared_is_kept_before_one_that_a_workflow_has_for_itself_and_of_these_the_first() {
    let alone = || Needs { cpu: Some(MilliCpu(1_000)), ..Needs::default() };
    let mut mixed = crowd(3);
    mixed.holds(0, alone());
    mixed.holds(1, samples::needs(8_000, 1));
    mixed.holds(2, samples::needs(7_000, 1));
    assert_eq!(mixed.kept(), 2);
    let mut taken = crowd(3);
    for runner in [2, 1, 0] {
        taken.holds(runner, alone());
    }
    assert_eq!(taken.kept(), 0);
}

/// Each keeps one: the first of them in the queue the emptier.
#[test]
fn two_that_were_overtaken_keep_two_runners_the_first_of_them_the_emptier() {
    let mut crowd = crowd(2);
    let other = submit(&mut crowd.floor, 0, samples::needs(7_900, 1));
    for _ in 0..MAX_OVERTAKINGS {
        let attempt = crowd.holds(0, samples::needs(250, 1));
        crowd.floor.add(AttemptExited { attempt, exit: Exit::exited(0) });
        crowd.floor.add(ResultsKept { attempt, manifest: None, missing: Vec::new() });
    }
    crowd.holds(0, samples::needs(6_000, 1));
    crowd.holds(1, samples::needs(2_000, 1));
    let plan = crowd.floor.decide(&mut schedule);
    assert_eq!(plan.kept, BTreeMap::from([(crowd.runners[1], crowd.patient), (crowd.runners[0], other)]));
}
