//! Nothing is done outside that the log did not say before.

use super::property::{Property, Truth, Verdict};
use crate::cloud::{GatePoint, Moment};
use crate::model::state::RunnerPhase;
use crate::model::{AttemptId, State};

/// When a call takes effect, the durable log already holds the record that it follows from: a launch its open claim, a start
/// its assignment, a stop its wish, a termination the end of its runner.
#[derive(Debug, Default)]
pub struct Intent;

impl Property for Intent {
    fn name(&self) -> &'static str {
        "intent"
    }

    fn call(&mut self, _truth: &Truth, state: &State, point: &GatePoint) -> Verdict {
        if point.moment != Moment::BeforeEffect {
            return Ok(false);
        }
        match point.call {
            "launch" => launch(state, &point.subject),
            "terminate" => terminate(state, &point.subject),
            "stage" | "start" => start(state, &point.subject),
            "close" => close(state, &point.subject),
            _ => Ok(false),
        }
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

fn terminate(state: &State, machines: &str) -> Verdict {
    for machine in machines.split(' ') {
        let runner =
            state.runners().iter().find(|(_, runner)| runner.machine.as_ref().is_some_and(|id| id.0 == machine));
        let (id, runner) = runner.ok_or_else(|| format!("{machine} is terminated, which is no runner's"))?;
        if !matches!(runner.phase, RunnerPhase::Stopping | RunnerPhase::Stopped(_)) {
            return Err(format!("{machine} is terminated while its runner {id} is {:?}", runner.phase));
        }
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
