//! One schedule: a world, its processes, and a seed that picks what happens next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::actor::{Actor, End, Ends};
use super::job::{JobHits, simulation};
use super::observer::{Observer, Violation};
use super::process_clock::ProcessClock;
use super::properties::Truth;
use super::swarm::Swarm;
use super::switchboard::{Parked, Switchboard};
use super::trace::Script;
use super::user;
use super::watched::{Arms, WatchedCloud, WatchedHost, WatchedStore};
use super::weather::Repair;
use crate::blob::{MemoryBlobs, MemoryOutput};
use crate::client::Client;
use crate::clock::{Boot, Clock, VirtualClock};
use crate::cloud::{Draw, FakeCloud, Moment, Throttling};
use crate::controller::{Controller, Options, Ports, Provider};
use crate::host::{FakeHost, Job, Simulated};
use crate::model::{Command, Event, Exit, Program, Span, WorkflowId};
use crate::secret::MemorySecrets;
use crate::store::{FaultyStore, MemoryStore};

/// The user is the first actor.
pub(super) const USER: usize = 0;
/// Most choices without any time passing: more means that somebody goes round in circles.
const MAX_PICKS_AT_ONCE: u64 = 20_000;
/// Longest time that passes at once while calls are under way.
const LAG_MOST: Duration = Duration::from_secs(8);
/// What the account may do at once and in a second, where that is limited.
const LIMITS: Throttling = Throttling { launch: (2, 1), look: (3, 1), terminate: (2, 1), terminate_machines: (4, 1) };
/// A user waits up to twice this long, in seconds, between two commands.
const COMMAND_EVERY_SECS: u64 = 240;

/// A schedule that is under way.
pub(super) struct Schedule<'a> {
    pub(super) swarm: &'a Swarm,
    pub(super) draw: Draw,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) board: Arc<Switchboard>,
    log: Arc<MemoryStore>,
    pub(super) store: FaultyStore,
    secrets: Arc<MemorySecrets>,
    pub(super) truth: Truth,
    pub(super) actors: Vec<Actor>,
    client: Option<Client>,
    commands: Vec<Command>,
    next_command: Boot,
    submitted: u32,
    given: u32,
    pub(super) observer: Observer,
    pub(super) script: Option<Script>,
    pub(super) arms: Arms,
    pub(super) job_hits: JobHits,
    /// Faults that came about here, by name.
    pub(super) hits: BTreeMap<&'static str, u64>,
    /// When each fault first came about, in choices.
    pub(super) first_hits: BTreeMap<String, u64>,
    pub(super) ends: Ends,
    pub(super) repairs: BTreeMap<(Boot, u64), Repair>,
    pub(super) repair_number: u64,
    /// The faults of the scheduler's choices, with their rates per million.
    weights: Vec<(&'static str, u16)>,
    picks_at_once: u64,
    pub(super) chaos_end: Boot,
    /// After a record of a newer program nothing can settle.
    pub(super) is_unreadable: bool,
    entropy_noted: crate::model::Seq,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(swarm: &'a Swarm) -> Self {
        let mut draw = Draw::new(swarm.seed.rotate_left(17) ^ 0x7042_7572_6531);
        let clock = Arc::new(VirtualClock::new(swarm.seed));
        let base = || Arc::clone(&clock) as Arc<dyn Clock>;
        let board = Arc::new(Switchboard::new(Arc::clone(&clock), draw.bits(), swarm.quick));
        let cloud =
            FakeCloud::new(base(), draw.bits()).with_gate(Arc::clone(&board) as _).with_faults(swarm.cloud_faults());
        let job_hits = JobHits::default();
        let host = FakeHost::on(cloud.clone(), base(), draw.bits())
            .with_gate(Arc::clone(&board) as _)
            .with_faults(swarm.host_faults())
            .with_simulation(simulation(swarm, job_hits.clone()));
        let log = Arc::new(MemoryStore::new(base()));
        let store = FaultyStore::new(Arc::clone(&log) as _, base(), draw.bits())
            .with_gate(Arc::clone(&board) as _)
            .with_faults(swarm.store_faults());
        let truth = Truth {
            cloud,
            host,
            blobs: Arc::new(MemoryBlobs::new()),
            outputs: Arc::new(MemoryOutput::new()),
            strangers: std::collections::BTreeSet::new(),
            wiped: std::collections::BTreeSet::new(),
            now: Boot::default(),
            is_settling: false,
        };
        let weights = super::fault::KINDS.iter().filter_map(|kind| match kind.chance {
            super::fault::Chance::PerMillion(_) => {
                Some((kind.name, swarm.rate(kind.name))).filter(|(_, rate)| *rate > 0)
            }
            super::fault::Chance::PerMille(_) | super::fault::Chance::ByItself => None,
        });
        let mut schedule = Self {
            swarm,
            chaos_end: Boot(Duration::from_secs(swarm.chaos_secs)),
            weights: weights.collect(),
            observer: Observer::new(Arc::clone(&log)),
            script: None,
            draw,
            clock,
            board,
            log,
            store,
            secrets: Arc::new(MemorySecrets::default()),
            truth,
            actors: Vec::new(),
            client: None,
            commands: swarm.rules.iter().rev().map(|rule| user::allow(rule, rule.max, 0)).collect(),
            next_command: Boot::default(),
            submitted: 0,
            given: 0,
            arms: Arms::default(),
            job_hits,
            hits: BTreeMap::new(),
            first_hits: BTreeMap::new(),
            ends: Ends::new(),
            repairs: BTreeMap::new(),
            repair_number: 0,
            picks_at_once: 0,
            is_unreadable: false,
            entropy_noted: crate::model::Seq::START,
        };
        schedule.people();
        schedule
    }

    /// Commands, jobs and interruptions are those of this script.
    pub(super) fn with_script(mut self, script: Script) -> Self {
        self.truth.host = self.truth.host.clone().with_simulation(|_, job| scripted(job));
        self.commands.clear();
        self.script = Some(script);
        self
    }

    pub(super) fn ask_next(&mut self, at: Boot) {
        self.next_command = at;
    }

    pub(super) fn is_commanding(&self) -> bool {
        self.actors[USER].is_running()
    }

    /// The user and the controllers, each on a machine of its own.
    fn people(&mut self) {
        if self.draw.chance(self.swarm.rate("cloud.buckets")) {
            self.hit("cloud.buckets");
            self.truth.cloud = self.truth.cloud.clone().with_throttling(LIMITS);
        }
        for index in 0..=self.swarm.controllers {
            let is_user = index == 0;
            let mut drift = 0;
            if !is_user && self.draw.chance(self.swarm.rate("engine.clock_drift")) {
                self.hit("engine.clock_drift");
                drift = i32::try_from(self.draw.below(2_001)).unwrap_or(0) - 1_000;
            }
            let repeats = if is_user { 0 } else { self.swarm.rate("engine.entropy_repeated") };
            let clock = ProcessClock::new(Arc::clone(&self.clock), self.draw.bits(), drift, repeats);
            let mut actor = Actor::new(clock);
            if !is_user {
                actor.starts_at = Some(Boot(Duration::from_secs(self.draw.below(60))));
            }
            self.actors.push(actor);
        }
    }

    pub(super) fn hit(&mut self, name: &'static str) {
        *self.hits.entry(name).or_default() += 1;
        self.first_hits.entry(name.to_owned()).or_insert(self.observer.step);
    }

    pub(super) fn now(&self) -> Boot {
        self.clock.boot()
    }

    /// Runs the faults' part, then lets everything settle.
    pub(super) fn run(&mut self) -> Result<(), Violation> {
        let mut left = self.swarm.picks;
        while left > 0 && self.now() < self.chaos_end {
            left -= 1;
            self.step()?;
        }
        if self.is_unreadable {
            return Ok(());
        }
        self.settle()
    }

    /// What is woken goes on, the log and the world are looked at, and something is picked.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        self.observer.step += 1;
        self.picks_at_once += 1;
        if self.picks_at_once > MAX_PICKS_AT_ONCE {
            return Err(self.observer.violation("progress", "thousands of calls are made, and no time passes"));
        }
        self.start_due();
        self.go_on()?;
        self.look()?;
        self.pick()
    }

    pub(super) fn look(&mut self) -> Result<(), Violation> {
        self.truth.now = self.now();
        let told = self.store.take_acknowledged();
        self.observer.observe(&self.truth, told)?;
        if self.swarm.rate("engine.entropy_repeated") > 0 {
            self.note_ids();
        }
        if self.observer.step.is_multiple_of(32) {
            self.note_hits();
        }
        Ok(())
    }

    /// Ids that are in the log may be drawn again.
    fn note_ids(&mut self) {
        let seen = usize::try_from(self.entropy_noted.get()).unwrap_or(usize::MAX);
        for record in self.observer.records.iter().skip(seen) {
            if let Some(Event::RunnerWanted(wanted)) = record.event() {
                for actor in &self.actors {
                    actor.clock.may_repeat(wanted.request.launch.to_bits());
                    actor.clock.may_repeat(wanted.runner.to_bits());
                }
            }
        }
        self.entropy_noted = self.observer.seq();
    }

    /// Every process that was woken goes on, in a fixed order.
    pub(super) fn go_on(&mut self) -> Result<(), Violation> {
        while let Some(index) = (0..self.actors.len()).find(|index| self.actors[*index].is_woken()) {
            if let Some(end) = self.actors[index].go_on(index, &self.board) {
                self.ended(index, end)?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, index: usize, end: End) -> Result<(), Violation> {
        let name = match end {
            End::Idle => {
                if self.truth.is_settling {
                    self.look()?;
                    self.observer.idle(&self.truth)?;
                    return Ok(());
                }
                "controller: idle"
            }
            End::Terminated => "controller: terminated",
            End::Failed(name) => {
                *self.ends.entry(name).or_default() += 1;
                if self.truth.is_settling {
                    return Err(self
                        .observer
                        .violation("settled", &format!("a controller gave up without faults: {name}")));
                }
                "controller: failed"
            }
            End::Told(client, answer) => {
                self.client = Some(*client);
                self.was_told(answer);
                *self.ends.entry(answer).or_default() += 1;
                "user: told"
            }
            End::Planned => {
                self.hit("engine.panic");
                "controller: panicked"
            }
            End::Panicked(words) => return Err(self.observer.violation("panic", &words)),
        };
        *self.ends.entry(name).or_default() += 1;
        if index != USER && !self.truth.is_settling {
            let wait = Duration::from_millis(self.draw.below(120_000));
            self.actors[index].starts_at = Some(self.now().plus(wait));
        }
        Ok(())
    }

    /// Starts processes whose time has come, and lets those go on that stood still for long enough.
    pub(super) fn start_due(&mut self) {
        let now = self.now();
        while let Some(entry) = self.repairs.first_entry().filter(|entry| entry.key().0 <= now) {
            let repair = entry.remove();
            self.repair(repair);
        }
        self.interrupt_due();
        for index in 0..self.actors.len() {
            let actor = &mut self.actors[index];
            if actor.paused_until.is_some_and(|until| until <= now) {
                actor.paused_until = None;
            }
            if actor.starts_at.is_some_and(|at| at <= now) && index != USER {
                self.start_controller(index);
            }
        }
        if !self.truth.is_settling && self.next_command <= now && !self.actors[USER].is_running() {
            self.give_next_command();
        }
    }

    /// The log itself, without faults.
    pub(super) const fn raw_log(&self) -> &Arc<MemoryStore> {
        &self.log
    }

    pub(super) fn client_of(&self, index: usize) -> Client {
        let clock = Arc::clone(&self.actors[index].clock) as Arc<dyn Clock>;
        let inner = Arc::new(self.log.handle(Arc::clone(&clock)));
        let store = WatchedStore(self.store.handle(inner, Arc::clone(&clock)), self.arms.clone());
        Client::new(Arc::new(store), clock)
    }

    fn ports(&self, launches_at_once: u32) -> Ports {
        let provider = Provider {
            cloud: Arc::new(WatchedCloud(self.truth.cloud.clone(), self.arms.clone())),
            host: Arc::new(WatchedHost(self.truth.host.clone(), self.arms.clone())),
            launches_at_once,
        };
        Ports {
            providers: BTreeMap::from([("fake".to_owned(), provider)]),
            blobs: Arc::clone(&self.truth.blobs) as _,
            outputs: Arc::clone(&self.truth.outputs) as _,
            secrets: Arc::clone(&self.secrets) as _,
        }
    }

    fn start_controller(&mut self, index: usize) {
        // A workload of months is looked at less often.
        let slower = if self.script.is_some() { 5 } else { 1 };
        let mut options = Options {
            look_period: Duration::from_secs(120 * slower),
            busy_look_period: Duration::from_secs(20 * slower),
            ..Options::default()
        };
        let mut launches = 50;
        if self.draw.chance(self.swarm.rate("engine.other_options")) {
            self.hit("engine.other_options");
            let draw = &mut self.draw;
            let secs = |secs: u64| Duration::from_secs(secs);
            options = Options {
                patience: secs(draw.below(3) * 60),
                launch_timeout: secs(3 + draw.below(8)),
                max_in_flight: usize::try_from(4 + draw.below(100)).unwrap_or(4),
                max_collects: usize::try_from(1 + draw.below(4)).unwrap_or(1),
                look_period: secs(60 + draw.below(400)),
                busy_look_period: secs(5 + draw.below(60)),
                backoff: Duration::from_millis(100 + draw.below(3_000)),
                max_backoff: secs(5 + draw.below(60)),
            };
            launches = 1 + u32::try_from(draw.below(8)).unwrap_or(0);
        }
        let is_background = !self.truth.is_settling && self.draw.chance(600);
        let controller = Controller::new(self.client_of(index), self.ports(launches), options);
        self.actors[index].run_controller(controller, is_background);
    }

    fn give_next_command(&mut self) {
        if let Some(script) = &mut self.script {
            if let Some((_, command)) = script.commands.pop() {
                self.next_command = script.commands.last().map_or(Boot(Duration::MAX), |(at, _)| *at);
                script.current = Some(command.clone());
                self.give(command);
            }
            return;
        }
        let wait = Duration::from_millis(self.draw.below(COMMAND_EVERY_SECS * 2_000));
        let command = if let Some(command) = self.commands.pop() {
            command
        } else if self.submitted < self.swarm.runs && (self.given >= self.swarm.commands || self.draw.chance(400)) {
            self.submitted += 1;
            user::submission(&mut self.draw, self.swarm, self.submitted)
        } else if self.given < self.swarm.commands {
            self.given += 1;
            user::command(&mut self.draw, self.swarm, &self.observer.state)
        } else {
            self.next_command = Boot(Duration::MAX);
            return;
        };
        self.next_command = if self.commands.is_empty() { self.now().plus(wait) } else { self.now() };
        self.give(command);
    }

    /// The next thing that the user asks for is that this ends.
    pub(super) fn is_told_to_stop(&mut self, workflow: WorkflowId, after: Duration) {
        if self.script.is_none() {
            self.commands.push(Command::Stop {
                run: workflow.run,
                workflow: Some(workflow),
                abort: self.draw.chance(500),
            });
            self.next_command = self.next_command.min(self.now().plus(after));
        }
    }

    pub(super) fn give(&mut self, command: Command) {
        let client = self.client.take().unwrap_or_else(|| self.client_of(USER));
        self.actors[USER].run_command(client, command);
    }

    fn pick(&mut self) -> Result<(), Violation> {
        let chance = self.draw.below(1_000_000);
        let mut sum = 0;
        let befalls = self.weights.iter().find(|(_, weight)| {
            sum += u64::from(*weight);
            chance < sum
        });
        if let Some((name, _)) = befalls.copied().filter(|_| !self.truth.is_settling) {
            return self.befall(name);
        }
        let actors = &self.actors;
        let parked = self.board.parked(|parked: &Parked| actors[parked.actor].paused_until.is_none());
        if parked.is_empty() {
            self.pass_time(None);
            return Ok(());
        }
        if !self.truth.is_settling && self.draw.chance(self.swarm.lag) {
            self.pass_time(Some(LAG_MOST));
            return Ok(());
        }
        let place = usize::try_from(self.draw.below(parked.len() as u64)).unwrap_or(0);
        let number = parked[place];
        if let Some(parked) = self.board.get(number) {
            if self.kills_user(&parked) {
                return Ok(());
            }
            // What it was about to send goes out when it goes on.
            self.pauses_sender(&parked);
        }
        self.open(number)
    }

    /// Lets this call go on.
    pub(super) fn open(&mut self, number: u64) -> Result<(), Violation> {
        if let Some(parked) = self.board.get(number) {
            if parked.point.moment == Moment::BeforeEffect {
                self.observer.call(&self.truth, &parked.point)?;
            }
            self.board.open(number);
        }
        Ok(())
    }

    /// Time passes until something happens, but no longer than this.
    fn pass_time(&mut self, most: Option<Duration>) {
        let now = self.now();
        let mut next = if self.truth.is_settling { None } else { Some(self.chaos_end) };
        let mut may_be = |moment: Boot| {
            if moment > now && next.is_none_or(|next| moment < next) {
                next = Some(moment);
            }
        };
        self.clock.next_timer().into_iter().for_each(&mut may_be);
        self.repairs.keys().next().map(|(at, _)| *at).into_iter().for_each(&mut may_be);
        let interruption = self.script.as_ref().and_then(|script| script.interruptions.last().copied());
        interruption.into_iter().for_each(&mut may_be);
        for actor in &self.actors {
            actor.starts_at.into_iter().chain(actor.paused_until).for_each(&mut may_be);
        }
        if !self.truth.is_settling {
            may_be(self.next_command);
        }
        let Some(next) = next else { return };
        let mut length = next.since(now);
        if let Some(most) = most {
            let drawn = Duration::from_micros(1 + self.draw.below(u64::try_from(most.as_micros()).unwrap_or(1)));
            length = length.min(drawn);
        }
        if length > Duration::ZERO {
            self.clock.advance(length);
            self.picks_at_once = 0;
        }
    }
}

/// A job of a script: it runs for as many seconds as its second word says, and succeeds.
fn scripted(job: &Job) -> Simulated {
    let secs = match &job.program {
        Program::Argv(words) => words.get(1).and_then(|secs| secs.parse().ok()),
        Program::Commands(_) => None,
    };
    Simulated::new(Span::from_secs(secs.unwrap_or(0)), Exit::exited(0), Vec::new())
}
