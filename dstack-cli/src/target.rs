//! `RUN[/WORKFLOW]` on the command line, and the run that it means.

use dstack_core::Client;
use dstack_core::model::state::Run;
use dstack_core::model::{Name, RunId, Seq};
use dstack_core::project::nearest;

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
        let Some((id, run)) = client.run_named(&name).await? else { return Err(unknown(client, &name).await?) };
        let live = client.state().open_runs().filter(|(_, run)| run.name == name).count();
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
