//! Whole lives in virtual time.

use crate::blob::OutputStore as _;
use crate::controller::Options;
use crate::model::state::{Outcome, Phase};
use crate::model::{AttemptId, Command, Event, Exit, Name, Purchase, Record, Seq, Span, WorkflowId, WorkflowSpec};
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

/// More is decided at once than one append may hold.
#[test]
fn a_plan_of_any_length_is_recorded_in_appends_of_bounded_length() {
    let world = World::new(1);
    let mut workflows = vec![script("first", &["exit 3"])];
    workflows.extend((0..25_000).map(|number| {
        let mut one = script(&format!("then-{number}"), &["exit 0"]);
        one.depends_on = vec![0];
        one
    }));
    let (_, submit) = world.submission(name("demo"), workflows);
    let appended = world
        .run(async {
            let mut controller = world.controller(Options::default());
            controller.client_mut().command(allow("m7i.large", 1)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            let mut appended = Vec::new();
            loop {
                let step = controller.step().await.expect("the log can be used");
                appended.push(step.records.len());
                if step.is_idle {
                    return appended;
                }
                controller.wait(step.next_wake).await;
            }
        })
        .expect("it ends");
    let all: usize = appended.iter().sum();
    assert!(all > 25_000 && appended.iter().all(|count| *count <= 10_010), "{appended:?}");
}

#[test]
fn how_much_had_been_printed_is_noted_as_time_goes_by() {
    let world = World::new(3);
    let talks = script("talks", &["printf 'a'", "sleep 30", "printf 'bc'", "sleep 30", "printf 'd'"]);
    let (run, submit) = world.submission(name("slow"), vec![talks]);
    let mut controller = world.controller(Options::default());
    let attempt = AttemptId { workflow: WorkflowId { run, index: 0 }, number: 1 };
    let had_come = world
        .run(async {
            controller.client_mut().command(allow("m7i.xlarge", 1)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            controller.run_until_idle().await.expect("the log can be used");
            let records = controller.client().store().read(Seq::START, 1000).await.expect("the log can be read");
            let is_it = |record: &&Record| matches!(record.event(), Some(Event::AttemptAssigned(_)));
            let began = records.iter().find(is_it).expect("it was assigned").at;
            let mut had_come = Vec::new();
            for seconds in [0, 20, 45, 75, 1000] {
                let at = began.plus(Span::from_secs(seconds));
                had_come.push(world.outputs.length_at(attempt, at).await.expect("the store answers"));
            }
            had_come
        })
        .expect("it ends");
    assert_eq!(had_come, [0, 0, 1, 3, 3]);
}
