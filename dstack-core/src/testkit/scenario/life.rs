//! A story told with faults at some of its boundaries, and what must be true at its end whatever they are.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::point::{Fault, Point, Points, Pulse};
use super::ports::{Bounded, Log};
use super::story::Story;
use crate::client::Client;
use crate::clock::Clock;
use crate::controller::{Controller, ControllerError, Options, Ports, Provider};
use crate::model::State;
use crate::model::invariant;
use crate::model::state::Phase;
use crate::testkit::World;

/// A process that has nothing to do looks again after so long, while more is to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long another process takes the place of one that ended.
const REBIRTH: Duration = Duration::from_secs(1);

/// What came of a story.
pub struct Told {
    /// The boundaries that were passed, in order.
    pub points: Vec<Point>,
    /// What is wrong at its end, if anything is.
    pub wrong: Option<String>,
}

/// Tells the story from its seed with these faults at the boundaries with these numbers. The same faults give the same life.
pub fn tell(story: &Story, faults: BTreeMap<usize, Fault>) -> Told {
    let world = (story.world)(story.seed());
    let points = Arc::new(Points::new(Arc::clone(&world.clock), faults));
    let outcome = world.run(async {
        begin(&world, story).await;
        let is_told = AtomicBool::new(false);
        let meanwhile = async {
            (story.meanwhile)(&world).await;
            is_told.store(true, Ordering::Relaxed);
        };
        let (outcomes, ()) = futures::join!(processes(&world, &points, &is_told), meanwhile);
        outcomes
    });
    let wrong = match outcome {
        Err(stuck) => Some(stuck.to_string()),
        Ok(outcomes) => {
            let failed = outcomes.into_iter().find_map(Result::err).map(|error| error.to_string());
            failed.or_else(|| judge(&world, story).err())
        }
    };
    Told { points: points.passed(), wrong }
}

async fn begin(world: &World, story: &Story) {
    let mut client = world.client();
    for command in (story.commands)(world) {
        client.command(command).await.expect("a story asks for what is possible");
    }
}

/// A first process, and one more for each that a fault ends or stops.
async fn processes(world: &World, points: &Arc<Points>, is_told: &AtomicBool) -> Vec<Result<(), ControllerError>> {
    let mut living: FuturesUnordered<BoxFuture<'_, _>> = FuturesUnordered::new();
    living.push(Box::pin(process(world, points, is_told)));
    let mut outcomes = Vec::new();
    poll_fn(|context| {
        loop {
            let polled = living.poll_next_unpin(context);
            let births = points.take_births();
            for _ in 0..births {
                living.push(Box::pin(async {
                    world.clock.sleep_until(world.clock.boot().plus(REBIRTH)).await;
                    process(world, points, is_told).await
                }));
            }
            match polled {
                Poll::Ready(Some(outcome)) => outcomes.push(outcome),
                Poll::Ready(None) if births == 0 => return Poll::Ready(()),
                Poll::Pending if births == 0 => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
    })
    .await;
    outcomes
}

enum Stop {
    Over(Result<(), ControllerError>),
    Still,
}

/// One process, until nothing is left to do or a fault ends it. While it stands still nothing of it goes on.
async fn process(world: &World, points: &Arc<Points>, is_told: &AtomicBool) -> Result<(), ControllerError> {
    let pulse = Arc::new(Pulse::default());
    let mut controller = controller(world, points, &pulse);
    let mut work = Box::pin(async {
        loop {
            controller.run_until_idle().await?;
            if is_told.load(Ordering::Relaxed) {
                return Ok(());
            }
            world.clock.sleep_until(world.clock.boot().plus(PATIENCE)).await;
        }
    });
    loop {
        let stop = poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            if pulse.is_dead() {
                return Poll::Ready(Stop::Over(Ok(())));
            }
            if polled.is_pending() && world.clock.boot() < pulse.still_until() {
                return Poll::Ready(Stop::Still);
            }
            polled.map(Stop::Over)
        });
        match stop.await {
            Stop::Over(outcome) => return outcome,
            Stop::Still => world.clock.sleep_until(pulse.still_until()).await,
        }
    }
}

fn controller(world: &World, points: &Arc<Points>, pulse: &Arc<Pulse>) -> Controller {
    let whole = world.ports();
    let bounded = |provider: Provider| Provider {
        cloud: Arc::new(Bounded { port: provider.cloud, points: Arc::clone(points), pulse: Arc::clone(pulse) }),
        host: Arc::new(Bounded { port: provider.host, points: Arc::clone(points), pulse: Arc::clone(pulse) }),
        launches_at_once: provider.launches_at_once,
    };
    let providers = whole.providers.into_iter().map(|(name, provider)| (name, bounded(provider))).collect();
    let clock = Arc::clone(&world.clock) as _;
    let log = Log::new(Arc::clone(&world.store), clock, Arc::clone(points), Arc::clone(pulse));
    let client = Client::new(Arc::new(log), Arc::clone(&world.clock) as _);
    Controller::new(client, Ports { providers, ..whole }, Options::default())
}

/// What holds at the end of every story, and what this one is about.
fn judge(world: &World, story: &Story) -> Result<(), String> {
    let mut client = world.client();
    let read = world.run(client.refresh()).map_err(|stuck| stuck.to_string())?;
    read.map_err(|error| error.to_string())?;
    let state = client.state();
    if let Some(fault) = state.faults().iter().next() {
        return Err(format!("an event does not fit: {} {}", fault.kind, fault.why));
    }
    if let Some((law, why)) = invariant::broken(state) {
        return Err(format!("the state breaks the law {law}: {why}"));
    }
    if let Some(machine) = world.cloud.machines().iter().find(|machine| machine.is_live()) {
        return Err(format!("machine {} is left", machine.id));
    }
    for ((instance_type, purchase), most) in world.cloud.max_live_each() {
        if most > story.most_machines {
            return Err(format!("{most} machines of {instance_type} {purchase} lived at once"));
        }
    }
    runs_are_apart(world)?;
    outcomes_are_right(state, story)
}

/// Each attempt was started at most once, and no two of a workflow ran at the same time.
fn runs_are_apart(world: &World) -> Result<(), String> {
    let mut by_workflow: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ran in world.host.runs() {
        if world.host.starts(ran.attempt) > 1 {
            return Err(format!("attempt {} was started more than once", ran.attempt));
        }
        by_workflow.entry(ran.attempt.workflow).or_default().push(ran);
    }
    for (workflow, mut runs) in by_workflow {
        runs.sort_by_key(|ran| ran.began);
        if runs.windows(2).any(|pair| pair[0].until.is_none_or(|until| until > pair[1].began)) {
            return Err(format!("two attempts of {workflow} ran at once"));
        }
    }
    Ok(())
}

fn outcomes_are_right(state: &State, story: &Story) -> Result<(), String> {
    let mut runs: Vec<_> = state.runs().values().collect();
    runs.sort_by_key(|run| run.submitted);
    let workflows: Vec<_> = runs.into_iter().flat_map(|run| &run.workflows).collect();
    if workflows.len() != story.ends.len() {
        return Err(format!("{} workflows are known, {} were submitted", workflows.len(), story.ends.len()));
    }
    for (workflow, ends) in workflows.into_iter().zip(story.ends) {
        let Phase::Over(outcome) = &workflow.phase else {
            return Err(format!("{} is not over: {:?}", workflow.spec.name, workflow.phase));
        };
        if !ends.iter().any(|end| end.is(outcome)) {
            return Err(format!("{} ended otherwise than it should: {outcome:?}", workflow.spec.name));
        }
    }
    Ok(())
}
