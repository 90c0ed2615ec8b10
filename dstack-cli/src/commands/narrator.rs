//! What happens to a run, told to people as it happens.

use std::collections::BTreeMap;

use dstack_core::model::state::{Phase, Run};
use dstack_core::model::{At, AttemptId, Event, Exit, MicroUsd, Record, RunId, RunnerId, Span, State};

use crate::view::{Overview, PhaseName, Row};

/// Runs with more workflows are told about as a whole only.
const TOLD_ONE_BY_ONE_MAX: usize = 200;

/// Tells what changes.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    told: BTreeMap<usize, (PhaseName, u32, Option<String>)>,
    /// The runners of the run, and what each has cost so far.
    costs: BTreeMap<RunnerId, MicroUsd>,
    /// The newest attempt of each workflow whose loss was told.
    lost: BTreeMap<usize, u32>,
    rows: Vec<Row>,
    /// Exits that may be tried again.
    exits: Vec<(AttemptId, Exit)>,
}

impl Narrator {
    /// Takes note of what the state does not keep: how an attempt ended that another follows.
    pub(crate) fn note(&mut self, run: RunId, record: &Record) {
        match record.event() {
            Some(Event::AttemptExited(event)) if event.attempt.workflow.run == run && !event.exit.is_success() => {
                self.exits.push((event.attempt, event.exit));
            }
            _ => {}
        }
    }

    /// Lines about attempts that failed and are tried again.
    fn retries(&mut self, run: &Run) -> Vec<String> {
        let mut lines = Vec::new();
        self.exits.retain(|(attempt, exit)| {
            let Some(workflow) = run.workflow(attempt.workflow.index) else { return false };
            let is_tried_again = workflow.attempt > attempt.number || workflow.phase == Phase::Waiting;
            if is_tried_again {
                let name = &workflow.spec.name;
                lines.push(format!("{name}: attempt {} failed: {exit}; it is tried again", attempt.number));
            }
            !is_tried_again && !workflow.is_over()
        });
        lines
    }

    /// Lines about what has changed.
    pub(crate) fn look(&mut self, state: &State, now: At, id: RunId, run: &Run) -> Vec<String> {
        self.rows = Overview::new(state, now).rows(id, run);
        for runner in self.rows.iter().filter_map(|row| row.runner) {
            self.costs.entry(runner).or_insert(MicroUsd(0));
        }
        self.count_costs(state, now);
        if self.rows.len() > TOLD_ONE_BY_ONE_MAX {
            return Vec::new();
        }
        let mut lines = self.retries(run);
        for (index, row) in self.rows.iter().enumerate() {
            if let Some((attempt, loss)) = loss(row).filter(|(attempt, _)| self.lost.get(&index) != Some(attempt)) {
                lines.push(format!("{}: {}", row.workflow, why(state, &format!("{loss}; it starts over"))));
                self.lost.insert(index, attempt);
            }
            let Some(line) = line(state, row) else { continue };
            let now = (row.phase, row.attempt, told_reason(row));
            if self.told.get(&index) != Some(&now) {
                lines.push(format!("{}: {line}", row.workflow));
                self.told.insert(index, now);
            }
        }
        lines
    }

    /// What has left the state keeps its last cost.
    fn count_costs(&mut self, state: &State, now: At) {
        for (id, cost) in &mut self.costs {
            if let Some(newer) = state.runners().get(id).and_then(|runner| runner.cost(now)) {
                *cost = newer;
            }
        }
    }

    /// Whether nothing was looked at yet.
    pub(crate) fn is_new(&self) -> bool {
        self.rows.is_empty()
    }

    /// The whole run in one line, with how long it has been.
    pub(crate) fn status(&self, run: &Run, now: At) -> String {
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(row.phase.as_str()).or_default() += 1;
        }
        let words = ["running", "starting", "stopping", "waiting", "succeeded", "failed", "stopped", "skipped", "lost"];
        let counts = words.iter().filter_map(|word| counts.get(word).map(|count| format!("{count} {word}")));
        let counts: Vec<_> = counts.collect();
        let waiting = self.rows.iter().find(|row| row.phase == PhaseName::Waiting && row.reason.is_some());
        let has_running = self.rows.iter().any(|row| matches!(row.phase, PhaseName::Running | PhaseName::Stopping));
        let why = waiting.filter(|_| !has_running).and_then(|row| row.reason.clone());
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let elapsed = now.since(run.at).as_secs();
        format!("{} [{elapsed}s] {}{why}", run.name, counts.join(", "))
    }

    /// How the run ended, with what its runners cost so far.
    pub(crate) fn summary(&mut self, state: &State, now: At, run: &Run) -> String {
        self.count_costs(state, now);
        let end = run.workflows.iter().map(|workflow| workflow.since).max().unwrap_or(run.at);
        let count = |wanted: PhaseName| self.rows.iter().filter(|row| row.phase == wanted).count();
        let words = [PhaseName::Succeeded, PhaseName::Failed, PhaseName::Stopped, PhaseName::Skipped, PhaseName::Lost];
        let parts: Vec<String> = words
            .into_iter()
            .filter_map(|phase| {
                let count = count(phase);
                (count > 0).then(|| match self.rows.len() {
                    1 => phase.as_str().to_owned(),
                    _ => format!("{count} {}", phase.as_str()),
                })
            })
            .collect();
        let cost = MicroUsd(self.costs.values().map(|cost| cost.0).sum());
        let cost = if cost.0 > 0 { format!("; its runners cost {cost} so far") } else { String::new() };
        format!("{}: {} in {}{cost}", run.name, parts.join(", "), end.since(run.at))
    }
}

/// The attempt that was lost last, and why, where the row's own line does not say it.
fn loss(row: &Row) -> Option<(u32, &str)> {
    let loss = row.loss.as_deref()?;
    match row.phase {
        PhaseName::Starting => Some((row.attempt, loss)),
        PhaseName::Running => Some((row.attempt.checked_sub(1)?, loss)),
        _ => None,
    }
}

/// What of the reason is worth telling again when it changes.
fn told_reason(row: &Row) -> Option<String> {
    match row.phase {
        PhaseName::Waiting => row.reason.clone(),
        _ => None,
    }
}

/// The row in plain words; none where there is nothing to tell yet.
fn line(state: &State, row: &Row) -> Option<String> {
    let reason = row.reason.clone().unwrap_or_default();
    let took = row.running_seconds.map(|seconds| format!(" after {}", Span::from_secs(seconds))).unwrap_or_default();
    let took = took.replace(".0s", "s");
    Some(match row.phase {
        PhaseName::Waiting if is_passing(&reason) => return None,
        PhaseName::Waiting => format!("waiting: {}", why(state, &reason)),
        PhaseName::Starting => match &row.rule {
            Some(rule) => format!("a runner is starting: {rule}"),
            None => "a runner is starting".to_owned(),
        },
        PhaseName::Running => {
            let place = match (&row.runner, &row.rule) {
                (Some(runner), Some(rule)) => format!(" on runner {runner} ({} {})", rule.instance_type, rule.purchase),
                (Some(_) | None, _) => String::new(),
            };
            let attempt = if row.attempt > 1 { format!(", attempt {}", row.attempt) } else { String::new() };
            format!("running{place}{attempt}")
        }
        PhaseName::Stopping => "stopping".to_owned(),
        PhaseName::Succeeded => format!("succeeded{took}"),
        PhaseName::Failed => format!("failed{took}: {}", row.reason_words()),
        PhaseName::Stopped => "stopped".to_owned(),
        PhaseName::Skipped => format!("never ran: {reason}"),
        PhaseName::Lost => format!("lost{took}: {reason}"),
    })
}

/// Reasons that are over in a moment, or that the order of the workflows says already.
fn is_passing(reason: &str) -> bool {
    // That an attempt failed is told with its exit.
    let reason = reason.split_once("is tried again; ").map_or(reason, |(_, rest)| rest);
    ["about to start", "a runner is about", "waits for", "its turn"].iter().any(|start| reason.starts_with(start))
}

/// The reason, with why runners were shut down where that is a wish of a user.
fn why(state: &State, reason: &str) -> String {
    if !state.is_enabled() && reason.contains("was shut down;") {
        return reason.replace("was shut down;", "was shut down, since autoscaling was disabled; back in the queue;");
    }
    reason
        .replace("was shut down;", "was shut down; back in the queue;")
        .replace("was lost;", "was lost; back in the queue;")
}
