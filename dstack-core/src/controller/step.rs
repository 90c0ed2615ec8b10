//! One step: from what was seen to what is started.

use std::collections::BTreeSet;
use std::time::Duration;

use super::claims::Made;
use super::control::{Controller, ControllerError};
use super::effect::{Done, EffectKey, Outcome};
use super::record::Group;
use crate::clock::Boot;
use crate::host::Hearing;
use crate::model::event::ClockStepped;
use crate::model::{ActionKey, AppendId, Event, Observation, Plan, Record, RunnerId, Tick, outstanding};
use crate::planted::{self, Bug};

/// The log's head may be this far ahead of the store's clock before the clock is corrected.
const MAX_CLOCK_LAG_US: i64 = 60_000_000;

/// What a step did.
#[derive(Debug, Default)]
pub struct Step {
    /// Records that it appended.
    pub records: Vec<Record>,
    /// Calls that it started.
    pub started: Vec<ActionKey>,
    /// When another step finds something to do even if nothing is seen before; absent means never.
    pub next_wake: Option<Boot>,
    /// Nothing runs, no machine may be alive, and nothing waits that could start.
    pub is_idle: bool,
}

impl Step {
    pub(super) fn wake_at(&mut self, moment: Boot) {
        self.next_wake = Some(self.next_wake.map_or(moment, |earlier| earlier.min(moment)));
    }
}

impl Controller {
    /// Takes in what was seen, records it, decides, records that, and starts what is owed. It awaits nothing but the log.
    ///
    /// # Errors
    /// When the log cannot be used, or was written by a newer program.
    pub async fn step(&mut self) -> Result<Step, ControllerError> {
        let mut step = Step::default();
        self.drain_effects().await;
        self.refresh().await?;
        self.resolve_pending(&mut step).await?;
        self.client.create_log().await?;
        self.correct_clock(&mut step).await?;
        for done in std::mem::take(&mut self.done) {
            self.take_in(done);
        }
        let over = self.claims.over(self.client.state(), self.now_boot);
        self.observations.extend(over);
        let mut group = Group::default();
        let recorded = self.record(&mut group).await;
        let plan = self.end_group(group, recorded, &mut step).await?;
        self.start_owed(&mut step);
        self.judge(&plan, &mut step);
        Ok(step)
    }

    pub(super) async fn refresh(&mut self) -> Result<(), ControllerError> {
        let head = self.client.refresh().await?;
        if let Some(why) = self.client.state().unreadable() {
            return Err(ControllerError::ReadOnly(why.to_owned()));
        }
        self.now = head.now;
        self.now_boot = self.client.clock().boot();
        self.note_state(None);
        Ok(())
    }

    /// Takes in what the state owes and claims now; `made` is given when our own append has just changed it.
    pub(super) fn note_state(&mut self, made: Option<&Made>) {
        let state = self.client.state();
        self.claims.note(state, self.now_boot, made);
        self.absences.note(state, self.now_boot);
        let keys: BTreeSet<_> = outstanding(state).iter().map(crate::model::Action::key).collect();
        self.owed.note(&keys, self.now_boot, made.is_some());
    }

    /// Appends alone, at the place that the state stands at; says no when the log has moved on.
    async fn append(&mut self, id: AppendId, events: Vec<Event>, step: &mut Step) -> Result<bool, ControllerError> {
        let mut group = Group::default();
        let appended = self.append_to(&mut group, id, events).await;
        self.end_group(group, appended, step).await
    }

    async fn correct_clock(&mut self, step: &mut Step) -> Result<(), ControllerError> {
        let wall = self.client.clock().wall_micros();
        let state = self.client.state();
        let lag = state.at().as_micros() - (wall + state.clock_offset_us());
        if lag > MAX_CLOCK_LAG_US {
            let stepped = ClockStepped { offset_us: state.at().as_micros() - wall };
            let id = AppendId::from_entropy(self.client.clock().entropy());
            self.append(id, vec![stepped.into()], step).await?;
        }
        Ok(())
    }

    pub(super) fn tick(&self) -> Tick {
        let scopes = self.client.state().scopes().into_iter().map(|scope| {
            let launches_at_once = self.ports.of(&scope).map_or(0, |provider| provider.launches_at_once);
            let known = self.looks.tick(self.client.state(), &scope, launches_at_once);
            (scope, known)
        });
        Tick { at: self.now, scopes: scopes.collect(), suspects: self.suspects.keys().copied().collect() }
    }

    pub(super) fn take_in(&mut self, done: Done) {
        self.in_flight.remove(&done.key);
        let now = self.now_boot;
        match (done.key, done.outcome) {
            (key, Outcome::Saw(seen)) => {
                if let EffectKey::Owed(key) = key {
                    self.owed.repeat_after(key, now, Duration::ZERO);
                }
                // What is lost may have gone with its runner.
                let lost = |seen: &Observation| {
                    let Observation::Lost { attempt, .. } = seen else { return None };
                    let workflow = self.client.state().workflow(attempt.workflow)?;
                    workflow.runner().filter(|_| workflow.stop.is_none())
                };
                let runners: BTreeSet<_> = seen.iter().filter_map(lost).collect();
                for runner in runners {
                    self.suspects.insert(runner, self.now);
                    self.hurry_look(runner);
                }
                self.observations.extend(seen);
            }
            (EffectKey::Owed(ActionKey::Launch(runner, claim)), Outcome::Launched { answer, greeting }) => {
                let key = (runner, claim);
                if self.claims.answered(key, &answer) {
                    let why = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(%runner, why, "the launch did nothing; it is sent again where it is still wanted");
                    self.owed.failed(ActionKey::Launch(runner, claim), now, &self.options);
                }
                self.observations.push(Observation::LaunchAnswered { runner, claim, answer, greeting });
            }
            (EffectKey::Owed(ActionKey::Launch(runner, claim)), Outcome::Failed(_)) => {
                self.claims.unsent((runner, claim))
            }
            (EffectKey::Owed(key @ ActionKey::Terminate(runner)), Outcome::Terminating) => {
                self.owed.repeat_after(key, now, self.options.busy_look_period * 2);
                self.hurry_look(runner);
            }
            (EffectKey::Owed(ActionKey::Start(attempt)), Outcome::Begun) => {
                self.begun.insert(attempt);
            }
            (EffectKey::Owed(ActionKey::Close(attempt)), Outcome::Closed) => {
                self.begun.insert(attempt);
                let workflow = self.client.state().workflow(attempt.workflow);
                self.closed.insert(attempt, workflow.is_some_and(|workflow| workflow.stop == Some(true)));
            }
            (EffectKey::Look(scope), Outcome::Looked { began: (began, began_boot), mut look }) => {
                let moment = (began, now);
                let runners = self.client.state().runners();
                let is_here = |id: &RunnerId| runners.get(id).is_none_or(|runner| runner.request.scope == scope);
                self.suspects.retain(|id, since| *since > began || !is_here(id));
                let sightings = self.looks.note(self.client.state(), &scope, &look, moment, &self.options);
                self.absences.judge(self.client.state(), began_boot, &mut look);
                self.observations.push(Observation::Looked { scope, began, look, sightings });
            }
            (EffectKey::Look(scope), Outcome::Unaccepted(why)) => {
                let failures = self.looks.failed(&scope, now, &self.options);
                tracing::warn!(%scope, failures, %why, "a look failed: the credentials are not accepted");
                self.observations.push(Observation::Unaccepted { scope, why });
            }
            (EffectKey::Look(scope), Outcome::Failed(why)) => {
                let failures = self.looks.failed(&scope, now, &self.options);
                tracing::warn!(%scope, failures, %why, "a look failed");
            }
            (_, Outcome::Noticed(_)) if planted::is(Bug::NoticeLost) => {}
            (_, Outcome::Noticed(notice)) => {
                self.observations.push(Observation::Noticed { machine: notice.machine, deadline: notice.deadline });
            }
            (EffectKey::Owed(key @ ActionKey::Listen(runner)), Outcome::Heard(hearing)) => {
                self.owed.repeat_after(key, now, Duration::ZERO);
                self.take_in_hearing(runner, hearing);
            }
            (_, Outcome::Changed(..)) if planted::is(Bug::ChangedIgnored) => {}
            (_, Outcome::Changed(runner, why)) => self.observations.push(Observation::Changed { runner, why }),
            (EffectKey::Owed(key), Outcome::Failed(why) | Outcome::Refused(why)) => {
                let failures = self.owed.failed(key, now, &self.options);
                tracing::warn!(?key, failures, %why, "a call failed; it is made again");
                // A runner that does not answer may be gone.
                if let ActionKey::Greet(runner) | ActionKey::Follow(runner) | ActionKey::Listen(runner) = key {
                    self.hurry_look(runner);
                }
                if let ActionKey::Listen(runner) = key {
                    self.ears.failed(runner);
                }
            }
            (EffectKey::Prices(scope), Outcome::Failed(why)) => self.prices_failed(&scope, &why),
            (_, Outcome::Released) => {}
            (key, outcome) => tracing::error!(?key, ?outcome, "an effect returned what it cannot return"),
        }
    }

    /// What was heard stays known until the log has it, so that it is not asked for again.
    fn take_in_hearing(&mut self, runner: RunnerId, hearing: Hearing) {
        self.ears.heard(runner, hearing);
        match hearing {
            // Its cloud is asked from the next look on.
            Hearing::Deaf => self.hurry_look(runner),
            Hearing::Listens => {}
            Hearing::Noticed { .. } if planted::is(Bug::NoticeLost) => {}
            Hearing::Noticed { deadline } => {
                let machine = self.client.state().runners().get(&runner).and_then(|runner| runner.machine.clone());
                self.observations.extend(machine.map(|machine| Observation::Noticed { machine, deadline }));
            }
        }
    }

    /// Looks at the runner's scope soon: at once where looks are exact, else as often as where machines start and stop.
    fn hurry_look(&mut self, runner: RunnerId) {
        if let Some(runner) = self.client.state().runners().get(&runner) {
            let spacing = runner.request.timing.looks_apart.to_std().min(self.options.busy_look_period);
            self.looks.hurry(&runner.request.scope, self.now_boot, spacing);
        }
    }

    /// What is left to wait for.
    fn judge(&mut self, plan: &Plan, step: &mut Step) {
        let state = self.client.state();
        for (scope, deadline) in &plan.overdue {
            if self.looks.last(scope).is_none_or(|last| last < *deadline) {
                self.looks.hurry(scope, self.now_boot, Duration::ZERO);
            }
        }
        if let Some(at) = plan.next_wake.filter(|at| *at > self.now && !planted::is(Bug::WakeForgotten)) {
            step.wake_at(self.boot_of(at));
        }
        if let Some(wake) = self.claims.next_wake(state) {
            step.wake_at(wake);
        }
        if !self.observations.is_empty() || !self.done.is_empty() {
            step.wake_at(self.now_boot);
        }
        let waits_for_nothing = self.in_flight.keys().all(|key| matches!(key, EffectKey::Notice(_)));
        let mut scopes = state.scopes().into_iter().filter(|scope| self.ports.of(scope).is_some());
        step.is_idle = waits_for_nothing
            && !scopes.any(|scope| self.looks.is_awaited(state, &scope))
            && plan.items.is_empty()
            && plan.next_wake.is_none()
            && self.observations.is_empty()
            && self.done.is_empty()
            && (state.live_runners().next().is_none() || planted::is(Bug::IdleTooEarly));
        self.start_looks(step);
        self.start_prices();
    }
}
