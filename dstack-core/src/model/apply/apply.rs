//! One record into the state.

use crate::model::event::Event;
use crate::model::{Content, Record, State};

impl State {
    /// Takes one record in. Total: an event that does not fit becomes a fault in the state and changes nothing else.
    ///
    /// Facts that are already known (an exit recorded twice, by two controllers) are ignored: they are no faults.
    pub fn apply(&mut self, record: &Record) {
        if record.seq != self.seq.next() {
            let why = format!("record {} follows on {}", record.seq, self.seq);
            self.fault("Record", why);
            return;
        }
        self.seq = record.seq;
        self.hash = record.hash;
        self.at = self.at.max(record.at);
        match &record.content {
            Content::Known(event) => {
                if let Err(why) = self.apply_event(event) {
                    self.fault(event.kind(), why);
                }
            }
            Content::Unknown(error) => {
                self.unreadable.get_or_insert_with(|| format!("record {}: {error}", record.seq));
            }
        }
    }

    /// Takes these records in, in their order.
    pub fn apply_all<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) {
        records.into_iter().for_each(|record| self.apply(record));
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
            Event::SettingsChanged(event) => {
                self.settings = event.settings.clone();
                Ok(())
            }
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
