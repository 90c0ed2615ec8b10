//! What stories are told with.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::clock::Clock;
use crate::cloud::MachineState;
use crate::model::{
    Bytes, Command, MachineId, MilliCpu, Needs, Purchase, Retry, RuleFilter, RunId, WorkflowId, WorkflowSpec,
};
use crate::testkit::World;

/// How often a story looks whether what it waits for has come.
const GLANCE: Duration = Duration::from_secs(1);
/// After so many glances it goes on all the same: what it waited for will not come.
const MAX_GLANCES: u32 = 7_200;

pub(super) fn plain(seed: u64) -> World {
    World::new(seed)
}

pub(super) fn nothing(_: &World) -> BoxFuture<'_, ()> {
    Box::pin(std::future::ready(()))
}

pub(super) fn allow(instance_type: &str, purchase: Purchase, max: u32) -> Command {
    let offering = World::offering(instance_type, purchase).expect("it is in the built-in list");
    Command::Allow { offering: Box::new(offering), max, min: 0 }
}

/// The rule of most stories.
pub(super) fn allow_large(max: u32) -> Command {
    allow("m7i.large", Purchase::OnDemand, max)
}

pub(super) fn script(name: &str, commands: &[&str]) -> WorkflowSpec {
    WorkflowSpec::script(name.parse().expect("it is a name"), commands.iter().copied())
}

/// A workflow that takes that many seconds and succeeds.
pub(super) fn work(name: &str, seconds: u32) -> WorkflowSpec {
    script(name, &[&format!("sleep {seconds}"), "exit 0"])
}

/// One that shares a runner.
pub(super) fn shared(name: &str, seconds: u32) -> WorkflowSpec {
    let needs = Needs { cpu: Some(MilliCpu(500)), memory: Some(Bytes::from_gib(1)), ..Needs::default() };
    WorkflowSpec { needs, ..work(name, seconds) }
}

pub(super) fn after(workflow: WorkflowSpec, depends_on: &[u32]) -> WorkflowSpec {
    WorkflowSpec { depends_on: depends_on.to_vec(), ..workflow }
}

pub(super) fn retried(workflow: WorkflowSpec, max: u32) -> WorkflowSpec {
    WorkflowSpec { retry: Some(Retry { max, on_exit_codes: Vec::new() }), ..workflow }
}

pub(super) fn submit(world: &World, name: &str, workflows: Vec<WorkflowSpec>) -> Command {
    world.submission(name.parse().expect("it is a name"), workflows).1
}

pub(super) async fn pass(world: &World, seconds: u64) {
    world.clock.sleep_until(world.clock.boot().plus(Duration::from_secs(seconds))).await;
}

/// The user asks for this; what is refused because it is too late for it is refused.
pub(super) async fn ask(world: &World, command: Command) {
    drop(world.client().command(command).await);
}

pub(super) async fn run_named(world: &World, name: &str) -> RunId {
    let mut client = world.client();
    client.refresh().await.expect("a log in memory can be read");
    let found = client.run_named(&name.parse().expect("it is a name")).await.expect("a log in memory can be read");
    found.map(|(id, _)| id).expect("it was submitted")
}

pub(super) async fn stop(world: &World, name: &str, workflow: Option<u32>, abort: bool) {
    let run = run_named(world, name).await;
    let workflow = workflow.map(|index| WorkflowId { run, index });
    ask(world, Command::Stop { run, workflow, abort }).await;
}

pub(super) fn remove_all() -> Command {
    Command::Remove(RuleFilter::default())
}

async fn until<T>(world: &World, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..MAX_GLANCES {
        if let Some(found) = look() {
            return Some(found);
        }
        world.clock.sleep_until(world.clock.boot().plus(GLANCE)).await;
    }
    None
}

/// The newest machine, once that many were launched.
pub(super) async fn launched(world: &World, count: usize) -> Option<MachineId> {
    until(world, || {
        let mut machines = world.cloud.machines();
        machines.sort_by_key(|machine| machine.launched());
        machines.get(count - 1).map(|machine| machine.id.clone())
    })
    .await
}

/// A machine that something runs on, once that many attempts have begun.
pub(super) async fn begun(world: &World, count: usize) -> Option<MachineId> {
    until(world, || world.host.runs().get(count - 1).map(|ran| ran.machine.clone())).await
}

/// A machine that shuts down.
pub(super) async fn ending(world: &World) -> Option<MachineId> {
    let is_it = |state| matches!(state, MachineState::ShuttingDown | MachineState::Terminated);
    until(world, || world.cloud.machines().into_iter().find(|machine| is_it(machine.state())).map(|it| it.id)).await
}
