//! Several controllers that crash at any time, on a cloud where everything goes wrong; then the faults stop and all settles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::lives::{allow, name, script};
use crate::Client;
use crate::clock::{Boot, Clock};
use crate::cloud::{Draw, Faults};
use crate::controller::{Controller, Options};
use crate::host::HostFaults;
use crate::model::state::Phase;
use crate::model::{Command, Purchase, Span};
use crate::testkit::{ShakyStore, World};

const MAX: u32 = 3;
const SEEDS: u64 = 16;
const CHAOS: Duration = Duration::from_secs(4 * 3_600);

/// Runs controllers one after the other, each until it is killed at a random moment; a killed one leaves everything as it is.
async fn mortal_controller(world: &World, seed: u64) {
    let mut draw = Draw::new(seed);
    let end = Boot(CHAOS);
    while world.clock.boot() < end {
        let life = world.clock.boot().plus(Duration::from_millis(draw.below(600_000)));
        let options = Options { patience: Duration::from_secs(draw.below(2) * 60), ..Options::default() };
        let store = ShakyStore::by_chance(Arc::clone(&world.store), draw.below(u64::MAX), seed % 8);
        let client = Client::new(Arc::new(store), Arc::clone(&world.clock) as _);
        let mut controller = Controller::new(client, world.ports(), options);
        // It may end of itself when the log cannot be used or nothing is owed: the next one looks again.
        let _ = controller.run_until_idle_or(world.clock.sleep_until(life)).await;
        drop(controller);
        world.clock.sleep_until(world.clock.boot().plus(Duration::from_secs(1 + draw.below(30)))).await;
    }
}

async fn meddling_user(world: &World, seed: u64) {
    let mut draw = Draw::new(seed);
    let mut client = world.client();
    while world.clock.boot() < Boot(CHAOS) {
        world.clock.sleep_until(world.clock.boot().plus(Duration::from_secs(60 + draw.below(1_200)))).await;
        let command = match draw.below(5) {
            0 => Command::Disable,
            1 | 2 => Command::Enable,
            // Only ever up to the maximum that the cloud's own count is held against.
            _ => allow("m7i.large", u32::try_from(draw.below(u64::from(MAX) + 1)).expect("it is small")),
        };
        client.command(command).await.expect("the log can be used");
    }
}

/// Each workflow's attempts never overlap, and each attempt was started at most once.
fn check_runs(world: &World, seed: u64) {
    let mut by_workflow: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ran in world.host.runs() {
        assert_eq!(
            world.host.starts(ran.attempt),
            1,
            "seed {seed}: attempt {} was started more than once",
            ran.attempt
        );
        by_workflow.entry(ran.attempt.workflow).or_default().push(ran);
    }
    for (workflow, mut runs) in by_workflow {
        runs.sort_by_key(|ran| ran.began);
        for pair in runs.windows(2) {
            let ended = pair[0].until.expect("an attempt before another has ended");
            assert!(ended <= pair[1].began, "seed {seed}: two attempts of {workflow} ran at once");
        }
    }
}

fn settle(world: &World, seed: u64) {
    world.cloud.set_faults(Faults::none());
    world.host.set_faults(HostFaults::everything(0));
    let mut controller: Controller = world.controller(Options::default());
    let done = world.run(async {
        controller.client_mut().command(Command::Enable).await.expect("the log can be used");
        controller.client_mut().command(allow("m7i.large", MAX)).await.expect("the log can be used");
        controller.run_until_idle().await
    });
    done.unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}")).expect("the log can be used");
    let state = controller.client().state();
    for run in state.runs().values() {
        for workflow in &run.workflows {
            assert!(
                matches!(workflow.phase, Phase::Over(_)),
                "seed {seed}: {} is {:?}",
                workflow.spec.name,
                workflow.phase
            );
        }
    }
    let left: Vec<_> = world.cloud.machines().into_iter().filter(crate::cloud::FakeMachine::is_live).collect();
    assert!(left.is_empty(), "seed {seed}: machines are left: {left:?}");
    let faults: Vec<_> = state.faults().iter().collect();
    assert!(faults.is_empty(), "seed {seed}: events did not fit: {faults:?}");
}

#[test]
fn the_cap_holds_and_nothing_runs_twice_whatever_fails_and_all_settles_when_faults_stop() {
    let mut answers_lost = 0;
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let faults =
            Faults { late_most: Span::from_secs(60), ..Faults::everything(u16::try_from(seed * 4 % 60).unwrap_or(0)) };
        world.cloud.set_faults(faults);
        world.host.set_faults(HostFaults::everything(u16::try_from(seed * 3 % 20).unwrap_or(0)));
        world
            .run(async {
                let mut client = world.client();
                client.command(allow("m7i.large", MAX)).await.expect("the log can be used");
                for number in 0..12 {
                    let mut specs: Vec<_> =
                        (0..4).map(|i| script(&format!("w{i}"), &["sleep 200", "exit 0"])).collect();
                    specs[3].depends_on = vec![0, 1];
                    let (_, submit) = world.submission(name(&format!("run-{number}")), specs);
                    client.command(submit).await.expect("the log can be used");
                }
                futures::join!(
                    mortal_controller(&world, seed * 10),
                    mortal_controller(&world, seed * 10 + 1),
                    meddling_user(&world, seed * 10 + 2)
                );
            })
            .unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
        settle(&world, seed);
        check_runs(&world, seed);
        let most = world.cloud.max_live("m7i.large", Purchase::OnDemand);
        assert!(most <= MAX as usize, "seed {seed}: {most} machines lived at once, {MAX} were allowed");
        answers_lost += world.cloud.calls(crate::cloud::Api::Launch);
    }
    assert!(answers_lost > SEEDS, "the campaign launched machines at all");
}
