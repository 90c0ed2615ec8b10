//! `dstack stop`: runs and workflows ended by their user.

use dstack_core::model::{Command, RunId, State, WorkflowId};

use crate::app::App;
use crate::background;
use crate::cli::StopArgs;
use crate::failure::{Failure, refused};
use crate::print;
use crate::target::Target;

pub(crate) async fn run(app: &App, args: &StopArgs) -> Result<(), Failure> {
    if args.refused {
        let line = "`-a` meant two things in its time: `-x` (`--abort`) takes no artifacts, `--all` stops all runs";
        return Err(Failure::Usage(line.to_owned()));
    }
    let (reader, _) = app.read().await?;
    let Some(text) = &args.run else { return all(app, args.abort).await };
    let target = Target::find(&reader, text).await?;
    let is_over = match target.workflow {
        Some(index) => target.run.workflow(index).is_some_and(|workflow| workflow.is_over()),
        None => target.run.is_over(),
    };
    if is_over {
        return Err(refused(format!("{text} is already over: `dstack ps {text}` shows how it ended")));
    }
    let (mut client, _) = app.write().await?;
    let workflow = target.workflow.map(|index| WorkflowId { run: target.id, index });
    client.command(Command::Stop { run: target.id, workflow, abort: args.abort }).await?;
    let head = client.refresh().await?;
    if is_open(client.state(), target.id, target.workflow) {
        print::say(&format!("{text} is being stopped: `dstack ps {text}` shows how far it is"));
    } else {
        print::say(&format!("{text} is stopped"));
    }
    background::ensure(&app.home, client.state(), head.now)?;
    Ok(())
}

/// Whether it has not ended with the wish alone, which ends what had only waited.
fn is_open(state: &State, run: RunId, workflow: Option<u32>) -> bool {
    state.runs().get(&run).is_some_and(|run| match workflow {
        Some(index) => run.workflow(index).is_some_and(|workflow| !workflow.is_over()),
        None => !run.is_over(),
    })
}

async fn all(app: &App, abort: bool) -> Result<(), Failure> {
    let (reader, _) = app.read().await?;
    let open: Vec<(RunId, String)> = reader.state().open_runs().map(|(id, run)| (id, run.name.to_string())).collect();
    if open.is_empty() {
        print::say("nothing is waiting or running");
        return Ok(());
    }
    let (mut client, _) = app.write().await?;
    for (run, name) in open {
        // It may have ended meanwhile, which is as good.
        if client.state().runs().get(&run).is_some_and(|run| !run.is_over()) {
            client.command(Command::Stop { run, workflow: None, abort }).await?;
            let how = if is_open(client.state(), run, None) { "is being stopped" } else { "is stopped" };
            print::say(&format!("{name} {how}"));
        }
    }
    let head = client.refresh().await?;
    background::ensure(&app.home, client.state(), head.now)?;
    Ok(())
}
