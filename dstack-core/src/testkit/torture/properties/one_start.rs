//! An attempt is started once, and attempts of a workflow never run at the same time.

use std::collections::BTreeMap;

use super::property::{Property, Truth, Verdict};
use crate::model::{AttemptId, MachineId, State, WorkflowId};

/// On the runners' own count, no attempt's command is started twice, on whatever machines.
#[derive(Debug, Default)]
pub struct OneStart {
    starts: usize,
    on: BTreeMap<AttemptId, MachineId>,
}

impl Property for OneStart {
    fn name(&self) -> &'static str {
        "one-start"
    }

    fn stepped(&mut self, truth: &Truth, _state: &State) -> Verdict {
        let started = truth.host.starts_after(self.starts);
        self.starts += started.len();
        let is_relevant = !started.is_empty();
        for (attempt, machine) in started {
            if let Some(first) = self.on.insert(attempt, machine.clone()) {
                return Err(format!("attempt {attempt} was started on {first}, and again on {machine}"));
            }
        }
        Ok(is_relevant)
    }
}

/// When an attempt of a workflow begins, no other attempt of it runs anywhere.
#[derive(Debug, Default)]
pub struct Alone {
    starts: usize,
    last: BTreeMap<WorkflowId, AttemptId>,
}

impl Property for Alone {
    fn name(&self) -> &'static str {
        "alone"
    }

    fn stepped(&mut self, truth: &Truth, _state: &State) -> Verdict {
        let started = truth.host.starts_after(self.starts);
        self.starts += started.len();
        let mut is_relevant = false;
        for (attempt, _) in started {
            let Some(before) = self.last.insert(attempt.workflow, attempt) else { continue };
            is_relevant = true;
            let runs = truth.host.runs_of(attempt.workflow);
            let began = runs.iter().find(|ran| ran.attempt == attempt).map(|ran| ran.began);
            let earlier = runs.iter().find(|ran| ran.attempt == before);
            if let (Some(began), Some(earlier)) = (began, earlier)
                && earlier.until.is_none_or(|until| began < until)
            {
                return Err(format!("attempt {attempt} began at {began:?} while {before} ran: {earlier:?}"));
            }
        }
        Ok(is_relevant)
    }
}
