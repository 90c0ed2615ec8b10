//! Which calls to the outside are owed now. Derived from the state, and queued nowhere else.

use std::sync::Arc;

use super::state::{Phase, Runner, RunnerPhase, Workflow};
use super::{AttemptId, ClaimNumber, ControllerId, LaunchRequest, MachineId, Place, Purchase, RunnerId, Scope, State};
use crate::planted::{self, Bug};

/// A call that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send the launch, under this claim; only its holder may.
    Launch {
        /// The runner.
        runner: RunnerId,
        /// The open claim.
        claim: ClaimNumber,
        /// Its holder.
        holder: ControllerId,
        /// What is sent.
        request: Arc<LaunchRequest>,
    },
    /// Ask for the end of the runner's machine.
    Terminate {
        /// The runner.
        runner: RunnerId,
        /// Where it is.
        scope: Scope,
        /// Its machine.
        machine: MachineId,
    },
    /// Ask the runner whether it takes work.
    Greet {
        /// Where.
        place: Place,
    },
    /// Stage and start the attempt.
    Start {
        /// Which.
        attempt: AttemptId,
        /// Where.
        place: Place,
    },
    /// Follow what runs there: progress and output.
    Follow {
        /// Where.
        place: Place,
        /// The attempts.
        attempts: Vec<AttemptId>,
    },
    /// Hear from the runner itself when its cloud takes it back.
    Listen {
        /// Where.
        place: Place,
    },
    /// A user wants the attempt to end.
    Close {
        /// Which.
        attempt: AttemptId,
        /// Where.
        place: Place,
    },
    /// Bring home what a running attempt has made of its artifacts by now: the cloud takes its runner back.
    Save {
        /// Which.
        attempt: AttemptId,
        /// Where.
        place: Place,
    },
    /// Bring home what the attempt leaves behind.
    Collect {
        /// Which.
        attempt: AttemptId,
        /// Where.
        place: Place,
    },
}

/// What makes two owed calls the same: at most one of each is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKey {
    /// Of a launch, by its claim.
    Launch(RunnerId, ClaimNumber),
    /// Of a termination.
    Terminate(RunnerId),
    /// Of a greeting.
    Greet(RunnerId),
    /// Of a start.
    Start(AttemptId),
    /// Of following a runner.
    Follow(RunnerId),
    /// Of listening to a runner.
    Listen(RunnerId),
    /// Of a stop.
    Close(AttemptId),
    /// Of saving what there is.
    Save(AttemptId),
    /// Of bringing results home.
    Collect(AttemptId),
}

impl Action {
    /// What makes it the same call as another.
    pub const fn key(&self) -> ActionKey {
        match self {
            Self::Launch { runner, claim, .. } => ActionKey::Launch(*runner, *claim),
            Self::Terminate { runner, .. } => ActionKey::Terminate(*runner),
            Self::Greet { place } => ActionKey::Greet(place.runner),
            Self::Start { attempt, .. } => ActionKey::Start(*attempt),
            Self::Follow { place, .. } => ActionKey::Follow(place.runner),
            Self::Listen { place } => ActionKey::Listen(place.runner),
            Self::Close { attempt, .. } => ActionKey::Close(*attempt),
            Self::Save { attempt, .. } => ActionKey::Save(*attempt),
            Self::Collect { attempt, .. } => ActionKey::Collect(*attempt),
        }
    }
}

/// Every call that is owed in this state. Terminations come first: they are never starved.
pub fn outstanding(state: &State) -> Vec<Action> {
    let mut actions = Vec::new();
    if state.unreadable().is_some() {
        return actions;
    }
    for (id, runner) in state.live_runners() {
        if let (RunnerPhase::Stopping, Some(machine)) = (runner.phase, &runner.machine)
            && !planted::is(Bug::TerminateForgotten)
        {
            let scope = runner.request.scope.clone();
            actions.push(Action::Terminate { runner: id, scope, machine: machine.clone() });
        }
    }
    for (id, runner) in state.live_runners() {
        match runner.phase {
            RunnerPhase::Wanted => actions.extend(runner.open_claim().map(|claim| Action::Launch {
                runner: id,
                claim: claim.number,
                holder: claim.controller,
                request: Arc::clone(&runner.request),
            })),
            RunnerPhase::Launched => actions.extend(runner.place(id).map(|place| Action::Greet { place })),
            RunnerPhase::Ready => on_runner(state, id, runner, &mut actions),
            RunnerPhase::Stopping | RunnerPhase::Stopped(_) => {}
        }
    }
    actions
}

fn on_runner(state: &State, id: RunnerId, runner: &Runner, actions: &mut Vec<Action>) {
    let Some(place) = runner.place(id) else { return };
    if runner.request.rule.purchase == Purchase::Spot && !runner.noticed && !planted::is(Bug::ListenForgotten) {
        actions.push(Action::Listen { place: place.clone() });
    }
    let mut followed = Vec::new();
    for attempt in &runner.attempts {
        let Some(workflow) = state.workflow(attempt.workflow) else { continue };
        let (attempt, place) = (*attempt, place.clone());
        match (&workflow.phase, workflow.stop) {
            (Phase::Assigned(_), None) => {
                followed.push(attempt);
                if runner.noticed && !workflow.spec.artifacts.is_empty() && !workflow.is_saved() {
                    actions.push(Action::Save { attempt, place: place.clone() });
                }
                actions.push(Action::Start { attempt, place });
            }
            (Phase::Assigned(_), Some(_)) => {
                followed.push(attempt);
                if !planted::is(Bug::CloseForgotten) {
                    actions.push(Action::Close { attempt, place });
                }
            }
            (Phase::Exited(..), _) => actions.push(Action::Collect { attempt, place }),
            (Phase::Waiting | Phase::Over(_), _) => {}
        }
    }
    if !followed.is_empty() && !planted::is(Bug::FollowForgotten) {
        actions.push(Action::Follow { place, attempts: followed });
    }
}

/// Whether the workflow's artifacts are wanted: not after an abort.
pub fn wants_artifacts(workflow: &Workflow) -> bool {
    workflow.stop != Some(true)
}
