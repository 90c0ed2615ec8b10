//! `dstack logs`: what workflows printed.

use std::collections::BTreeMap;
use std::time::Duration;

use dstack_core::Client;
use dstack_core::model::state::{Outcome, Phase};
use dstack_core::model::{At, AttemptId, Event, WorkflowId};

use super::follow::{Follow, current};
use crate::app::App;
use crate::background::{self, Driver};
use crate::cli::LogsArgs;
use crate::failure::{DETACHED, Failure};
use crate::interrupt::interrupts;
use crate::presence::Presence;
use crate::print;
use crate::target::{Target, before};
use crate::view::{outcome_words, since};

/// How often output is looked for.
const PUMP_EVERY: Duration = Duration::from_millis(50);
const READ_LIMIT: usize = 10_000;

pub(crate) async fn run(app: &App, args: &LogsArgs) -> Result<(), Failure> {
    let mut interrupts = interrupts()?;
    let (mut client, mut now) = app.read().await?;
    let Target { id, mut run, workflow } = Target::find(&client, &args.run).await?;
    let mut follow = Follow::new(app, id, &run, workflow, args.raw).await?;
    if let Some(text) = &args.since {
        let (since, said) = since(text, now).map_err(Failure::Usage)?;
        if let Some(said) = said {
            print::say(&format!("since {said}"));
        }
        follow.skip(over_before(&client, &run, id, since).await?);
        follow.since(since);
    }
    for (index, workflow) in (0..).zip(&run.workflows) {
        if let (true, Phase::Over(outcome @ Outcome::Skipped { .. })) = (follow.includes(index), &workflow.phase) {
            let reason = outcome_words(outcome, &run).unwrap_or_default();
            print::say(&format!("{}: never ran: {reason}", workflow.spec.name));
        } else if follow.includes(index) && workflow.attempt == 0 && !args.follow && !workflow.is_over() {
            print::say(&format!("{}: has not started yet: `dstack ps {}` says why", workflow.spec.name, run.name));
        }
    }
    let presence = Presence::of_open(&app.home)?;
    let mut driver = Driver::default();
    loop {
        presence.check()?;
        follow.pump(&run).await?;
        let is_over = match workflow {
            Some(index) => run.workflow(index).is_none_or(|workflow| workflow.is_over()),
            None => run.is_over(),
        };
        if is_over || !args.follow {
            if !is_over && let Some(line) = background::obstacle(&app.home, client.state(), now).await {
                print::say(&line);
            }
            return follow.finish();
        }
        driver.ensure(app, client.state(), now, |line| follow.live.say(line))?;
        let lines = follow.unfinished();
        follow.live.draw(lines);
        let seq = client.state().seq();
        tokio::select! {
            biased;
            _ = interrupts.recv() => {
                follow.live.clear();
                return Err(Failure::Code(DETACHED));
            }
            () = client.store().wait(seq) => {}
            () = tokio::time::sleep(PUMP_EVERY) => {}
        }
        now = current(&mut client, id, &mut run).await?;
    }
}

/// Attempts of the run that were over before this moment.
async fn over_before(
    client: &Client,
    run: &dstack_core::model::state::Run,
    id: dstack_core::model::RunId,
    since: At,
) -> Result<Vec<AttemptId>, Failure> {
    let mut begun: BTreeMap<AttemptId, At> = BTreeMap::new();
    let mut ended: BTreeMap<AttemptId, At> = BTreeMap::new();
    let mut place = before(run);
    while place < client.state().seq() {
        let records = client.store().read(place, READ_LIMIT).await?;
        let Some(last) = records.last() else { break };
        place = last.seq;
        for record in &records {
            match record.event() {
                Some(Event::AttemptAssigned(event)) if event.attempt.workflow.run == id => {
                    begun.insert(event.attempt, record.at);
                    // What was lost with its runner ended at the latest when the next was assigned.
                    if let Some(number) = event.attempt.number.checked_sub(1).filter(|number| *number > 0) {
                        ended.entry(AttemptId { number, ..event.attempt }).or_insert(record.at);
                    }
                }
                Some(Event::AttemptExited(event)) => {
                    ended.entry(event.attempt).or_insert(record.at);
                }
                Some(Event::AttemptStopped(event)) => {
                    ended.entry(event.attempt).or_insert(record.at);
                }
                Some(Event::AttemptLost(event)) => {
                    ended.entry(event.attempt).or_insert(record.at);
                }
                _ => {}
            }
        }
        if run.is_over() && run.workflows.iter().all(|workflow| workflow.since <= last.at) {
            break;
        }
    }
    for (index, workflow) in (0..).zip(&run.workflows) {
        if workflow.is_over() && workflow.attempt > 0 {
            let attempt = AttemptId { workflow: WorkflowId { run: id, index }, number: workflow.attempt };
            ended.entry(attempt).or_insert(workflow.since);
        }
    }
    Ok(ended.into_iter().filter(|(attempt, at)| *at < since && begun.contains_key(attempt)).map(|(id, _)| id).collect())
}
