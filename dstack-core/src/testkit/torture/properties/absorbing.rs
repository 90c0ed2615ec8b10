//! What is over stays over.

use std::collections::BTreeMap;

use super::property::{Property, Truth, Verdict};
use crate::model::state::{Outcome, Phase};
use crate::model::{State, WorkflowId};

/// A workflow that is over never changes again.
#[derive(Debug, Default)]
pub struct Absorbing {
    over: BTreeMap<WorkflowId, Outcome>,
}

impl Property for Absorbing {
    fn name(&self) -> &'static str {
        "absorbing"
    }

    fn appended(&mut self, _truth: &Truth, state: &State) -> Verdict {
        for (run, found) in state.runs() {
            for (index, workflow) in (0..).zip(&found.workflows) {
                let id = WorkflowId { run: *run, index };
                match (&workflow.phase, self.over.get(&id)) {
                    (Phase::Over(outcome), Some(before)) if outcome == before => {}
                    (Phase::Over(outcome), None) => {
                        self.over.insert(id, outcome.clone());
                    }
                    (_, None) => {}
                    (phase, Some(before)) => return Err(format!("{id} was {before:?}, and is {phase:?}")),
                }
            }
        }
        Ok(!self.over.is_empty())
    }
}
