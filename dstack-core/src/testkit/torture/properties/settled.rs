//! When faults have stopped, everything comes to an end.

use super::property::{Property, Truth, Verdict};
use crate::cloud::FakeMachine;
use crate::model::{Record, State};

/// Nothing is left: every workflow is over, and no machine of the log's lives.
#[derive(Debug, Default)]
pub struct Settled;

/// What is left to do, if anything is.
pub(in super::super) fn left(truth: &Truth, state: &State) -> Option<String> {
    let machine = truth.cloud.machines().into_iter().find(|machine| machine.token.is_some() && machine.is_live());
    if let Some(FakeMachine { id, .. }) = &machine {
        return Some(format!("machine {id} lives"));
    }
    if let Some((id, runner)) = state.live_runners().next() {
        return Some(format!("runner {id} is {:?}", runner.phase));
    }
    let open = state.runs().values().flat_map(|run| &run.workflows).find(|workflow| !workflow.is_over());
    open.map(|workflow| format!("workflow {} is {:?}", workflow.spec.name, workflow.phase))
}

impl Property for Settled {
    fn name(&self) -> &'static str {
        "settled"
    }

    fn ended(&mut self, truth: &Truth, state: &State, _log: &[Record]) -> Verdict {
        left(truth, state).map_or(Ok(true), Err)
    }
}

/// A controller that says that nothing is left to do is right.
#[derive(Debug, Default)]
pub struct Idle;

impl Property for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn idle(&mut self, truth: &Truth, state: &State) -> Verdict {
        left(truth, state).map_or(Ok(true), |left| Err(format!("a controller says it is idle, but {left}")))
    }
}
