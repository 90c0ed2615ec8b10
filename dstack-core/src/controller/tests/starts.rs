//! What keeps a workflow from being started, and how that is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lives::{allow, name, outcomes, script};
use crate::blob::{BlobStore as _, MemoryBlobs};
use crate::clock::{Boot, Clock};
use crate::cloud::{Api, Limited, Limits, MachineState};
use crate::controller::effect::{self, RecentArchives, StartInput};
use crate::controller::{Controller, Options, Ports};
use crate::host::test_archive::pack;
use crate::model::state::{Outcome, Phase};
use crate::model::{AttemptId, Command, Loss, RunId, Submission, Unfit, WorkflowId, WorkflowSpec};
use crate::secret::MemorySecrets;
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
            world.cloud.calls(Api::Launch)
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
fn what_has_begun_goes_on_where_a_controller_comes_back_and_what_it_needed_is_gone() {
    let mut world = World::new(1);
    world.secrets = Arc::new(MemorySecrets::new([("TOKEN", "sesame")]));
    let run = RunId::from_bits(5);
    let attempt = AttemptId { workflow: WorkflowId { run, index: 0 }, number: 1 };
    world
        .run(async {
            let folder = world.blobs.put(pack(&BTreeMap::new())).await.expect("it is kept");
            let submission = Submission {
                run,
                name: name("demo"),
                folder: Some(folder),
                secrets: vec!["TOKEN".to_owned()],
                workflows: vec![script("train", &["sleep 100"])],
                unfit: Unfit::Queue,
            };
            let mut first = world.controller(Options::default());
            first.client_mut().command(allow("m7i.large", 1)).await.expect("it is allowed");
            first.client_mut().command(Command::Submit(Box::new(submission))).await.expect("it is accepted");
            while first.begun.is_empty() {
                let step = first.step().await.expect("the log can be used");
                first.wait(step.next_wake).await;
            }
            drop(first);
            let (secrets, blobs) = (Arc::default(), Arc::new(MemoryBlobs::default()));
            let ports = Ports { secrets: secrets as Arc<MemorySecrets>, blobs, ..world.ports() };
            let mut second = Controller::new(world.client(), ports, Options::default());
            second.run_until_idle().await.expect("it runs");
        })
        .expect("it ends");
    assert_eq!(outcomes(&world, run), [Phase::Over(Outcome::Succeeded)]);
    assert_eq!(world.host.starts(attempt), 1);
}

#[test]
fn who_cannot_start_an_attempt_does_not_end_what_another_one_began() {
    let world = World::new(1);
    let (run, submit) = world.submission(name("demo"), vec![script("train", &["sleep 100"])]);
    let outcome = world
        .run(async {
            let mut first = world.controller(Options::default());
            first.client_mut().command(allow("m7i.large", 1)).await.expect("it is allowed");
            first.client_mut().command(submit).await.expect("it is accepted");
            while first.begun.is_empty() {
                let step = first.step().await.expect("the log can be used");
                first.wait(step.next_wake).await;
            }
            let (id, runner) = first.client().state().live_runners().next().expect("it runs");
            let input = StartInput {
                attempt: AttemptId { workflow: WorkflowId { run, index: 0 }, number: 1 },
                place: runner.place(id).expect("it has an address"),
                run: name("demo"),
                spec: Arc::new(script("train", &["sleep 100"])),
                folder: None,
                manifests: Vec::new(),
                secrets: vec!["GONE".to_owned()],
                recent: RecentArchives::default(),
                is_new: true,
            };
            let provider = world.ports().providers.remove("fake").expect("it is there");
            let outcome = effect::start(world.ports(), provider, input).await;
            first.run_until_idle().await.expect("it runs");
            outcome
        })
        .expect("it ends");
    assert!(matches!(outcome, effect::Outcome::Begun), "{outcome:?}");
    assert_eq!(outcomes(&world, run), [Phase::Over(Outcome::Succeeded)]);
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

#[test]
fn launches_that_wait_for_their_turn_are_not_sent_once_nobody_wants_them() {
    let world = World::new(1);
    let workflows = (0..16).map(|number| script(&format!("w{number}"), &["sleep 600"])).collect();
    let (_, submit) = world.submission(name("demo"), workflows);
    let (waiting, held) = world
        .run(async {
            let mut ports = world.ports();
            let provider = ports.providers.get_mut("fake").expect("it is there");
            let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
            provider.cloud = Arc::new(Limited::new(world.cloud.clone(), clock, Limits::EC2));
            let mut controller = Controller::new(world.client(), ports, Options::default());
            controller.client_mut().command(allow("m7i.large", 16)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            while world.cloud.calls(Api::Launch) < 5 {
                let step = controller.step().await.expect("the log can be used");
                controller.wait(step.next_wake).await;
            }
            controller.client_mut().command(Command::Disable).await.expect("it is accepted");
            controller.run_until_idle().await.expect("it runs");
            let state = controller.client().state();
            (state.queue().len(), controller.permits.len())
        })
        .expect("it ends");
    assert_eq!((waiting, held), (16, 0));
    assert!(world.cloud.calls(Api::Launch) <= 6, "{} launches were sent", world.cloud.calls(Api::Launch));
    assert!(world.cloud.machines().iter().all(|machine| machine.state() == MachineState::Terminated));
}
