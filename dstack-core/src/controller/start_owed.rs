//! Starting the calls that are owed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::control::Controller;
use super::effect::{self, EffectKey, StartInput};
use super::evidence;
use super::ports::Provider;
use super::step::Step;
use crate::cloud::SendPermit;
use crate::host::Closing;
use crate::model::outstanding::wants_artifacts;
use crate::model::state::Runner;
use crate::model::{Action, ActionKey, AttemptId, ClaimNumber, LaunchRequest, Place, RunnerId, Span, outstanding};

impl Controller {
    /// Starts what is owed, due and not under way. Terminations come first and are never held back.
    pub(super) fn start_owed(&mut self, step: &mut Step) {
        let actions = outstanding(self.client.state());
        let alive: BTreeSet<AttemptId> = actions.iter().filter_map(attempt_of).collect();
        self.begun.retain(|attempt| alive.contains(attempt));
        self.closed.retain(|attempt, _| alive.contains(attempt));
        self.withdraw_launches(&actions);
        let followed: BTreeSet<RunnerId> = actions
            .iter()
            .filter_map(|action| if let Action::Follow { place, .. } = action { Some(place.runner) } else { None })
            .collect();
        let over: Vec<_> = self.followed.keys().filter(|runner| !followed.contains(runner)).copied().collect();
        for runner in over {
            self.followed.remove(&runner);
            self.abort(&EffectKey::Owed(ActionKey::Follow(runner)));
        }
        let heard = actions
            .iter()
            .filter_map(|action| if let Action::Listen { place } = action { Some(place.runner) } else { None })
            .collect();
        for runner in self.ears.keep_only(&heard) {
            self.abort(&EffectKey::Owed(ActionKey::Listen(runner)));
        }
        for action in actions {
            let key = action.key();
            let is_followed = matches!(key, ActionKey::Follow(_));
            if !is_followed && self.in_flight.contains_key(&EffectKey::Owed(key)) {
                continue;
            }
            let due = self.owed.due(key, &self.options);
            if due > self.now_boot {
                step.wake_at(due);
                continue;
            }
            if self.is_held_back(key) {
                continue;
            }
            if self.start_one(action) {
                step.started.push(key);
            }
        }
        for (name, provider) in self.ports.providers.clone() {
            let key = EffectKey::Notice(name);
            if !self.in_flight.contains_key(&key) {
                self.spawn(key, effect::notice(provider));
            }
        }
    }

    /// Too much is under way for calls that move files; they follow when others have ended.
    fn is_held_back(&self, key: ActionKey) -> bool {
        match key {
            // Following and listening last as long as their runners, and move no files.
            ActionKey::Start(_) => {
                let lasting = self.followed.len() + self.ears.len() + self.ports.providers.len();
                self.in_flight.len().saturating_sub(lasting) >= self.options.max_in_flight
            }
            ActionKey::Collect(_) => {
                let is_collect = |key: &&EffectKey| matches!(key, EffectKey::Owed(ActionKey::Collect(_)));
                self.in_flight.keys().filter(is_collect).count() >= self.options.max_collects
            }
            ActionKey::Launch(..)
            | ActionKey::Terminate(_)
            | ActionKey::Greet(_)
            | ActionKey::Follow(_)
            | ActionKey::Listen(_)
            | ActionKey::Save(_)
            | ActionKey::Close(_) => false,
        }
    }

    fn start_one(&mut self, action: Action) -> bool {
        let key = EffectKey::Owed(action.key());
        match action {
            Action::Launch { runner, claim, holder: _, request } => self.start_launch(runner, claim, request),
            Action::Terminate { runner, scope, machine } => match self.ports.of(&scope).cloned() {
                Some(provider) => {
                    self.spawn(key, effect::terminate(provider, runner, scope, machine));
                    true
                }
                None => false,
            },
            Action::Greet { place } => {
                self.start_on(key, &place, |provider, place| effect::greet(provider.host, place))
            }
            Action::Start { attempt, place } => self.start_attempt(attempt, &place),
            Action::Follow { place, attempts } => self.start_follow(&place, &attempts),
            Action::Listen { place } => {
                self.ears.ask(place.runner);
                let last = self.ears.last(place.runner);
                self.start_on(key, &place, |provider, place| effect::listen(provider.host, place, last))
            }
            Action::Close { attempt, place } => self.start_close(attempt, &place),
            Action::Save { attempt, place } => self.start_save(attempt, &place),
            Action::Collect { attempt, place } => {
                let workflow = self.client.state().workflow(attempt.workflow);
                let wanted = workflow.filter(|workflow| wants_artifacts(workflow));
                let artifacts = wanted.map(|workflow| workflow.spec.artifacts.clone()).unwrap_or_default();
                let blobs = Arc::clone(&self.ports.blobs);
                self.start_on(key, &place, move |provider, place| {
                    effect::collect(provider.host, blobs, place, attempt, artifacts)
                })
            }
        }
    }

    /// Launches that nobody wants any more and that still wait for their turn are not sent.
    fn withdraw_launches(&mut self, owed: &[Action]) {
        let owed: BTreeSet<_> = owed.iter().map(Action::key).collect();
        self.permits.retain(|(runner, claim), permit| {
            let key = ActionKey::Launch(*runner, *claim);
            if !owed.contains(&key) {
                permit.withdraw();
            }
            self.in_flight.contains_key(&EffectKey::Owed(key))
        });
    }

    /// What has begun only: of the rest there is nothing to save.
    fn start_save(&mut self, attempt: AttemptId, place: &Place) -> bool {
        if !self.begun.contains(&attempt) {
            return false;
        }
        let workflow = self.client.state().workflow(attempt.workflow);
        let artifacts = workflow.map(|workflow| workflow.spec.artifacts.clone()).unwrap_or_default();
        let blobs = Arc::clone(&self.ports.blobs);
        self.start_on(EffectKey::Owed(ActionKey::Save(attempt)), place, move |provider, place| {
            effect::save(provider.host, blobs, place, attempt, artifacts)
        })
    }

    pub(super) fn provider_at(&self, place: &Place) -> Option<Provider> {
        let runner = self.client.state().runners().get(&place.runner)?;
        self.ports.of(&runner.request.scope).cloned()
    }

    fn start_on<F>(&mut self, key: EffectKey, place: &Place, call: impl FnOnce(Provider, Place) -> F) -> bool
    where
        F: Future<Output = effect::Outcome> + Send + 'static,
    {
        match self.provider_at(place) {
            Some(provider) => {
                self.spawn(key, call(provider, place.clone()));
                true
            }
            None => false,
        }
    }

    /// Only under our own open claim, only while its ttl has not passed since before we made it, and only where the log
    /// knows every machine that carries its tag.
    fn start_launch(&mut self, runner: RunnerId, claim: ClaimNumber, request: Arc<LaunchRequest>) -> bool {
        let ttl = request.timing.claim_ttl.to_std();
        let key = (runner, claim);
        let Some(provider) = self.ports.of(&request.scope).cloned() else { return false };
        let Some(send_before) = self.claims.send_before(key, ttl, self.now_boot) else { return false };
        if !self.looks.may_launch(self.client.state(), &request.scope) {
            return false;
        }
        let greets = self.client.state().runners().get(&runner).is_some_and(|runner| runner.offering.pooled);
        self.claims.sending(key);
        let clock = Arc::clone(self.client.clock());
        let timeout = self.options.launch_timeout;
        let permit = SendPermit::until(send_before);
        self.permits.insert(key, permit.clone());
        let call = effect::launch(provider, clock, runner, request, permit, timeout, greets);
        self.spawn(EffectKey::Owed(ActionKey::Launch(runner, claim)), call);
        true
    }

    fn start_attempt(&mut self, attempt: AttemptId, place: &Place) -> bool {
        if self.begun.contains(&attempt) {
            return false;
        }
        let state = self.client.state();
        let Some((run, workflow)) =
            state.runs().get(&attempt.workflow.run).and_then(|run| Some((run, run.workflow(attempt.workflow.index)?)))
        else {
            return false;
        };
        let dependencies = workflow.spec.depends_on.iter().filter_map(|index| run.workflow(*index)?.manifest);
        let saved = workflow.saved.and_then(|saved| saved.manifest);
        let manifests = dependencies.chain(saved).collect();
        let input = StartInput {
            attempt,
            place: place.clone(),
            run: run.name.clone(),
            spec: Arc::clone(&workflow.spec),
            folder: run.folder,
            manifests,
            secrets: run.secrets.clone(),
            recent: self.recent.clone(),
            is_new: self.owed.is_ours(ActionKey::Start(attempt)),
        };
        let ports = self.ports.clone();
        self.start_on(EffectKey::Owed(ActionKey::Start(attempt)), place, |provider, _| {
            effect::start(ports, provider, input)
        })
    }

    /// Follows those that have begun. When they change, following begins anew: nothing is lost, output goes by offset.
    fn start_follow(&mut self, place: &Place, attempts: &[AttemptId]) -> bool {
        let begun: BTreeSet<_> = attempts.iter().filter(|attempt| self.begun.contains(attempt)).copied().collect();
        let key = EffectKey::Owed(ActionKey::Follow(place.runner));
        let is_under_way = self.in_flight.contains_key(&key);
        if begun.is_empty() || (is_under_way && self.followed.get(&place.runner) == Some(&begun)) {
            return false;
        }
        self.abort(&key);
        let state = self.client.state();
        let followed = |attempt: &AttemptId| {
            let workflow = state.workflow(attempt.workflow)?;
            let has_artifacts = !workflow.spec.artifacts.is_empty();
            Some((*attempt, effect::Followed { has_artifacts, since: workflow.since }))
        };
        let attempts: BTreeMap<_, _> = begun.iter().filter_map(followed).collect();
        self.followed.insert(place.runner, begun);
        let outputs = Arc::clone(&self.ports.outputs);
        let time = effect::LogTime { clock: Arc::clone(self.client.clock()), read: (self.now, self.now_boot) };
        self.start_on(key, place, move |provider, place| effect::follow(provider.host, outputs, time, place, attempts))
    }

    fn start_close(&mut self, attempt: AttemptId, place: &Place) -> bool {
        let state = self.client.state();
        let is_abort = state.workflow(attempt.workflow).is_some_and(|workflow| workflow.stop == Some(true));
        // Asked for already, and no more urgently than before.
        if self.closed.get(&attempt).is_some_and(|aborted| *aborted || !is_abort) {
            return false;
        }
        let grace = if is_abort { Span::ZERO } else { state.settings().stop_grace };
        let key = EffectKey::Owed(ActionKey::Close(attempt));
        self.start_on(key, place, |provider, place| {
            effect::close(provider.host, place, attempt, Closing::Stop { grace })
        })
    }

    /// Looks at each scope where something of ours may live, when it is time.
    pub(super) fn start_looks(&mut self, step: &mut Step) {
        let state = self.client.state();
        let Some(log) = state.log() else { return };
        let mut due_now = Vec::new();
        for scope in state.scopes() {
            self.looks.attend(state, &scope, self.now_boot, &self.options);
            let Some(due) = self.looks.due(&scope) else { continue };
            if self.in_flight.contains_key(&EffectKey::Look(scope.clone())) {
                continue;
            }
            if due > self.now_boot {
                step.wake_at(due);
                continue;
            }
            if let Some(provider) = self.ports.of(&scope).cloned() {
                let is_unheard =
                    |(id, runner): (RunnerId, &'_ Runner)| runner.machine.clone().filter(|_| self.ears.is_unheard(id));
                let unheard: BTreeSet<_> = state.live_runners().filter_map(is_unheard).collect();
                let mut known = evidence::known(state, &scope);
                for one in &mut known {
                    one.is_unheard = one.machine.as_ref().is_some_and(|machine| unheard.contains(machine));
                }
                due_now.push((provider, known, scope));
            }
        }
        for (provider, known, scope) in due_now {
            let call = effect::look(provider, scope.clone(), log, known, (self.now, self.now_boot));
            self.spawn(EffectKey::Look(scope), call);
        }
    }
}

const fn attempt_of(action: &Action) -> Option<AttemptId> {
    match action {
        Action::Start { attempt, .. }
        | Action::Close { attempt, .. }
        | Action::Save { attempt, .. }
        | Action::Collect { attempt, .. } => Some(*attempt),
        Action::Launch { .. }
        | Action::Terminate { .. }
        | Action::Greet { .. }
        | Action::Follow { .. }
        | Action::Listen { .. } => None,
    }
}
