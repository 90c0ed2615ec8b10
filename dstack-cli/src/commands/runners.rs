//! `dstack runners`: machines, and ending one by hand.

use dstack_core::controller::{end_stray, find_strays};
use dstack_core::model::state::Runner;
use dstack_core::model::{At, AttemptId, Command, RunnerId, State};
use dstack_core::project::nearest;
use serde_json::{Value, json};

use crate::app::App;
use crate::background;
use crate::cli::{RunnersArgs, RunnersCommand};
use crate::failure::{Failure, refused};
use crate::print;
use crate::view::{ago, table};

/// Runners that are over and that `-a` shows.
const MOST_RUNNERS: usize = 1_000;

pub(crate) async fn run(app: &App, args: RunnersArgs) -> Result<(), Failure> {
    match args.command {
        Some(RunnersCommand::Stop { id }) => stop(app, &id).await,
        None => list(app, args.all, args.json).await,
    }
}

async fn list(app: &App, all: bool, is_json: bool) -> Result<(), Failure> {
    let (client, now) = app.read().await?;
    let state = client.state();
    let ended = if all { client.ended_runners(MOST_RUNNERS).await? } else { Vec::new() };
    let ended = ended.iter().map(|(id, runner)| (*id, runner));
    let mut runners: Vec<(RunnerId, &Runner)> = state.live_runners().chain(ended).collect();
    runners.sort_by_key(|(id, runner)| (runner.wanted, *id));
    if is_json {
        let runners: Vec<Value> = runners.iter().map(|(id, runner)| document(state, *id, runner, now)).collect();
        return print::json(&json!({ "runners": runners }));
    }
    if runners.is_empty() {
        return print::line("no runner is alive: they start when a workflow needs one");
    }
    let heads = ["RUNNER", "TYPE", "PURCHASE", "PHASE", "AGE", "CPU", "MEMORY", "COST", "WORKFLOWS", "REASON"];
    let rows = runners.iter().map(|(id, runner)| cells(state, *id, runner, now));
    print::results(table(&heads, rows, app.terminal.columns()).as_bytes())?;
    if let Some(line) = background::obstacle(&app.home, state, now).await {
        print::say(&line);
    }
    Ok(())
}

fn workflows(state: &State, runner: &Runner) -> Vec<String> {
    let name = |attempt: &AttemptId| {
        let run = state.runs().get(&attempt.workflow.run)?;
        Some(format!("{}/{}", run.name, run.workflow(attempt.workflow.index)?.spec.name))
    };
    runner.attempts.iter().filter_map(name).collect()
}

fn reason(runner: &Runner) -> Option<String> {
    match &runner.stop {
        Some(why) => Some(why.to_string()),
        None if runner.noticed => Some("the cloud takes it back".to_owned()),
        None => None,
    }
}

fn end(runner: &Runner, now: At) -> At {
    if runner.may_live() { now } else { runner.since }
}

fn document(state: &State, id: RunnerId, runner: &Runner, now: At) -> Value {
    let rule = &runner.request.rule;
    json!({
        "runner": id.to_string(),
        "machine": runner.machine.as_ref().map(ToString::to_string),
        "phase": runner.phase.as_str(),
        "provider": rule.provider,
        "region": rule.region,
        "instance_type": rule.instance_type,
        "purchase": rule.purchase.to_string(),
        "at": runner.since.to_string(),
        "wanted_at": runner.wanted.to_string(),
        "age_seconds": end(runner, now).since(runner.wanted).as_secs(),
        "workflows": workflows(state, runner),
        "finished": runner.finished,
        "cost_micro_usd": runner.cost(now).map(|cost| cost.0),
        "reason": reason(runner),
    })
}

fn cells(state: &State, id: RunnerId, runner: &Runner, now: At) -> Vec<String> {
    let rule = &runner.request.rule;
    vec![
        id.to_string(),
        rule.instance_type.clone(),
        rule.purchase.to_string(),
        runner.phase.as_str().to_owned(),
        ago(runner.wanted, end(runner, now)),
        runner.offering.cpu.to_string(),
        runner.offering.memory.to_string(),
        runner.cost(now).map_or_else(|| "-".to_owned(), |cost| cost.to_string()),
        workflows(state, runner).join(", "),
        reason(runner).unwrap_or_default(),
    ]
}

async fn stop(app: &App, text: &str) -> Result<(), Failure> {
    let (reader, _) = app.read().await?;
    let state = reader.state();
    let by_machine = |runner: &Runner| runner.machine.as_ref().is_some_and(|machine| machine.0 == text);
    let found = state.runners().iter().find(|(id, runner)| id.to_string() == text || by_machine(runner));
    let Some((id, runner)) = found else { return stop_stray(app, state, text).await };
    if !runner.may_live() {
        return Err(refused(format!("runner {id} is gone already")));
    }
    let id = *id;
    let (mut client, _) = app.write().await?;
    client.command(Command::StopRunner(id)).await?;
    print::say(&format!("runner {id} is being shut down; what runs on it goes back to the queue"));
    let head = client.refresh().await?;
    background::ensure(&app.home, client.state(), head.now)?;
    Ok(())
}

/// A machine that carries this log's tag and that the log does not know: the log is an old copy, and only a person may say
/// that the machine is not needed.
async fn stop_stray(app: &App, state: &State, text: &str) -> Result<(), Failure> {
    let providers = app.providers(state.log())?;
    let strays = find_strays(&providers, state).await;
    if let Some(stray) = strays.found.iter().find(|stray| stray.machine.0 == text) {
        end_stray(&providers, stray).await.map_err(|error| refused(format!("machine {text} lives on: {error}")))?;
        print::say(&format!("machine {text}, which this log does not know, is being shut down"));
        return Ok(());
    }
    let runners = state.live_runners().map(|(id, _)| id.to_string());
    let known: Vec<String> = runners.chain(strays.found.iter().map(|stray| stray.machine.0.clone())).collect();
    let unseen = strays.unseen.first().map(|(scope, error)| format!(" ({scope} could not be looked at: {error})"));
    let unseen = unseen.unwrap_or_default();
    Err(refused(match nearest(text, known.iter().map(String::as_str)) {
        Some(near) => format!("there is no runner or machine {text}: did you mean {near}?{unseen}"),
        None => {
            format!("there is no runner or machine {text}: `dstack runners` lists those that may be alive{unseen}")
        }
    }))
}
