//! Faults stop: everything that can end must end.

use super::act::{Act, Luck};
use super::driver::Driver;
use crate::model::state::Phase;
use crate::model::{Command, Span, WorkflowId};

/// Rounds of a bit over a minute within which everything must have ended.
const MAX_ROUNDS: usize = 400;

impl Driver {
    /// Users allow again what the cloud refused, the cloud takes what it announced and does all that it is asked from now on,
    /// commands succeed. Returns whether every workflow that a rule can run has ended and no machine is left.
    pub fn settle(&mut self) -> bool {
        self.act(&Act::Enable);
        for rule in self.state.rules().clone().into_values() {
            self.command(Command::Allow { offering: Box::new((*rule.offering).clone()), max: rule.max, min: 0 });
        }
        for _ in 0..MAX_ROUNDS {
            self.round();
            if self.is_settled() {
                return true;
            }
        }
        false
    }

    fn is_settled(&self) -> bool {
        self.state.live_runners().next().is_none() && self.cloud.alive().next().is_none() && self.waiting().is_empty()
    }

    /// Workflows that are not over, though a rule could run them and all that they depend on.
    pub fn waiting(&self) -> Vec<WorkflowId> {
        let mut waiting = Vec::new();
        for (run, found) in self.state.open_runs() {
            let mut hopeless = vec![false; found.workflows.len()];
            for (index, workflow) in (0..).zip(&found.workflows) {
                let rules = self.state.rules().values();
                let fits = rules.filter(|rule| rule.max > 0).any(|rule| workflow.spec.needs.fit(&rule.offering));
                let is_behind = workflow.spec.depends_on.iter().filter_map(|earlier| usize::try_from(*earlier).ok());
                let is_hopeless =
                    (!fits && !workflow.is_over()) || is_behind.into_iter().any(|earlier| hopeless[earlier]);
                if let Ok(place) = usize::try_from(index) {
                    hopeless[place] = is_hopeless && matches!(workflow.phase, Phase::Waiting);
                    if !workflow.is_over() && !hopeless[place] {
                        waiting.push(WorkflowId { run, index });
                    }
                }
            }
        }
        waiting
    }

    fn round(&mut self) {
        self.kill_noticed();
        for step in [Act::Plan(0), Act::Plan(1)] {
            self.act(&step);
        }
        for place in 0..self.state.live_runners().count() {
            self.act(&Act::CloseClaim(place));
        }
        self.launch_all();
        self.act(&Act::Plan(0));
        let attempts: usize = self.state.live_runners().map(|(_, runner)| runner.attempts.len()).sum();
        for _ in 0..=attempts {
            self.act(&Act::Exit(0, 0));
            self.act(&Act::Keep(0, false));
        }
        self.end_all();
        self.act(&Act::Pass(Span::from_secs(61)));
    }

    /// All launches that are owed go through, and all machines come up and answer, or end.
    pub(super) fn launch_all(&mut self) {
        let live = self.state.live_runners().count();
        for _ in 0..=live.max(self.sent.len()) {
            self.act(&Act::Send(0));
            self.act(&Act::Land(0, Luck::Fine));
            self.act(&Act::Answer(0));
        }
        // Those that end leave the list of the living: from the back.
        for place in (0..self.cloud.alive().count()).rev() {
            self.act(&Act::Go(place));
        }
        for _ in 0..=live {
            self.act(&Act::Greet(0));
        }
    }

    /// All ends that are owed are asked for and come, and are seen by complete looks.
    pub(super) fn end_all(&mut self) {
        for place in 0..self.state.live_runners().count() {
            self.act(&Act::Terminate(place));
        }
        for place in (0..self.cloud.alive().count()).rev() {
            self.act(&Act::Go(place));
        }
        for scope in 0..self.state.scopes().len() {
            self.act(&Act::Look(scope, 0));
        }
        while !self.looks.is_empty() {
            self.act(&Act::Looked);
        }
    }

    fn kill_noticed(&mut self) {
        let noticed: Vec<_> = self
            .state
            .live_runners()
            .filter(|(_, runner)| runner.noticed)
            .filter_map(|(_, runner)| runner.machine.clone())
            .collect();
        for id in noticed {
            if let Some(machine) = self.cloud.machine(&id) {
                machine.state = crate::cloud::MachineState::Terminated;
            }
        }
    }
}
