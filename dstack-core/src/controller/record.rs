//! What a step records: facts first, and then the decisions that they lead to, with one sync of the disk for both.

use std::sync::Arc;

use super::claims::Made;
use super::control::{Controller, ControllerError};
use super::effect::EffectKey;
use super::step::Step;
use crate::client::ClientError;
use crate::clock::Boot;
use crate::model::{AppendId, AttemptId, Event, Place, Plan, Record, Seq, reconcile, schedule};
use crate::planted::{self, Bug};
use crate::store::AppendError;

/// How often one step decides anew because others were faster.
const MAX_CONFLICTS: u32 = 1_000;
/// Items of a plan, or facts, that one step records; the next step goes on at once. An append has a largest size.
const MAX_AT_ONCE: usize = 10_000;

/// Appends that become durable together. Nothing is done because of them before that.
#[derive(Default)]
pub(super) struct Group {
    /// When the first of them was begun.
    before: Option<Boot>,
    appends: Vec<Pending>,
    records: Vec<Record>,
    /// Attempts whose results they say are kept, with where they still are.
    kept: Vec<(AttemptId, Option<Place>)>,
    /// Which of the observations they tell.
    told: Vec<bool>,
    /// Whether more was decided than one step records.
    is_cut: bool,
}

impl Group {
    /// The claims that it made.
    fn made(&self) -> Option<Made> {
        self.before.map(|before| Made::by(&self.records, before))
    }
}

/// An append whose outcome is not known.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: AppendId,
    /// Where it was decided on.
    expected: Seq,
    pub(super) events: Vec<Event>,
}

impl Controller {
    /// Facts, and what is decided on them.
    pub(super) async fn record(&mut self, group: &mut Group) -> Result<Plan, ControllerError> {
        self.record_facts(group).await?;
        self.record_decisions(group).await
    }

    /// Appends at the place that the state stands at, as one of the group; says no when the log has moved on.
    pub(super) async fn append_to(
        &mut self,
        group: &mut Group,
        id: AppendId,
        events: Vec<Event>,
    ) -> Result<bool, ControllerError> {
        group.before.get_or_insert_with(|| self.client.clock().boot());
        let kept = self.kept_by(&events);
        let expected = self.client.state().seq();
        match self.client.append_held(id, &events).await {
            Ok(records) => {
                group.records.extend(records);
                group.kept.extend(kept);
                group.appends.push(Pending { id, expected, events });
                Ok(true)
            }
            Err(ClientError::Append(AppendError::Conflict { .. })) => {
                if !group.records.is_empty() {
                    // Those before it are in the log. What they made owed is ours, and not of whoever was faster.
                    self.note_state(group.made().as_ref());
                }
                self.refresh().await?;
                Ok(false)
            }
            Err(error) => {
                if matches!(error, ClientError::Append(AppendError::Unknown(_))) {
                    group.appends.push(Pending { id, expected, events });
                }
                Err(error.into())
            }
        }
    }

    /// Makes the group durable. If whether it is in the log is not known, the same appends are sent again before anything
    /// else is recorded.
    pub(super) async fn end_group<T>(
        &mut self,
        group: Group,
        outcome: Result<T, ControllerError>,
        step: &mut Step,
    ) -> Result<T, ControllerError> {
        let outcome = match outcome {
            Ok(value) if group.appends.is_empty() => return Ok(value),
            Ok(value) if planted::is(Bug::FsyncSkipped) => Ok(value),
            Ok(value) => self.client.settle().await.map(|()| value).map_err(ControllerError::from),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(value) => {
                self.take_in_group(group, step);
                Ok(value)
            }
            Err(error) => {
                if !group.records.is_empty() {
                    // The state may hold what the log does not.
                    self.client.forget();
                }
                self.pending = group.appends;
                Err(error)
            }
        }
    }

    fn take_in_group(&mut self, group: Group, step: &mut Step) {
        self.note_state(group.made().as_ref());
        if group.is_cut {
            step.wake_at(self.now_boot);
        }
        step.records.extend(group.records);
        // What it had to tell is in the log, once: some facts would be told again for ever.
        let mut told = group.told.into_iter();
        self.observations.retain(|_| told.next() != Some(true));
        // An exit and what was kept of it may have been seen together: the second fits only once the first is recorded.
        let state = self.client.state();
        self.observations.retain(|seen| !reconcile(state, seen).is_empty());
        for (attempt, place) in group.kept {
            self.release(attempt, place);
        }
    }

    /// In the log an append is recognised by its id. Not in the log it conflicts, unless nothing came between: then it is as
    /// right as it was. Those after one that conflicts were decided on it, and go with it.
    pub(super) async fn resolve_pending(&mut self, step: &mut Step) -> Result<(), ControllerError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        for Pending { id, expected, events } in self.pending.clone() {
            let kept = self.kept_by(&events);
            match self.client.append_at(expected, id, &events).await {
                Ok(records) => step.records.extend(records),
                Err(ClientError::Append(AppendError::Conflict { .. })) => break,
                Err(error) => return Err(error.into()),
            }
            for (attempt, place) in kept {
                self.release(attempt, place);
            }
        }
        self.pending.clear();
        self.refresh().await
    }

    async fn record_facts(&mut self, group: &mut Group) -> Result<(), ControllerError> {
        let id = AppendId::from_entropy(self.client.clock().entropy());
        for _ in 0..MAX_CONFLICTS {
            let state = self.client.state();
            let mut facts = Vec::new();
            let mut told = Vec::with_capacity(self.observations.len());
            for seen in &self.observations {
                let before = facts.len();
                facts.extend(reconcile(state, seen));
                if planted::is(Bug::FactDoubled) {
                    facts.extend(reconcile(state, seen));
                }
                told.push(facts.len() > before);
                if facts.len() >= MAX_AT_ONCE {
                    break;
                }
            }
            if facts.is_empty() {
                self.observations.clear();
                break;
            }
            if self.append_to(group, id, facts).await? {
                group.told = told;
                break;
            }
        }
        Ok(())
    }

    async fn record_decisions(&mut self, group: &mut Group) -> Result<Plan, ControllerError> {
        for _ in 0..MAX_CONFLICTS {
            let tick = self.tick();
            let state = self.client.state();
            let mut plan = schedule(state, &tick);
            if plan.is_empty() {
                return Ok(plan);
            }
            // Each item was decided with those before it done: so the first ones are right without the rest.
            let is_cut = plan.items.len() > MAX_AT_ONCE;
            plan.items.truncate(MAX_AT_ONCE);
            let clock = Arc::clone(self.client.clock());
            let events = plan.clone().into_events(state, self.id, &mut || clock.entropy());
            if events.is_empty() {
                return Ok(plan);
            }
            let id = AppendId::from_entropy(clock.entropy());
            if self.append_to(group, id, events).await? {
                group.is_cut = is_cut;
                return Ok(Plan { items: Vec::new(), ..plan });
            }
        }
        Ok(Plan::default())
    }

    /// Attempts whose results these events say are kept, with where they still are.
    fn kept_by(&self, events: &[Event]) -> Vec<(AttemptId, Option<Place>)> {
        let state = self.client.state();
        let kept = events.iter().filter_map(|event| match event {
            Event::ResultsKept(kept) => Some(kept.attempt),
            Event::AttemptStopped(stopped) => Some(stopped.attempt),
            Event::AttemptExited(exited) if planted::is(Bug::ReleasedBeforeKept) => Some(exited.attempt),
            _ => None,
        });
        let place = |attempt: AttemptId| {
            let id = state.workflow(attempt.workflow)?.runner()?;
            state.runners().get(&id)?.place(id)
        };
        kept.map(|attempt| (attempt, place(attempt))).collect()
    }

    /// The attempt's results are in the log: its folder is emptied.
    fn release(&mut self, attempt: AttemptId, place: Option<Place>) {
        self.begun.remove(&attempt);
        if let Some(place) = place
            && let Some(provider) = self.provider_at(&place)
        {
            self.spawn(EffectKey::Release(attempt), super::effect::release(provider.host, place, attempt));
        }
    }
}
