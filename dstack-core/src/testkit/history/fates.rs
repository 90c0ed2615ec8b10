//! What becomes of machines and of what runs on them, and what looks see of it.

use super::driver::Driver;
use crate::cloud::MachineState;
use crate::model::state::{Phase, Runner, RunnerPhase};
use crate::model::{Action, AttemptId, BlobId, Exit, ExitCause, Greeting, Loss, Observation, RunnerId, outstanding};

impl Driver {
    pub(super) fn look(&mut self, pick: usize, hidden: u8) {
        let scopes: Vec<_> = self.state.scopes().into_iter().collect();
        let Some(place) = pick.checked_rem(scopes.len()) else { return };
        let scope = scopes[place].clone();
        let look = self.cloud.look(self.now, &scope, &self.known_tokens(&scope), hidden);
        self.looks.push_back((scope, self.now, look));
    }

    pub(super) fn take_look(&mut self) {
        let Some((scope, began, look)) = self.looks.pop_front() else { return };
        let evidence = self.evidence.entry(scope.clone()).or_default();
        let (sightings, _) = evidence.note(&self.state, &scope, &look, began);
        self.observe(&Observation::Looked { scope, began, look, sightings });
    }

    pub(super) fn go(&mut self, pick: usize) {
        if let Some(machine) = self.cloud.nth_alive(pick) {
            machine.state = match machine.state {
                MachineState::Pending | MachineState::Running => MachineState::Running,
                MachineState::Halted | MachineState::ShuttingDown | MachineState::Terminated => {
                    MachineState::Terminated
                }
            };
        }
    }

    pub(super) fn kill(&mut self, pick: usize) {
        if let Some(machine) = self.cloud.nth_alive(pick) {
            machine.state = MachineState::ShuttingDown;
        }
    }

    pub(super) fn notice(&mut self, pick: usize) {
        if let Some(machine) = self.cloud.nth_alive(pick) {
            let machine = machine.id.clone();
            self.observe(&Observation::Noticed { machine, deadline: None });
        }
    }

    pub(super) fn terminate(&mut self, pick: usize) {
        let owed: Vec<_> = outstanding(&self.state)
            .into_iter()
            .filter_map(|action| if let Action::Terminate { machine, .. } = action { Some(machine) } else { None })
            .collect();
        let Some(place) = pick.checked_rem(owed.len()) else { return };
        if let Some(machine) =
            self.cloud.machine(&owed[place]).filter(|machine| machine.state != MachineState::Terminated)
        {
            machine.state = MachineState::ShuttingDown;
        }
    }

    fn runs(&self, runner: &Runner) -> bool {
        self.cloud.machines().get(&runner.token).is_some_and(|machine| machine.state == MachineState::Running)
    }

    pub(super) fn greet(&mut self, pick: usize) {
        let launched = self.state.live_runners().filter(|(_, runner)| runner.phase == RunnerPhase::Launched);
        let up: Vec<RunnerId> = launched.filter(|(_, runner)| self.runs(runner)).map(|(id, _)| id).collect();
        let Some(place) = pick.checked_rem(up.len()) else { return };
        self.observe(&Observation::Answered { runner: up[place], greeting: Greeting::default() });
    }

    /// Attempts on machines that run, in this phase; a stopped runner's are followed no more.
    fn attempts(&self, is_wanted: fn(&Phase) -> bool) -> Vec<AttemptId> {
        let up = self.state.live_runners().filter(|(_, runner)| self.runs(runner));
        let attempts = up.flat_map(|(_, runner)| runner.attempts.iter().copied());
        attempts
            .filter(|attempt| self.state.workflow(attempt.workflow).is_some_and(|workflow| is_wanted(&workflow.phase)))
            .collect()
    }

    pub(super) fn exit(&mut self, pick: usize, code: u8) {
        let running = self.attempts(|phase| matches!(phase, Phase::Assigned(_)));
        let Some(place) = pick.checked_rem(running.len()) else { return };
        let attempt = running[place];
        let is_stopped = self.state.workflow(attempt.workflow).is_some_and(|workflow| workflow.stop.is_some());
        let exit = if is_stopped && (code != 0 || pick % 2 == 1) {
            Exit { code: code.max(1), cause: ExitCause::Stopped }
        } else {
            Exit::exited(code)
        };
        self.observe(&Observation::Exited { attempt, exit });
    }

    pub(super) fn finish(&mut self, pick: usize, code: u8) {
        let running = self.attempts(|phase| matches!(phase, Phase::Assigned(_)));
        let Some(place) = pick.checked_rem(running.len()) else { return };
        self.observe(&Observation::Finished { attempt: running[place], exit: Exit::exited(code) });
    }

    pub(super) fn keep(&mut self, pick: usize, is_missing: bool) {
        let exited = self.attempts(|phase| matches!(phase, Phase::Exited(..)));
        let Some(place) = pick.checked_rem(exited.len()) else { return };
        let missing = if is_missing { vec!["out".to_owned()] } else { Vec::new() };
        self.observe(&Observation::Kept { attempt: exited[place], manifest: None, missing });
    }

    pub(super) fn save(&mut self, pick: usize) {
        let running = self.attempts(|phase| matches!(phase, Phase::Assigned(_)));
        let Some(place) = pick.checked_rem(running.len()) else { return };
        self.observe(&Observation::Saved { attempt: running[place], manifest: Some(BlobId([8; 32])) });
    }

    pub(super) fn lose(&mut self, pick: usize) {
        let any = self.attempts(|phase| matches!(phase, Phase::Assigned(_) | Phase::Exited(..)));
        let Some(place) = pick.checked_rem(any.len()) else { return };
        self.observe(&Observation::Lost { attempt: any[place], loss: Loss::ProcessLost });
    }
}
