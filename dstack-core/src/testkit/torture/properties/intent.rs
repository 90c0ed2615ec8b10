//! Nothing is done outside that the log did not say before.

use std::collections::BTreeSet;

use super::property::{Property, Truth, Verdict};
use crate::cloud::{GatePoint, Moment};
use crate::model::state::{Runner, RunnerPhase};
use crate::model::{AttemptId, Event, Record, State};

/// When a call takes effect, the durable log already holds the record that it follows from: a launch its open claim, a start
/// its assignment, a stop its wish, a termination the end of its runner.
#[derive(Debug, Default)]
pub struct Intent {
    /// Every machine that the log ever had: a state forgets those that are long over.
    machines: BTreeSet<String>,
}

impl Property for Intent {
    fn name(&self) -> &'static str {
        "intent"
    }

    fn record(&mut self, _truth: &Truth, _before: &State, record: &Record) -> Verdict {
        if let Some(Event::RunnerLaunched(launched)) = record.event() {
            self.machines.insert(launched.machine.0.clone());
        }
        Ok(false)
    }

    fn call(&mut self, _truth: &Truth, state: &State, point: &GatePoint) -> Verdict {
        if point.moment != Moment::BeforeEffect {
            return Ok(false);
        }
        match point.call {
            "launch" => launch(state, &point.subject),
            "terminate" => self.terminate(state, &point.subject),
            "stage" | "start" => start(state, &point.subject),
            "close" => close(state, &point.subject),
            _ => Ok(false),
        }
    }
}

impl Intent {
    fn terminate(&self, state: &State, machines: &str) -> Verdict {
        for machine in machines.split(' ') {
            let is_its = |runner: &Runner| runner.machine.as_ref().is_some_and(|id| id.0 == machine);
            match state.runners().iter().find(|(_, runner)| is_its(runner)) {
                Some((_, runner)) if matches!(runner.phase, RunnerPhase::Stopping | RunnerPhase::Stopped(_)) => {}
                Some((id, runner)) => {
                    return Err(format!("{machine} is terminated while its runner {id} is {:?}", runner.phase));
                }
                None if self.machines.contains(machine) => {}
                None => return Err(format!("{machine} is terminated, which is no runner's")),
            }
        }
        Ok(true)
    }
}

fn launch(state: &State, token: &str) -> Verdict {
    let runner = state.runners().iter().find(|(_, runner)| runner.token.0 == token);
    let (id, runner) = runner.ok_or_else(|| format!("a launch is sent with token {token}, which no runner has"))?;
    if runner.claim.is_none() {
        return Err(format!("runner {id} is launched without a claim"));
    }
    if runner.open_claim().is_none() && runner.machine.is_none() && runner.may_live() {
        return Err(format!("runner {id} is launched, though its claim is closed: {:?}", runner.claim));
    }
    Ok(true)
}

/// The machine and the attempt that a call to a runner is about.
fn subject(text: &str) -> Option<(&str, AttemptId)> {
    let (machine, attempt) = text.split_once(' ')?;
    Some((machine, attempt.parse().ok()?))
}

fn start(state: &State, text: &str) -> Verdict {
    let Some((machine, attempt)) = subject(text) else { return Err(format!("a start is about {text}")) };
    let Some(workflow) = state.workflow(attempt.workflow) else {
        return Err(format!("{attempt} is started, and its workflow is unknown"));
    };
    if attempt.number == 0 || attempt.number > workflow.attempt {
        return Err(format!("{attempt} is started before it is assigned"));
    }
    // A call on its way may come after its attempt is over; then it is on the machine that it was assigned to.
    if let Some(runner) = workflow.runner().filter(|_| workflow.attempt == attempt.number)
        && let Some(known) = state.runners().get(&runner)
        && known.machine.as_ref().is_some_and(|id| id.0 != machine)
    {
        return Err(format!("{attempt} is assigned to {runner}, and started on {machine}"));
    }
    Ok(true)
}

fn close(state: &State, text: &str) -> Verdict {
    let Some((_, attempt)) = subject(text) else { return Err(format!("a stop is about {text}")) };
    match state.workflow(attempt.workflow) {
        Some(workflow) if attempt.number <= workflow.attempt => Ok(true),
        Some(_) => Err(format!("{attempt} is stopped before it is assigned")),
        None => Err(format!("{attempt} is stopped, and its workflow is unknown")),
    }
}
