//! `RUN[/WORKFLOW]` on the command line, and the run that it means.

use dstack_core::Client;
use dstack_core::model::state::Run;
use dstack_core::model::{Name, RunId, Seq};
use dstack_core::project::nearest;

use crate::commands::some;
use crate::failure::{Failure, refused};
use crate::print;

/// Runs among which a name that is not quite right is looked for.
const NEAR_LIMIT: usize = 1_000;

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
        let (id, run) = match client.run_named(&name).await? {
            Some(found) => found,
            None => match by_id(client, run).await? {
                Some(found) => found,
                None => return Err(unknown(client, &name).await?),
            },
        };
        let others = client.state().open_runs().filter(|(other, run)| run.name == name && *other != id);
        let others: Vec<String> = others.map(|(id, _)| id.to_string()).collect();
        if !others.is_empty() {
            let line = format!("several live runs are named {name}: this is the newest; by their ids, the others are");
            print::warn(&format!("{line} {}", some(&others)));
        }
        let workflow = workflow.map(|workflow| place(&run, workflow)).transpose()?;
        Ok(Self { id, run, workflow })
    }

    /// Whether the workflow at this place is meant.
    pub(crate) fn includes(&self, index: u32) -> bool {
        self.workflow.is_none_or(|only| only == index)
    }
}

/// The run of this id, where it is one: of two runs of a name, the older one has no other name.
async fn by_id(client: &Client, text: &str) -> Result<Option<(RunId, Run)>, Failure> {
    let Ok(id) = text.parse::<RunId>() else { return Ok(None) };
    Ok(client.run(id).await?.map(|run| (id, run)))
}

fn place(run: &Run, text: &str) -> Result<u32, Failure> {
    let found = text.parse::<Name>().ok().and_then(|name| run.workflow_named(&name));
    found.map(|(index, _)| index).ok_or_else(|| {
        let names = || run.workflows.iter().map(|workflow| workflow.spec.name.as_str());
        match nearest(text, names()) {
            Some(near) => refused(format!("run {} has no workflow {text}: did you mean {near}?", run.name)),
            None => {
                let known: Vec<String> = names().map(str::to_owned).collect();
                refused(format!("run {} has no workflow {text}: it has {}", run.name, some(&known)))
            }
        }
    })
}

async fn unknown(client: &Client, name: &Name) -> Result<Failure, Failure> {
    let known = client.store().runs(None, NEAR_LIMIT).await?;
    Ok(match nearest(name.as_str(), known.iter().map(|row| row.name.as_str())) {
        Some(near) => refused(format!("there is no run {name}: did you mean {near}?")),
        None => refused(format!("there is no run {name}: `dstack ps -a` lists them")),
    })
}

/// Where a run's own records begin.
pub(crate) fn before(run: &Run) -> Seq {
    Seq::new(run.submitted.get().saturating_sub(1))
}
