//! What can happen next, and what it does.

use std::mem;
use std::sync::Arc;

use dstack_core::cloud::LaunchError;
use dstack_core::controller::{ClaimKey, known};
use dstack_core::model::state::{Phase, Runner, RunnerPhase};
use dstack_core::model::{
    Action, At, AttemptId, Command, Exit, Greeting, MachineId, Observation, RunnerId, outstanding, reconcile,
};

use super::cloud::{Cloud, Instance, Life, Luck, Message};
use super::process::{self, Call, Hears};
use super::setup::{Plant, Setup};
use super::world::World;

/// One thing that can happen. Processes, machines and launches under way are named by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// The process takes a step.
    Step(usize),
    /// It does, and does not learn that its appends are in the log.
    StepUnheard(usize),
    /// It looks, and takes the look in; machines that are new may be missing from it.
    Look(usize, bool),
    /// It looks, and takes the look in later.
    LateLook(usize, bool),
    /// It sends the launch that it has begun.
    Send(usize, ClaimKey),
    /// It waits no longer for the answer.
    GiveUp(usize, ClaimKey),
    /// The planted bug: it sends again below the same call.
    Resend(usize, ClaimKey),
    /// The process ends; another takes its place.
    Crash(usize),
    /// The process is taken for dead: another takes its place, but it goes on.
    Zombie(usize),
    /// A launch under way reaches the cloud.
    Land(usize, Luck),
    /// A launch that nobody waits for never reaches it.
    Drop(usize),
    /// The cloud takes a machine back.
    Interrupt(usize),
    /// An ended machine leaves the listing.
    Vanish(usize),
    /// A machine whose end is owed ends.
    Terminate(usize),
    /// The runner answers for the first time.
    Greet(RunnerId),
    /// Somebody starts the attempt there, however long ago that was owed.
    Start(AttemptId, MachineId),
    /// The attempt's command ends, and that is recorded.
    Finish(AttemptId),
    /// The user switches autoscaling off, or on again.
    Switch,
    /// A tick passes.
    Pass,
}

/// Everything that can happen here.
pub(crate) fn acts(world: &World, setup: &Setup, acts: &mut Vec<Act>) {
    for place in 0..world.processes.len() {
        acts_of_process(world, setup, place, acts);
    }
    for (place, message) in world.cloud.net.iter().enumerate() {
        acts.push(Act::Land(place, Luck::Fine));
        let makes_one = world.cloud.of(&message.request).is_none();
        if makes_one && world.budget.refusals > 0 {
            acts.push(Act::Land(place, Luck::Capacity));
        }
        if makes_one && world.budget.throttles > 0 {
            acts.push(Act::Land(place, Luck::Throttled));
        }
        if waiting(world, message).is_none() {
            acts.push(Act::Drop(place));
        }
    }
    acts_of_machines(world, acts);
    if world.budget.switches > 0 {
        acts.push(Act::Switch);
    }
    if world.budget.ticks > 0 && may_pass(world, setup) {
        acts.push(Act::Pass);
    }
}

fn acts_of_process(world: &World, setup: &Setup, place: usize, acts: &mut Vec<Act>) {
    let process = &world.processes[place];
    let budget = &world.budget;
    let now = world.boot();
    for (key, call) in &process.calls {
        match call {
            Call::Unsent(end) if process::may_send(setup, *end, now) => acts.push(Act::Send(place, *key)),
            Call::Waiting(send) if budget.lost_answers > 0 => {
                if setup.plant == Some(Plant::RetryUnderLaunch) && *send == 1 {
                    acts.push(Act::Resend(place, *key));
                } else {
                    acts.push(Act::GiveUp(place, *key));
                }
            }
            Call::Unsent(_) | Call::Waiting(_) | Call::Answered(_) => {}
        }
    }
    if !process.sends_first(setup, now) {
        acts.push(Act::Step(place));
        if budget.lost_appends > 0 {
            acts.push(Act::StepUnheard(place));
        }
        if process.look.is_none() && !process.is_zombie && may_matter(world, place) {
            let hides = world.cloud.machines.iter().any(|machine| Cloud::may_hide(machine, world.tick));
            for shows_new in [true, false].into_iter().take(if hides { 2 } else { 1 }) {
                acts.push(Act::Look(place, shows_new));
                if budget.late_looks > 0 {
                    acts.push(Act::LateLook(place, shows_new));
                }
            }
        }
    }
    if !process.is_zombie {
        if budget.crashes > 0 {
            acts.push(Act::Crash(place));
        }
        if budget.zombies > 0 && !process.is_idle() {
            acts.push(Act::Zombie(place));
        }
    }
}

fn acts_of_machines(world: &World, acts: &mut Vec<Act>) {
    let owed = outstanding(&world.head);
    for (place, machine) in world.cloud.machines.iter().enumerate() {
        match machine.life {
            Life::Alive => {
                if world.budget.interruptions > 0 {
                    acts.push(Act::Interrupt(place));
                }
                let is_it =
                    |action: &Action| matches!(action, Action::Terminate { machine: it, .. } if *it == machine.id);
                if owed.iter().any(is_it) {
                    acts.push(Act::Terminate(place));
                }
            }
            Life::Ended if world.budget.vanishings > 0 => acts.push(Act::Vanish(place)),
            Life::Ended | Life::Vanished => {}
        }
    }
    for action in &owed {
        if let Action::Greet { place } = action
            && alive(world, &place.machine).is_some()
        {
            acts.push(Act::Greet(place.runner));
        }
    }
    for (attempt, machine) in &world.owed_starts {
        if alive(world, machine).is_some() {
            acts.push(Act::Start(*attempt, machine.clone()));
        }
    }
    for machine in world.cloud.alive() {
        let runs = |attempt: &&AttemptId| {
            let workflow = world.head.workflow(attempt.workflow);
            workflow.is_some_and(|workflow| {
                workflow.attempt == attempt.number && matches!(workflow.phase, Phase::Assigned(_))
            })
        };
        acts.extend(machine.begun.iter().filter(runs).map(|attempt| Act::Finish(*attempt)));
    }
}

fn alive<'a>(world: &'a World, id: &MachineId) -> Option<&'a Instance> {
    world.cloud.alive().find(|machine| machine.id == *id)
}

/// Whoever waits for the answer to this launch.
fn waiting(world: &World, message: &Message) -> Option<usize> {
    let waits = |call: &Call| matches!(call, Call::Waiting(send) if *send == message.send);
    world.processes.iter().position(|process| process.calls.get(&message.key).is_some_and(waits))
}

/// Nobody waits for an answer longer than a tick, and a launch that is under way lands within the margin or never.
fn may_pass(world: &World, setup: &Setup) -> bool {
    let [_, margin, ..] = setup.timing;
    let waits = |call: &Call| matches!(call, Call::Waiting(_));
    let is_due = |message: &Message| u64::from(world.tick - message.sent) >= margin;
    !world.processes.iter().any(|process| process.calls.values().any(waits)) && !world.cloud.net.iter().any(is_due)
}

/// What this does.
pub(crate) fn perform(world: &mut World, setup: &Setup, act: &Act) {
    match act {
        Act::Step(place) => process::step(world, setup, *place, Hears::Yes),
        Act::StepUnheard(place) => {
            world.budget.lost_appends -= 1;
            process::step(world, setup, *place, Hears::No);
        }
        Act::Look(place, shows_new) => {
            look(world, *place, *shows_new);
            process::step(world, setup, *place, Hears::Yes);
        }
        Act::LateLook(place, shows_new) => {
            world.budget.late_looks -= 1;
            look(world, *place, *shows_new);
        }
        Act::Send(place, key) => send(world, *place, *key, 1),
        Act::Resend(place, key) => {
            world.budget.lost_answers -= 1;
            send(world, *place, *key, 2);
        }
        Act::GiveUp(place, key) => {
            world.budget.lost_answers -= 1;
            let unknown = Err(LaunchError::Unknown("no answer".to_owned()));
            Arc::make_mut(&mut world.processes[*place]).calls.insert(*key, Call::Answered(unknown));
        }
        Act::Crash(place) => {
            world.budget.crashes -= 1;
            world.processes[*place] = Arc::new(world.born());
        }
        Act::Zombie(place) => {
            world.budget.zombies -= 1;
            let successor = Arc::new(world.born());
            let mut zombie = mem::replace(&mut world.processes[*place], successor);
            Arc::make_mut(&mut zombie).is_zombie = true;
            world.processes.push(zombie);
        }
        Act::Land(place, luck) => land(world, *place, *luck),
        Act::Drop(place) => drop(world.cloud.net.remove(*place)),
        Act::Interrupt(place) => {
            world.budget.interruptions -= 1;
            end(world, *place, Life::Ended);
        }
        Act::Terminate(place) => end(world, *place, Life::Ended),
        Act::Vanish(place) => {
            world.budget.vanishings -= 1;
            end(world, *place, Life::Vanished);
        }
        Act::Greet(runner) => {
            observe(world, &Observation::Answered { runner: *runner, greeting: Greeting::default() });
        }
        Act::Start(attempt, machine) => {
            world.owed_starts.remove(&(*attempt, machine.clone()));
            let there = world.cloud.machines.iter_mut().find(|known| known.id == *machine);
            if there.is_some_and(|there| Arc::make_mut(there).begun.insert(*attempt)) {
                *world.starts.entry(*attempt).or_default() += 1;
            }
        }
        Act::Finish(attempt) => {
            observe(world, &Observation::Finished { attempt: *attempt, exit: Exit::exited(0) });
        }
        Act::Switch => {
            world.budget.switches -= 1;
            let command = if world.head.is_enabled() { Command::Disable } else { Command::Enable };
            world.command(command);
        }
        Act::Pass => {
            world.budget.ticks -= 1;
            world.tick += 1;
        }
    }
}

fn look(world: &mut World, place: usize, shows_new: bool) {
    let known = known(&world.head, &world.scope());
    let look = world.cloud.look(&known, world.tick, shows_new);
    Arc::make_mut(&mut world.processes[place]).look = Some((world.now(), look));
}

fn send(world: &mut World, place: usize, key: ClaimKey, send: u8) {
    Arc::make_mut(&mut world.processes[place]).calls.insert(key, Call::Waiting(send));
    if let Some(runner) = world.head.runners().get(&key.0) {
        let request = runner.request.clone();
        world.cloud.net.push(Message { key, send, request, sent: world.tick });
    }
}

fn land(world: &mut World, place: usize, luck: Luck) {
    let message = world.cloud.net.remove(place);
    match luck {
        Luck::Fine => {}
        Luck::Capacity => world.budget.refusals -= 1,
        Luck::Throttled => world.budget.throttles -= 1,
    }
    let waiting = waiting(world, &message);
    let answer = world.cloud.land(&message, luck, world.tick);
    if let Some(waiting) = waiting {
        Arc::make_mut(&mut world.processes[waiting]).calls.insert(message.key, Call::Answered(answer));
    }
}

fn end(world: &mut World, place: usize, life: Life) {
    let machine = Arc::make_mut(&mut world.cloud.machines[place]);
    machine.life = life;
    let id = machine.id.clone();
    world.owed_starts.retain(|(_, machine)| *machine != id);
}

/// A fact that anybody may record: who does makes no difference.
fn observe(world: &mut World, seen: &Observation) {
    let facts = reconcile(&world.head, seen);
    if !facts.is_empty() {
        world.append(&facts);
        world.all_read();
    }
}

/// Timers that have run out and wait for a look that begins after that, by their runners.
pub(crate) fn deadlines(world: &World) -> impl Iterator<Item = (RunnerId, At)> {
    let settings = world.head.settings();
    let end = |(id, runner): (RunnerId, &Runner)| {
        let end = match runner.phase {
            RunnerPhase::Wanted => Some(runner.since.plus(settings.launch_timeout)),
            RunnerPhase::Launched => Some(runner.since.plus(settings.boot_timeout)),
            RunnerPhase::Ready => runner.idle_since.map(|since| since.plus(settings.idle_timeout)),
            RunnerPhase::Stopping | RunnerPhase::Stopped(_) => None,
        };
        end.map(|end| (id, end))
    };
    let now = world.now();
    world.head.live_runners().filter_map(end).filter(move |(_, end)| *end <= now)
}

/// Whether a look could show this process anything that matters: its first, news of a machine, an absence, or a timer.
pub(crate) fn may_matter(world: &World, place: usize) -> bool {
    let process = &world.processes[place];
    let state = &world.head;
    let is_news = |machine: &Arc<Instance>| {
        let runner = state.runners().get(&machine.runner);
        runner.is_none_or(|runner| match machine.life {
            Life::Alive => runner.machine.is_none() || Cloud::may_hide(machine, world.tick),
            Life::Ended | Life::Vanished => runner.may_live(),
        })
    };
    let is_doubtful = state.live_runners().any(|(_, runner)| match runner.phase {
        RunnerPhase::Stopping => runner.machine.is_none() && runner.open_claim().is_none(),
        RunnerPhase::Wanted | RunnerPhase::Launched | RunnerPhase::Ready | RunnerPhase::Stopped(_) => false,
    });
    let has_timer = deadlines(world).any(|(_, end)| process.evidence.last().is_none_or(|last| last < end));
    process.evidence.is_lacking() || is_doubtful || has_timer || world.cloud.machines.iter().any(is_news)
}
