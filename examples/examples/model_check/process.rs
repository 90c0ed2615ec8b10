//! A controller process: its memory, and one step of it. What it decides is decided by the shipping functions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dstack_core::clock::Boot;
use dstack_core::cloud::{LaunchError, Look, Machine};
use dstack_core::controller::{ClaimKey, Claims, Evidence, Made, Ours};
use dstack_core::model::event::RunnerStopped;
use dstack_core::model::plan::Tick;
use dstack_core::model::{
    Action, At, Certificate, ControllerId, Event, Observation, State, StopReason, outstanding, reconcile, schedule,
};

use super::setup::{Plant, Setup, ticks};
use super::world::World;

/// Launches that may be under way at once.
const LAUNCHES_AT_ONCE: u32 = 4;

/// A launch call of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// It is sent next, if it is not this late.
    Unsent(Boot),
    /// This send of it, from 1, is waited for.
    Waiting(u8),
    /// It was answered, or is not waited for any more; the process has not taken that in.
    Answered(Result<Machine, LaunchError>),
}

/// A controller process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// Its identity.
    pub(crate) id: ControllerId,
    /// It was taken for dead: it sends what it had begun, takes one more step, and ends.
    pub(crate) is_zombie: bool,
    /// Claims as it has watched them.
    pub(crate) claims: Claims,
    /// What its looks have shown.
    pub(crate) evidence: Evidence,
    /// Its launch calls.
    pub(crate) calls: BTreeMap<ClaimKey, Call>,
    /// A complete look that it has not taken in, with when it began.
    pub(crate) look: Option<(At, Look)>,
}

/// Whether a process learns that its appends are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hears {
    /// It does.
    Yes,
    /// It does not: it finds them there when it reads.
    No,
}

impl Process {
    /// A process that has just started and read the log.
    pub(crate) fn new(id: ControllerId, state: &State, now: Boot) -> Self {
        let mut claims = Claims::default();
        claims.note(state, now, None);
        Self { id, is_zombie: false, claims, evidence: Evidence::default(), calls: BTreeMap::new(), look: None }
    }

    /// Whether it has nothing in hand that it would lose with its life.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.look.is_none()
    }

    /// Whether it has a call that it would send before it does anything else.
    pub(crate) fn sends_first(&self, setup: &Setup, now: Boot) -> bool {
        let is_due = |call: &Call| matches!(call, Call::Unsent(end) if may_send(setup, *end, now));
        self.calls.values().any(is_due)
    }
}

/// Whether a send that has to leave before `end` leaves now.
pub(crate) fn may_send(setup: &Setup, end: Boot, now: Boot) -> bool {
    now < end || setup.plant == Some(Plant::NoSendGuard)
}

/// One step of the process at this place: takes in what it has, records the facts, decides, records that, and begins the
/// launches that it owes. Nobody else's append comes between: a conflict reads and decides anew, which is this step, later.
pub(crate) fn step(world: &mut World, setup: &Setup, place: usize, hears: Hears) {
    let now = world.boot();
    let mut process = Process::clone(&world.processes[place]);
    let mut seen = take_in(world, &mut process);
    let skew = if setup.plant == Some(Plant::ClockAhead) { setup.timing[0] + setup.timing[1] } else { 0 };
    seen.extend(process.claims.over(&world.head, now.plus(ticks(skew).to_std())));
    let before = world.head.seq();
    record_facts(world, setup, seen);
    decide(world, &process);
    let has_appended = world.head.seq() != before;
    let made = (has_appended && hears == Hears::Yes).then(|| {
        // Nobody else has appended meanwhile: what carries its name and is new is its own.
        let claims = world.head.live_runners().filter_map(|(runner, state)| {
            let claim = state.open_claim().filter(|claim| claim.controller == process.id)?;
            Some((runner, claim.number))
        });
        Made::new(claims, now)
    });
    process.claims.note(&world.head, now, made.as_ref());
    begin_launches(world, setup, &mut process, now);
    if process.is_zombie {
        world.processes.remove(place);
    } else {
        world.processes[place] = Arc::new(process);
    }
    if has_appended {
        world.all_read();
    }
}

/// What the process has in hand becomes observations.
fn take_in(world: &World, process: &mut Process) -> Vec<Observation> {
    let mut seen = Vec::new();
    let now = world.boot();
    for (key, call) in std::mem::take(&mut process.calls) {
        match call {
            Call::Unsent(end) if end <= now => process.claims.unsent(key),
            Call::Unsent(_) | Call::Waiting(_) => drop(process.calls.insert(key, call)),
            Call::Answered(answer) => {
                process.claims.answered(key, &answer);
                let (runner, claim) = key;
                seen.push(Observation::LaunchAnswered { runner, claim, answer, greeting: None });
            }
        }
    }
    if let Some((began, look)) = process.look.take() {
        let scope = world.scope();
        let (sightings, _) = process.evidence.note(&world.head, &scope, &look, began);
        seen.push(Observation::Looked { scope, began, look, sightings });
    }
    seen
}

/// As the controller does: all that was seen against one state, then what still tells something after that.
fn record_facts(world: &mut World, setup: &Setup, mut seen: Vec<Observation>) {
    while !seen.is_empty() {
        let mut facts = Vec::new();
        seen.retain(|seen| {
            let told = reconcile(&world.head, seen);
            let is_silent = told.is_empty();
            facts.extend(told);
            facts.extend(freed_by_time(setup, &world.head, seen));
            is_silent
        });
        if facts.is_empty() {
            break;
        }
        world.append(&facts);
    }
}

/// The planted bug: who has outwaited a claim gives the slot back.
fn freed_by_time(setup: &Setup, state: &State, seen: &Observation) -> Option<Event> {
    let Observation::ClaimOutwaited { runner, .. } = seen else { return None };
    let is_open = state.runners().get(runner).is_some_and(|runner| runner.open_claim().is_some());
    let stopped =
        RunnerStopped { runner: *runner, reason: StopReason::LaunchTimeout, certificate: Certificate::NeverLaunched };
    (setup.plant == Some(Plant::TimeFreesSlot) && is_open).then(|| stopped.into())
}

fn decide(world: &mut World, process: &Process) {
    let scope = world.scope();
    let known = process.evidence.tick(&world.head, &scope, LAUNCHES_AT_ONCE);
    let tick = Tick { at: world.now(), scopes: [(scope, known)].into(), suspects: BTreeSet::new() };
    let plan = schedule(&world.head, &tick);
    if !plan.is_empty() {
        let mut minted = world.minted;
        let mut mint = || {
            minted += 1;
            let mut entropy = [0; 16];
            entropy[..8].copy_from_slice(&minted.to_be_bytes());
            entropy
        };
        let events = plan.into_events(&world.head, process.id, &mut mint);
        world.minted = minted;
        world.append(&events);
    }
}

/// The launches that are owed under claims of the process, if they may be sent.
fn begin_launches(world: &World, setup: &Setup, process: &mut Process, now: Boot) {
    for action in outstanding(&world.head) {
        let Action::Launch { runner, claim, request, .. } = action else { continue };
        let key = (runner, claim);
        let ttl = request.timing.claim_ttl.to_std();
        if process.calls.contains_key(&key) || !process.evidence.may_launch(&world.head, &request.scope) {
            continue;
        }
        let end = if setup.plant == Some(Plant::NoClaim) {
            Some(now.plus(ttl))
        } else {
            process.claims.send_before(key, ttl, now)
        };
        if let Some(end) = end {
            process.claims.sending(key);
            process.calls.insert(key, Call::Unsent(end));
        }
    }
    // A call whose claim is gone is aborted by nobody: it goes on until it is answered.
    debug_assert!(
        process
            .claims
            .iter()
            .all(|(key, claim)| { claim.ours != Some(Ours::Sending) || process.calls.contains_key(&key) })
    );
}
