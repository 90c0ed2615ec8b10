//! The workload on a cloud in memory, in virtual time, with the real controller.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use dstack_core::Options;
use dstack_core::clock::{Boot, Clock, VirtualClock};
use dstack_core::cloud::{FakeCloud, FakeMachine};
use dstack_core::host::{FakeHost, Ran, Simulated};
use dstack_core::model::plan::ScopeTick;
use dstack_core::model::state::Phase;
use dstack_core::model::{Command, Event, Exit, Seq, Settings, Span, State, Tick, WorkflowId, explain};
use dstack_core::store::{EventStore, StoreError};
use dstack_core::testkit::World;
use serde::Serialize;

use crate::allow::Allow;
use crate::workload::{Job, duration_of, groups, specs};

/// Records that are read at once.
const READ_LIMIT: usize = 10_000;

/// What is simulated.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Of the machines' and the clock's chance.
    pub(crate) seed: u64,
    /// The rules.
    pub(crate) allow: Vec<Allow>,
    /// How long a runner may be without work.
    pub(crate) idle_timeout: Span,
    /// Between two looks at the cloud.
    pub(crate) look_period: Duration,
    /// Place in the workload of the job that is explained.
    pub(crate) explain: Option<usize>,
}

/// What is true after the simulation.
pub(crate) struct Truth {
    /// When each job was submitted, by its place in the workload.
    pub(crate) submitted: Vec<Boot>,
    /// Every start of a job: its place in the workload, and what ran.
    pub(crate) ran: Vec<(usize, Ran)>,
    /// Jobs whose results are kept.
    pub(crate) finished: usize,
    /// Every machine that there ever was.
    pub(crate) machines: Vec<FakeMachine>,
    /// When nothing was left to do.
    pub(crate) end: Boot,
    /// The log's length.
    pub(crate) events: Seq,
    /// Why the job that is explained waits, each time that the answer changed.
    pub(crate) explained: Vec<Told>,
}

/// An answer, and since when it was true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    /// Log time since the beginning.
    pub(crate) at_s: u64,
    /// The answer: a line, and one for each rule and runner.
    pub(crate) why: String,
}

/// Runs the workload to its end. `progress` is told how many jobs are submitted, and the time.
pub(crate) fn simulate(
    setup: &Setup,
    jobs: &[Job],
    progress: impl FnMut(usize, Boot),
) -> Result<Truth, Box<dyn Error>> {
    let clock = Arc::new(VirtualClock::new(setup.seed));
    let cloud = FakeCloud::new(Arc::clone(&clock) as Arc<dyn Clock>, setup.seed);
    let host = FakeHost::on(cloud.clone(), Arc::clone(&clock) as Arc<dyn Clock>, setup.seed)
        .with_simulation(|_, job| Simulated::new(duration_of(&job.program), Exit::exited(0), Vec::new()));
    let world = World::with_host(clock, cloud, host);
    let done = world.run(drive(setup, jobs, &world, progress));
    done.map_err(|stuck| format!("{stuck}: a simulation lasts a year at most"))?
}

async fn drive(
    setup: &Setup,
    jobs: &[Job],
    world: &World,
    mut progress: impl FnMut(usize, Boot),
) -> Result<Truth, Box<dyn Error>> {
    let mut client = world.client();
    for allow in &setup.allow {
        let missing = || format!("the simulated cloud sells no {} {}", allow.purchase, allow.instance_type);
        let offering = World::offering(&allow.instance_type, allow.purchase).ok_or_else(missing)?;
        client.command(Command::Allow { offering: Box::new(offering), max: allow.max, min: 0 }).await?;
    }
    let settings = Settings { idle_timeout: setup.idle_timeout, ..Settings::default() };
    client.command(Command::Set(settings)).await?;

    // The only controller takes over at once, as the one that holds a home's lock does.
    let options = Options { look_period: setup.look_period, patience: Duration::ZERO, ..Options::default() };
    let mut controller = world.controller(options);
    let mut left = groups(jobs).into_iter().peekable();
    let mut submitted = vec![Boot::default(); jobs.len()];
    let mut places: BTreeMap<WorkflowId, usize> = BTreeMap::new();
    let mut explained: Vec<Told> = Vec::new();
    let mut asked = None;
    loop {
        let now = world.clock.boot();
        while let Some(group) = left.next_if(|group| Boot(group.submit.to_std()) <= now) {
            let (run, command) = world.submission(jobs[group.jobs[0]].name.clone(), specs(jobs, &group));
            client.command(command).await?;
            for (index, place) in (0..).zip(group.jobs) {
                places.insert(WorkflowId { run, index }, place);
                asked = asked.or_else(|| (setup.explain == Some(place)).then_some(WorkflowId { run, index }));
                submitted[place] = now;
            }
        }
        progress(places.len(), now);
        let step = controller.step().await?;
        let told = asked.and_then(|id| why(controller.client().state(), id));
        if let Some(why) = told.filter(|why| explained.last().is_none_or(|last| last.why != *why)) {
            explained.push(Told { at_s: world.clock.boot().0.as_secs(), why });
        }
        let next = left.peek().map(|group| Boot(group.submit.to_std()));
        if next.is_none() && step.is_idle {
            break;
        }
        controller.wait(step.next_wake.into_iter().chain(next).min()).await;
    }
    let ran = world.host.runs().into_iter().map(|ran| (places[&ran.attempt.workflow], ran)).collect();
    let events = controller.client().state().seq();
    let (finished, machines) = (finished(world, events).await?, world.cloud.machines());
    Ok(Truth { submitted, ran, finished, machines, end: world.clock.boot(), events, explained })
}

/// Why a workflow waits, if it does, as a user would see it: limits of the provider aside.
fn why(state: &State, id: WorkflowId) -> Option<String> {
    state.workflow(id).filter(|workflow| workflow.phase == Phase::Waiting)?;
    let free = ScopeTick { last_look: None, allowance: u32::MAX };
    let scopes = state.scopes().into_iter().map(|scope| (scope, free)).collect();
    let told = explain(state, &Tick { at: state.at(), scopes, ..Tick::default() }, id)?;
    Some(told.to_string())
}

/// How many jobs the log says succeeded.
async fn finished(world: &World, last: Seq) -> Result<usize, StoreError> {
    let (mut count, mut seen) = (0, Seq::START);
    while seen < last {
        let records = world.store.read(seen, READ_LIMIT).await?;
        count += records.iter().filter(|record| matches!(record.event(), Some(Event::ResultsKept(_)))).count();
        seen = records.last().map_or(last, |record| record.seq);
    }
    Ok(count)
}
