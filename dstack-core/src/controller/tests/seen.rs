//! What is seen is told once, and what is kept is released.

use std::time::Duration;

use super::lives::{allow, name, outcomes, script};
use crate::clock::{Boot, Clock as _};
use crate::cloud::LaunchError;
use crate::controller::effect::{Done, EffectKey, Outcome};
use crate::controller::{Controller, Options};
use crate::host::{HostError, RunnerHost as _};
use crate::model::state::{Outcome as Over, Phase};
use crate::model::{
    ActionKey, AttemptId, ClaimNumber, Command, Event, MachineId, MicroUsd, Observation, Purchase, Record, RunId,
    RunnerId, Seq, WorkflowId, WorkflowSpec,
};
use crate::testkit::World;

/// A controller with one runner wanted for this workflow.
async fn with_runner(world: &World, workflow: WorkflowSpec) -> (Controller, RunnerId) {
    let (_, submit) = world.submission(name("demo"), vec![workflow]);
    let mut controller = world.controller(Options::default());
    controller.client_mut().command(allow("m7i.xlarge", 1)).await.expect("it is allowed");
    controller.client_mut().command(submit).await.expect("it is accepted");
    loop {
        // The scope is looked at before anything is launched there.
        let step = controller.step().await.expect("the log can be used");
        let runner = controller.client().state().live_runners().map(|(id, _)| id).next();
        if let Some(runner) = runner {
            return (controller, runner);
        }
        controller.wait(step.next_wake).await;
    }
}

#[test]
fn a_refusal_that_proves_nothing_is_recorded_once() {
    let world = World::new(1);
    let told = world
        .run(async {
            let (mut controller, runner) = with_runner(&world, script("train", &["true"])).await;
            // Of a claim that somebody else has closed in the meantime.
            let answer = Err(LaunchError::Capacity { why: "none".to_owned(), all_zones: false, permanent: false });
            let late = Observation::LaunchAnswered { runner, claim: ClaimNumber(9), answer, greeting: None };
            controller.observations.push(late);
            let mut told = 0;
            for _ in 0..5 {
                let step = controller.step().await.expect("the log can be used");
                let is_it = |event: &Event| matches!(event, Event::OfferingUnavailable(_));
                told +=
                    step.records.iter().filter_map(crate::model::Record::event).filter(|event| is_it(event)).count();
            }
            told
        })
        .expect("it ends");
    assert_eq!(told, 1);
}

#[test]
fn failures_in_a_row_are_counted_from_the_last_success() {
    let world = World::new(1);
    world
        .run(async {
            let (mut controller, _) = with_runner(&world, script("train", &["sleep 3000"])).await;
            controller
                .run_until_idle_or(world.clock.sleep_until(Boot(Duration::from_secs(600))))
                .await
                .expect("it runs");
            let runner = controller.client().state().live_runners().map(|(id, _)| id).next().expect("it runs");
            let key = ActionKey::Follow(runner);
            let (now, options) = (controller.now_boot, Options::default());
            assert_eq!(controller.owed.failed(key, now, &options), 1);
            assert_eq!(controller.owed.failed(key, now, &options), 2);
            controller.take_in(Done { key: EffectKey::Owed(key), outcome: Outcome::Saw(Vec::new()) });
            assert_eq!(controller.owed.failed(key, now, &options), 1);
        })
        .expect("it ends");
}

fn first_of(run: RunId) -> AttemptId {
    AttemptId { workflow: WorkflowId { run, index: 0 }, number: 1 }
}

#[test]
fn the_folder_of_an_attempt_whose_artifacts_are_kept_is_emptied_while_its_runner_lives() {
    let world = World::new(1);
    let mut workflow = script("train", &["echo done > model"]);
    workflow.artifacts = vec!["model".to_owned()];
    let (run, submit) = world.submission(name("demo"), vec![workflow]);
    let fetched = world
        .run(async {
            let mut controller = world.controller(Options::default());
            controller.client_mut().command(allow("m7i.xlarge", 1)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            let soon = Boot(Duration::from_secs(200));
            controller.run_until_idle_or(world.clock.sleep_until(soon)).await.expect("it runs");
            let (id, runner) = controller.client().state().live_runners().next().expect("it is idle, and lives");
            let place = runner.place(id).expect("it has a machine");
            world.host.fetch(&place, first_of(run), "model").await
        })
        .expect("it ends");
    assert_eq!(outcomes(&world, run), [Phase::Over(Over::Succeeded)]);
    assert_eq!(fetched.map(|it| it.archive.is_some()), Err(HostError::UnknownAttempt(first_of(run))));
}

/// A workflow that leaves `model` behind, with what befalls its runner once its command has exited.
fn left_behind(befalls: impl Fn(&World, &MachineId, AttemptId)) -> (Vec<Phase>, u32) {
    let world = World::new(1);
    let mut workflow = script("train", &["echo done > model"]);
    workflow.artifacts = vec!["model".to_owned()];
    let (run, submit) = world.submission(name("demo"), vec![workflow]);
    let attempt = AttemptId { workflow: WorkflowId { run, index: 0 }, number: 1 };
    let attempts = world
        .run(async {
            let mut controller = world.controller(Options::default());
            controller.client_mut().command(allow("m7i.xlarge", 1)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            let mut has_befallen = false;
            loop {
                let step = controller.step().await.expect("the log can be used");
                let machine = world.host.runs().into_iter().find(|ran| ran.attempt == attempt).map(|ran| ran.machine);
                if let Some(machine) = machine.filter(|_| !has_befallen) {
                    has_befallen = true;
                    befalls(&world, &machine, attempt);
                }
                if step.is_idle {
                    break;
                }
                controller.wait(step.next_wake).await;
            }
            controller.client().state().workflow(attempt.workflow).map_or(0, |workflow| workflow.attempt)
        })
        .expect("it ends");
    (outcomes(&world, run), attempts)
}

#[test]
fn an_artifact_that_cannot_be_read_ends_its_workflow_and_says_why() {
    let unreadable = |world: &World, machine: &MachineId, attempt| {
        world.host.make_unreadable(machine, attempt, "Permission\ndenied");
    };
    let (phases, attempts) = left_behind(unreadable);
    let [Phase::Over(Over::Failed { exit, missing })] = &phases[..] else { panic!("it ended otherwise: {phases:?}") };
    assert_eq!((exit.code, &missing[..], attempts), (0, &["model (Permission\\ndenied)".to_owned()][..], 1));
}

#[test]
fn results_that_went_with_their_runner_are_lost_and_not_missing() {
    let taken = |world: &World, machine: &MachineId, attempt| {
        world.host.take_away_results(machine, attempt);
    };
    assert_eq!(left_behind(taken), (vec![Phase::Over(Over::Succeeded)], 2));
}

#[test]
fn a_machine_that_starts_is_looked_at_soon_also_where_a_look_came_before_it() {
    let world = World::new(21);
    let (run, submit) = world.submission(name("soon"), vec![script("a", &["true"])]);
    let mut controller = world.controller(Options::default());
    let began = world.clock.boot();
    world
        .run(async {
            controller.client_mut().command(allow("m7i.xlarge", 1)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            while !controller.client().state().runs()[&run].is_over() {
                let step = controller.step().await.expect("the log can be used");
                controller.wait(step.next_wake).await;
            }
        })
        .expect("it ends");
    let took = world.clock.boot().since(began);
    assert!(took < Options::default().look_period, "boot, a look and a greeting took {took:?}");
}

#[test]
fn a_price_that_moved_is_recorded_once_an_hour() {
    let world = World::new(31);
    let mut spot = World::offering("m7i.xlarge", Purchase::Spot).expect("it is in the built-in list");
    spot.price = Some(MicroUsd(100_000));
    world.cloud.set_price("m7i.xlarge", Purchase::Spot, Some(MicroUsd(90_000)));
    let (_, submit) = world.submission(name("long"), vec![script("a", &["sleep 9000"])]);
    let mut controller = world.controller(Options::default());
    let prices = world
        .run(async {
            let command = Command::Allow { offering: Box::new(spot), max: 1, min: 0 };
            controller.client_mut().command(command).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            controller.run_until_idle().await.expect("the log can be used");
            let records = controller.client().store().read(Seq::START, 1000).await.expect("the log can be read");
            let price = |record: &Record| match record.event() {
                Some(Event::PriceSeen(event)) => Some(event.price),
                _ => None,
            };
            records.iter().filter_map(price).collect::<Vec<_>>()
        })
        .expect("it ends");
    assert_eq!(prices, [MicroUsd(90_000)], "it moved by a tenth, once");
}
