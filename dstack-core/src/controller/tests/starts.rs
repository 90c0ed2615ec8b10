//! What keeps a workflow from being started, and how that is told.

use super::lives::{allow, name, outcomes, script};
use crate::clock::{Boot, Clock as _};
use crate::controller::Options;
use crate::model::state::{Outcome, Phase};
use crate::model::{Command, Loss, Submission, Unfit, WorkflowSpec};
use crate::testkit::World;

#[test]
fn an_old_copy_of_a_log_launches_nothing() {
    let world = World::new(1);
    let launches = world
        .run(async {
            let mut client = world.client();
            client.command(allow("m7i.large", 1)).await.expect("it is allowed");
            let (_, submit) = world.submission(name("demo"), vec![script("train", &["exit 0"])]);
            client.command(submit).await.expect("it is accepted");
            // A machine with this log's tag that its head does not know: a later record of another copy wanted it.
            world.cloud.add_stranger("us-east-1", client.state().log()).expect("the region is there");
            let mut controller = world.controller(Options::default());
            let soon = Boot(std::time::Duration::from_secs(3_600));
            controller.run_until_idle_or(world.clock.sleep_until(soon)).await.expect("it runs");
            assert_eq!(controller.client().state().queue().len(), 1, "it waits");
            world.cloud.calls(crate::cloud::Api::Launch)
        })
        .expect("it ends");
    assert_eq!(launches, 0);
}

#[test]
fn a_secret_that_is_gone_ends_the_workflow_with_that_reason() {
    let world = World::new(1);
    let run = crate::model::RunId::from_bits(5);
    let submission = Submission {
        run,
        name: name("demo"),
        folder: None,
        secrets: vec!["TOKEN".to_owned()],
        workflows: vec![WorkflowSpec::script(name("train"), ["exit 0"])],
        unfit: Unfit::Queue,
    };
    world
        .run(async {
            let mut controller = world.controller(Options::default());
            controller.client_mut().command(allow("m7i.large", 1)).await.expect("it is allowed");
            controller.client_mut().command(Command::Submit(Box::new(submission))).await.expect("it is accepted");
            controller.run_until_idle().await.expect("it runs");
        })
        .expect("it ends");
    let phases = outcomes(&world, run);
    let [Phase::Over(Outcome::Lost(Loss::Refused(why)))] = &phases[..] else {
        panic!("it ended otherwise: {phases:?}")
    };
    assert!(why.contains("TOKEN") && why.contains("dstack secrets set"), "{why}");
}

#[test]
fn a_runner_that_lost_its_work_gets_none_before_a_look() {
    let world = World::new(1);
    let phase = world
        .run(async {
            let mut controller = world.controller(Options::default());
            controller.client_mut().command(allow("m7i.large", 1)).await.expect("it is allowed");
            let (_, submit) = world.submission(name("demo"), vec![script("train", &["sleep 100"])]);
            controller.client_mut().command(submit).await.expect("it is accepted");
            let soon = Boot(std::time::Duration::from_secs(90));
            controller.run_until_idle_or(world.clock.sleep_until(soon)).await.expect("it runs");
            let state = controller.client().state();
            let (id, runner) = state.live_runners().next().expect("it runs");
            let attempt = *runner.attempts.first().expect("it is running");
            let machine = runner.machine.clone().expect("it has a machine");
            world.host.lose_process(&machine, attempt);
            while !controller.suspects.contains_key(&id) {
                let step = controller.step().await.expect("the log can be used");
                controller.wait(step.next_wake).await;
            }
            let phase = controller.client().state().workflow(attempt.workflow).expect("it is there").phase.clone();
            controller.run_until_idle().await.expect("it runs");
            let end = controller.client().state().workflow(attempt.workflow).expect("it is there");
            assert_eq!((end.attempt, &end.phase), (2, &Phase::Over(Outcome::Succeeded)));
            phase
        })
        .expect("it ends");
    assert_eq!(phase, Phase::Waiting, "right after the loss nothing is known of the runner");
}
