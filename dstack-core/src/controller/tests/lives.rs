//! Whole lives in virtual time.

use crate::controller::Options;
use crate::model::state::{Outcome, Phase};
use crate::model::{Command, Exit, Name, Purchase, WorkflowSpec};
use crate::testkit::World;

pub(super) fn name(text: &str) -> Name {
    text.parse().expect("it is a name")
}

pub(super) fn script(text: &str, commands: &[&str]) -> WorkflowSpec {
    WorkflowSpec::script(name(text), commands.iter().copied())
}

pub(super) fn allow(instance_type: &str, max: u32) -> Command {
    let offering = World::offering(instance_type, Purchase::OnDemand).expect("it is in the built-in list");
    Command::Allow { offering: Box::new(offering), max, min: 0 }
}

pub(super) fn outcomes(world: &World, run: crate::model::RunId) -> Vec<Phase> {
    let mut client = world.client();
    world.run(client.refresh()).expect("it ends").expect("the log can be read");
    client.state().runs()[&run].workflows.iter().map(|workflow| workflow.phase.clone()).collect()
}

#[test]
fn workflows_run_on_runners_that_are_started_for_them_and_torn_down_again() {
    let world = World::new(1);
    let mut first = script("prepare", &["printf 'hello'"]);
    first.artifacts = vec![];
    let mut second = script("train", &["exit 3"]);
    second.depends_on = vec![0];
    let mut third = script("report", &["printf 'never'"]);
    third.depends_on = vec![1];
    let (run, submit) = world.submission(name("demo"), vec![first, second, third]);
    let mut controller = world.controller(Options::default());
    world
        .run(async {
            controller.client_mut().command(allow("m7i.xlarge", 2)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            controller.run_until_idle().await.expect("the log can be used");
        })
        .expect("it ends");
    let train = crate::model::WorkflowId { run, index: 1 };
    assert_eq!(
        outcomes(&world, run),
        [
            Phase::Over(Outcome::Succeeded),
            Phase::Over(Outcome::Failed { exit: Exit::exited(3), missing: Vec::new() }),
            Phase::Over(Outcome::Skipped { cause: train }),
        ]
    );
    assert!(world.cloud.machines().iter().all(|machine| !machine.is_live()), "no machine is left");
    assert_eq!(world.cloud.max_live("m7i.xlarge", Purchase::OnDemand), 1, "one workflow at a time needs one machine");
}
