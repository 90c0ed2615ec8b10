//! `RUN[/WORKFLOW]` on the command line, and the run that it means.

use dstack_core::Client;
use dstack_core::model::state::Run;
use dstack_core::model::{Name, RunId, Seq, State};
use dstack_core::project::nearest;

use crate::failure::{Failure, refused};
use crate::print;

/// Records that are read at once: fewer than the runs that a state keeps after their end, so that none is missed.
const READ_LIMIT: usize = dstack_core::model::state::MAX_FINISHED_RUNS / 2;

/// A run, and perhaps one of its workflows.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub id: RunId,
    pub run: Run,
    /// The workflow's place, if one was named.
    pub workflow: Option<u32>,
}

impl Target {
    /// The newest run of this name. Where several live, it says so.
    pub(crate) async fn find(client: &Client, text: &str) -> Result<Self, Failure> {
        let (run, workflow) = match text.split_once('/') {
            Some((run, workflow)) => (run, Some(workflow)),
            None => (text, None),
        };
        let name: Name = run.parse().map_err(|error| refused(format!("{error}")))?;
        let state = client.state();
        let (id, run) = match state.run_named(&name) {
            Some((id, run)) => (id, run.clone()),
            None => older(client, &name).await?.ok_or_else(|| unknown(state, &name))?,
        };
        let live = state.open_runs().filter(|(_, run)| run.name == name).count();
        if live > 1 {
            print::warn(&format!("{live} live runs are named {name}: this is the newest of them"));
        }
        let workflow = workflow.map(|workflow| place(&run, workflow)).transpose()?;
        Ok(Self { id, run, workflow })
    }

    /// Whether the workflow at this place is meant.
    pub(crate) fn includes(&self, index: u32) -> bool {
        self.workflow.is_none_or(|only| only == index)
    }
}

fn place(run: &Run, text: &str) -> Result<u32, Failure> {
    let found = text.parse::<Name>().ok().and_then(|name| run.workflow_named(&name));
    found.map(|(index, _)| index).ok_or_else(|| {
        let names = || run.workflows.iter().map(|workflow| workflow.spec.name.as_str());
        match nearest(text, names()) {
            Some(near) => refused(format!("run {} has no workflow {text}: did you mean {near}?", run.name)),
            None => {
                let known: Vec<_> = names().take(10).collect();
                refused(format!("run {} has no workflow {text}: it has {}", run.name, known.join(", ")))
            }
        }
    })
}

fn unknown(state: &State, name: &Name) -> Failure {
    match nearest(name.as_str(), state.runs().values().map(|run| run.name.as_str())) {
        Some(near) => refused(format!("there is no run {name}: did you mean {near}?")),
        None => refused(format!("there is no run {name}: `dstack ps -a` lists them")),
    }
}

/// A run that has left the state.
async fn older(client: &Client, name: &Name) -> Result<Option<(RunId, Run)>, Failure> {
    let rows = client.store().runs(Some(name), 1).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(replay(client, &[row.run]).await?.pop())
}

/// These runs as they were when they left the state: the log is folded again until all of them are over.
pub(crate) async fn replay(client: &Client, wanted: &[RunId]) -> Result<Vec<(RunId, Run)>, Failure> {
    let mut state = State::default();
    let mut found: Vec<(RunId, Run)> = Vec::new();
    let end = client.state().seq();
    while found.len() < wanted.len() && state.seq() < end {
        let records = client.store().read(state.seq(), READ_LIMIT).await?;
        if records.is_empty() {
            break;
        }
        state.apply_all(&records);
        for id in wanted {
            let is_new = !found.iter().any(|(known, _)| known == id);
            if let Some(run) = state.runs().get(id).filter(|run| is_new && run.is_over()) {
                found.push((*id, run.clone()));
            }
        }
    }
    Ok(found)
}

/// Where a run's own records begin.
pub(crate) fn before(run: &Run) -> Seq {
    Seq::new(run.submitted.get().saturating_sub(1))
}
