//! The fake host as its user holds it: set up, break, ask for the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::attempt::{Attempt, Simulated};
use crate::clock::{Boot, Clock};
use crate::cloud::{Draw, FakeCloud, FakeMachine, Gate, MachineState, NoWait};
use crate::host::{Hearing, HostError, Job, Progress};
use crate::model::{At, AttemptId, Exit, MachineId, Place, Span, WorkflowId};

/// Faults by chance; every rate is per mille of calls or of starts. All are 0 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFaults {
    /// Calls that do not reach the runner.
    pub unreachable: u16,
    /// Calls that take effect and whose answer is lost.
    pub answer_lost: u16,
    /// Calls whose answer takes up to [`delay_most`](Self::delay_most).
    pub answer_delayed: u16,
    /// Waits that end with a broken link.
    pub wait_breaks: u16,
    /// Stagings that find no room.
    pub disk_full: u16,
    /// Commands whose process vanishes within [`life_most`](Self::life_most) and leaves no exit record.
    pub process_lost: u16,
    /// Runners that hear nothing of their own end.
    pub deaf: u16,
    /// Longest time an answer takes.
    pub delay_most: Span,
    /// Longest time until a process vanishes.
    pub life_most: Span,
}

impl Default for HostFaults {
    fn default() -> Self {
        Self::everything(0)
    }
}

impl HostFaults {
    /// Everything goes wrong at this rate.
    pub const fn everything(per_mille: u16) -> Self {
        Self {
            unreachable: per_mille,
            answer_lost: per_mille,
            answer_delayed: per_mille,
            wait_breaks: per_mille,
            disk_full: per_mille,
            process_lost: per_mille,
            deaf: per_mille,
            delay_most: Span::from_secs(30),
            life_most: Span::from_mins(10),
        }
    }
}

/// A command that was started, once each time that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Whose command.
    pub attempt: AttemptId,
    /// On which machine.
    pub machine: MachineId,
    /// When it was started.
    pub began: Boot,
    /// When it ended, by itself or with its machine; absent while it runs.
    pub until: Option<Boot>,
}

/// What decides what a job does.
pub(super) type Simulate = Arc<dyn Fn(AttemptId, &Job) -> Simulated + Send + Sync>;

/// One runner.
#[derive(Debug, Default)]
pub(super) struct Runner {
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    /// Grows with every change that somebody made.
    pub(super) changes: u64,
    /// Up to where the last poll has told everything: moment and changes.
    pub(super) told: (Boot, u64),
    pub(super) cut_until: Boot,
    pub(super) is_changed: bool,
    pub(super) is_full: bool,
    /// Whether it hears nothing of its own end, once that was asked.
    pub(super) is_deaf: Option<bool>,
    /// What it was told by hand of its own end.
    pub(super) noticed: Option<Hearing>,
    /// How many of its machine's reboots have been taken into account.
    pub(super) reboots: usize,
}

pub(super) struct Runners {
    pub(super) runners: BTreeMap<MachineId, Runner>,
    pub(super) starts: Vec<(AttemptId, MachineId)>,
    pub(super) faults: HostFaults,
    pub(super) draw: Draw,
    pub(super) lose_answers: u32,
    pub(super) lose_calls: u32,
    pub(super) simulate: Option<Simulate>,
    pub(super) gate: Arc<dyn Gate>,
}

pub(super) struct Inner {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cloud: Option<FakeCloud>,
    pub(super) runners: Mutex<Runners>,
    pub(super) changed: Notify,
}

/// Runners in memory, in virtual time.
///
/// A job does what the closure of [`with_simulation`](Self::with_simulation) says, or else what its script says in the few
/// forms of shell that the [laws](crate::host::laws) use. Attached to a [`FakeCloud`], a runner can be reached only while
/// its machine runs in truth, at its true address, and what runs on it ends with it. Clones share their runners.
///
/// Archives are read and made only with the feature `local` or `project`: without them staged archives stay closed, and
/// fetching what is there is refused.
#[derive(Clone)]
pub struct FakeHost {
    pub(super) inner: Arc<Inner>,
}

impl FakeHost {
    /// Runners that are always there, whatever place is named.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::build(clock, None, seed)
    }

    /// The runners on this cloud's machines.
    pub fn on(cloud: FakeCloud, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::build(clock, Some(cloud), seed)
    }

    fn build(clock: Arc<dyn Clock>, cloud: Option<FakeCloud>, seed: u64) -> Self {
        let runners = Runners {
            runners: BTreeMap::new(),
            starts: Vec::new(),
            faults: HostFaults::default(),
            draw: Draw::new(seed),
            lose_answers: 0,
            lose_calls: 0,
            simulate: None,
            gate: Arc::new(NoWait),
        };
        Self { inner: Arc::new(Inner { clock, cloud, runners: Mutex::new(runners), changed: Notify::new() }) }
    }

    /// Jobs do what this says. It is asked once for each start, and must not call the host itself.
    #[must_use]
    pub fn with_simulation(self, simulate: impl Fn(AttemptId, &Job) -> Simulated + Send + Sync + 'static) -> Self {
        self.with(|runners, _| runners.simulate = Some(Arc::new(simulate)));
        self
    }

    /// Faults by chance from the start.
    #[must_use]
    pub fn with_faults(self, faults: HostFaults) -> Self {
        self.set_faults(faults);
        self
    }

    /// Every call passes this gate before its effect and before its reply.
    #[must_use]
    pub fn with_gate(self, gate: Arc<dyn Gate>) -> Self {
        self.with(|runners, _| runners.gate = gate);
        self
    }

    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Runners, Boot) -> R) -> R {
        let mut runners = self.inner.runners.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut runners, self.inner.clock.boot())
    }

    fn change(&self, machine: &MachineId, act: impl FnOnce(&mut Runner, Boot)) {
        self.with(|runners, now| {
            let runner = runners.runners.entry(machine.clone()).or_default();
            runner.changes += 1;
            act(runner, now);
        });
        self.inner.changed.notify_waiters();
    }

    /// Changes the faults by chance, for calls and starts from now on.
    pub fn set_faults(&self, faults: HostFaults) {
        self.with(|runners, _| runners.faults = faults);
    }

    /// The next call takes effect, and its answer is lost.
    pub fn lose_next_answer(&self) {
        self.with(|runners, _| runners.lose_answers += 1);
    }

    /// The next call does not reach its runner.
    pub fn lose_next_call(&self) {
        self.with(|runners, _| runners.lose_calls += 1);
    }

    /// The runner cannot be reached for that long; what runs on it goes on.
    pub fn cut_link(&self, machine: &MachineId, length: Span) {
        self.change(machine, |runner, now| runner.cut_until = now.plus(length.to_std()));
    }

    /// From now on something else answers in the place of this runner.
    pub fn change_host(&self, machine: &MachineId) {
        self.change(machine, |runner, _| runner.is_changed = true);
    }

    /// The runner's disk is full from now on: nothing can be staged.
    pub fn fill_disk(&self, machine: &MachineId) {
        self.change(machine, |runner, _| runner.is_full = true);
    }

    /// The runner hears nothing of its own end, whatever its cloud says.
    pub fn deafen(&self, machine: &MachineId) {
        self.change(machine, |runner, _| runner.is_deaf = Some(true));
    }

    /// Whether the runner hears nothing of its own end. Unless that was said, chance decides it when it is first asked.
    pub fn is_deaf(&self, machine: &MachineId) -> bool {
        self.with(|runners, _| runners.runners.get(machine).is_some_and(|runner| runner.is_deaf == Some(true)))
    }

    /// The runner is told that it is taken back. One on a [`FakeCloud`] hears besides what that tells its machine.
    pub fn announce(&self, machine: &MachineId, deadline: Option<At>) {
        self.change(machine, |runner, _| runner.noticed = Some(Hearing::Noticed { deadline }));
    }

    /// The attempt's process vanishes and leaves no exit record.
    pub fn lose_process(&self, machine: &MachineId, attempt: AttemptId) {
        self.change(machine, |runner, now| {
            if let Some(attempt) = runner.attempts.get_mut(&attempt) {
                attempt.lose_process(now);
            }
        });
    }

    /// What the attempt leaves behind cannot be read, for this reason.
    pub fn make_unreadable(&self, machine: &MachineId, attempt: AttemptId, why: &str) {
        self.change(machine, |runner, _| {
            runner.attempts.entry(attempt).or_default().unreadable = Some(why.to_owned());
        });
    }

    /// An end of its runner that is under way takes away what the attempt leaves behind.
    pub fn take_away_results(&self, machine: &MachineId, attempt: AttemptId) {
        self.change(machine, |runner, _| runner.attempts.entry(attempt).or_default().is_taken_away = true);
    }

    /// The attempt's folder vanishes from its runner: its job deleted what is ours.
    pub fn wipe(&self, machine: &MachineId, attempt: AttemptId) {
        self.change(machine, |runner, now| {
            if let Some(attempt) = runner.attempts.get_mut(&attempt) {
                attempt.wipe(now);
            }
        });
    }

    /// How often each fault came about, under the name of its field in [`HostFaults`]. `started_twice` counts starts that
    /// found the attempt begun, `start_refused` those that found it closed.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        self.with(|runners, _| runners.draw.hits().clone())
    }

    /// How many commands were ever started.
    pub fn start_count(&self) -> usize {
        self.with(|runners, _| runners.starts.len())
    }

    /// Commands that were started, but for the first so many; oldest first.
    pub fn starts_after(&self, count: usize) -> Vec<(AttemptId, MachineId)> {
        self.with(|runners, _| runners.starts.iter().skip(count).cloned().collect())
    }

    /// The exit record that the attempt's command has left on this machine, if it has.
    pub fn exit_of(&self, machine: &MachineId, attempt: AttemptId) -> Option<Exit> {
        self.settle_reboots(machine);
        self.with(|runners, now| match runners.runners.get(machine)?.attempts.get(&attempt)?.progress(now) {
            Progress::Exited(exit) => Some(exit),
            Progress::Staged | Progress::Running | Progress::NeverBegun | Progress::Lost => None,
        })
    }

    /// What the attempt's command has printed on this machine until now.
    pub fn printed_by(&self, machine: &MachineId, attempt: AttemptId) -> Vec<u8> {
        self.settle_reboots(machine);
        self.with(|runners, now| {
            let attempt = runners.runners.get(machine).and_then(|runner| runner.attempts.get(&attempt));
            attempt.map_or_else(Vec::new, |attempt| attempt.all_printed(now).to_vec())
        })
    }

    /// Takes the reboots of a machine into account.
    pub(super) fn settle_reboots(&self, machine: &MachineId) {
        let Some(cloud) = &self.inner.cloud else { return };
        let reboots = cloud.machine(machine).map(|machine| machine.reboots).unwrap_or_default();
        if reboots.is_empty() {
            return;
        }
        self.with(|runners, _| {
            let Some(runner) = runners.runners.get_mut(machine) else { return };
            for reboot in reboots.iter().skip(runner.reboots) {
                runner.attempts.values_mut().for_each(|attempt| attempt.reboot(*reboot));
            }
            runner.reboots = reboots.len();
        });
    }

    /// How often the attempt's command was started, on all machines together.
    pub fn starts(&self, attempt: AttemptId) -> usize {
        self.with(|runners, _| runners.starts.iter().filter(|(started, _)| *started == attempt).count())
    }

    /// Everything that was ever started, in order.
    pub fn runs(&self) -> Vec<Ran> {
        let starts = self.with(|runners, _| runners.starts.clone());
        starts.into_iter().filter_map(|(attempt, machine)| self.ran(attempt, machine)).collect()
    }

    /// When this workflow ran, in order of start.
    pub fn runs_of(&self, workflow: WorkflowId) -> Vec<Ran> {
        let mut runs = self.runs();
        runs.retain(|ran| ran.attempt.workflow == workflow);
        runs
    }

    fn ran(&self, attempt: AttemptId, machine: MachineId) -> Option<Ran> {
        self.settle_reboots(&machine);
        let over = self.inner.cloud.as_ref().and_then(|cloud| cloud.machine(&machine)).and_then(|it| it.ran_until());
        self.with(|runners, now| {
            let found = runners.runners.get(&machine)?.attempts.get(&attempt)?;
            let (began, until) = (found.run.as_ref()?.began, found.ran_until(over, now));
            Some(Ran { attempt, machine, began, until })
        })
    }

    /// What the runner hears of its own end.
    pub(super) fn hearing(&self, machine: &MachineId) -> Hearing {
        let told = self.inner.cloud.as_ref().and_then(|cloud| cloud.machine(machine)?.notice);
        let told = told.map(|notice| Hearing::Noticed { deadline: notice.deadline });
        self.with(|runners, _| {
            let Runners { runners, faults, draw, .. } = runners;
            let runner = runners.entry(machine.clone()).or_default();
            if *runner.is_deaf.get_or_insert_with(|| draw.befalls("deaf", faults.deaf)) {
                return Hearing::Deaf;
            }
            runner.noticed.or(told).unwrap_or(Hearing::Listens)
        })
    }

    /// Whether the place can be reached now, the link's and the machine's state considered.
    pub(super) fn reach(&self, place: &Place) -> Result<(), HostError> {
        self.settle_reboots(&place.machine);
        let (is_cut, is_changed) = self.with(|runners, now| {
            let runner = runners.runners.get(&place.machine);
            (runner.is_some_and(|it| now < it.cut_until), runner.is_some_and(|it| it.is_changed))
        });
        if let Some(cloud) = &self.inner.cloud {
            answers(cloud, place)?;
        }
        if is_cut {
            return Err(HostError::Unreachable("the link is cut".into()));
        }
        if is_changed {
            return Err(HostError::Changed("its key is another".into()));
        }
        Ok(())
    }
}

/// Whether the place's machine answers at the place's address.
fn answers(cloud: &FakeCloud, place: &Place) -> Result<(), HostError> {
    let answering = |machine: &FakeMachine| {
        let is_up = machine.state() == MachineState::Running && machine.has_network;
        is_up && machine.address.as_ref() == Some(&place.address)
    };
    if cloud.machine(&place.machine).is_some_and(|machine| answering(&machine)) {
        return Ok(());
    }
    Err(if cloud.answers_at(&place.address) {
        HostError::Changed(format!("another machine answers at {}", place.address.0))
    } else {
        HostError::Unreachable(format!("{} does not answer", place.machine))
    })
}
