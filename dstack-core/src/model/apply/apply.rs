//! One record into the state.

use crate::model::event::Event;
use crate::model::state::Left;
use crate::model::{At, Content, Record, State};
use crate::planted::{self, Bug};

impl State {
    /// Takes one record in. Total: an event that does not fit becomes a fault in the state and changes nothing else.
    ///
    /// Facts that are already known (an exit recorded twice, by two controllers) are ignored: they are no faults. Returns
    /// what the state no longer holds.
    pub fn apply(&mut self, record: &Record) -> Left {
        if record.seq != self.seq.next() {
            let why = format!("record {} follows on {}", record.seq, self.seq);
            self.fault("Record", why);
            return Left::default();
        }
        self.seq = record.seq;
        self.hash = record.hash;
        self.at = self.at.max(record.at);
        if planted::is(Bug::ClockInFold) {
            self.at = At::from_micros(self.at.as_micros() + planted::fold_clock());
        }
        match &record.content {
            Content::Known(event) => {
                if let Err(why) = self.apply_event(event)
                    && !self.is_of_the_past(event)
                {
                    self.fault(event.kind(), why);
                }
            }
            Content::Unknown(error) => {
                self.unreadable.get_or_insert_with(|| format!("record {}: {error}", record.seq));
            }
        }
        std::mem::take(&mut self.left)
    }

    /// Takes these records in, in their order. Returns what the state no longer holds.
    pub fn apply_all<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Left {
        let mut left = Left::default();
        records.into_iter().for_each(|record| left.append(self.apply(record)));
        left
    }

    /// Whether it is a fact about something that has left the state: whoever recorded it did not know that yet.
    fn is_of_the_past(&self, event: &Event) -> bool {
        let (attempt, runner) = match event {
            Event::AttemptExited(event) => (Some(event.attempt), None),
            Event::ResultsKept(event) => (Some(event.attempt), None),
            Event::ArtifactsSaved(event) => (Some(event.attempt), None),
            Event::AttemptStopped(event) => (Some(event.attempt), None),
            Event::AttemptLost(event) => (Some(event.attempt), None),
            Event::LaunchFailed(event) => (None, Some(event.runner)),
            Event::RunnerReady(event) => (None, Some(event.runner)),
            Event::RunnerNoticed(event) => (None, Some(event.runner)),
            Event::RunnerStopped(event) => (None, Some(event.runner)),
            _ => (None, None),
        };
        attempt.is_some_and(|attempt| self.past_runs.contains(&attempt.workflow.run))
            || runner.is_some_and(|runner| self.past_runners.iter().any(|(past, _)| *past == runner))
    }

    fn apply_event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::LogCreated(event) => self.log_created(event),
            Event::ClockStepped(event) => {
                self.clock_offset_us = event.offset_us;
                Ok(())
            }
            Event::RuleAllowed(event) => self.rule_allowed(event),
            Event::RuleRemoved(event) => self.rule_removed(event),
            Event::AutoscalingEnabled(_) => self.autoscaling_switched(true),
            Event::AutoscalingDisabled(_) => self.autoscaling_switched(false),
            Event::SettingsChanged(event) => self.settings_changed(event),
            Event::PriceSeen(event) => self.price_seen(event),
            Event::OfferingUnavailable(event) => self.offering_unavailable(event),
            Event::RuleBlocked(event) => self.rule_blocked(event),
            Event::CredentialsRefused(event) => self.credentials_refused(event),
            Event::RunSubmitted(event) => self.run_submitted(event),
            Event::WorkflowSubmitted(event) => self.workflow_submitted(event),
            Event::StopRequested(event) => self.stop_requested(event),
            Event::WorkflowSkipped(event) => self.workflow_skipped(event),
            Event::RunnerWanted(event) => self.runner_wanted(event),
            Event::ClaimMade(event) => self.claim_made(event),
            Event::ClaimClosed(event) => self.claim_closed(event),
            Event::RunnerLaunched(event) => self.runner_launched(event),
            Event::LaunchFailed(event) => self.launch_failed(event),
            Event::RunnerReady(event) => self.runner_ready(event),
            Event::RunnerNoticed(event) => self.runner_noticed(event),
            Event::RunnerStopping(event) => self.runner_stopping(event),
            Event::RunnerStopped(event) => self.runner_stopped(event),
            Event::AttemptAssigned(event) => self.attempt_assigned(event),
            Event::AttemptExited(event) => self.attempt_exited(event),
            Event::ResultsKept(event) => self.results_kept(event),
            Event::ArtifactsSaved(event) => self.artifacts_saved(event),
            Event::AttemptStopped(event) => self.attempt_stopped(event),
            Event::AttemptLost(event) => self.attempt_lost(event),
        }
    }
}
