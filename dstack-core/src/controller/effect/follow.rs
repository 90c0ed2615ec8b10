//! Following what runs on a runner: output comes home as it is printed, and ends are seen as they happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outcome::{Outcome, host_failure};
use crate::blob::OutputStore;
use crate::clock::{Boot, Clock};
use crate::host::{HostError, Progress, RunnerHost};
use crate::model::{At, AttemptId, Exit, Loss, Observation, Place, Span};
use crate::planted::{self, Bug};

/// How often it is noted how much of an attempt's output has come: what `logs --since` goes by.
const MARK_PERIOD: Span = Span::from_secs(5);

/// Log time, told by this machine's own clock since the log was last read.
pub(in crate::controller) struct LogTime {
    pub(in crate::controller) clock: Arc<dyn Clock>,
    pub(in crate::controller) read: (At, Boot),
}

impl LogTime {
    fn now(&self) -> At {
        self.read.0.plus(Span::from(self.clock.boot().since(self.read.1)))
    }
}

/// What is to be known of an attempt that is followed.
pub(in crate::controller) struct Followed {
    /// Whether it declared artifacts.
    pub(in crate::controller) has_artifacts: bool,
    /// When it began.
    pub(in crate::controller) since: At,
}

/// Returns as soon as at least one of them has ended.
pub(in crate::controller) async fn follow(
    host: Arc<dyn RunnerHost>,
    outputs: Arc<dyn OutputStore>,
    time: LogTime,
    place: Place,
    attempts: BTreeMap<AttemptId, Followed>,
) -> Outcome {
    let mut marked: BTreeMap<AttemptId, At> = attempts.iter().map(|(attempt, it)| (*attempt, it.since)).collect();
    let mut offsets = Vec::with_capacity(attempts.len());
    for attempt in attempts.keys() {
        match outputs.length(*attempt).await {
            Ok(length) => offsets.push((*attempt, length)),
            Err(error) => return Outcome::Failed(error.to_string()),
        }
    }
    loop {
        let polled = match host.poll(&place, &offsets).await {
            Ok(polled) => polled,
            Err(HostError::UnknownAttempt(attempt)) => {
                return Outcome::Saw(vec![Observation::Lost { attempt, loss: Loss::ProcessLost }]);
            }
            Err(HostError::Unreachable(_)) if planted::is(Bug::UnreachableIsLost) => {
                let lost = |attempt: &AttemptId| Observation::Lost { attempt: *attempt, loss: Loss::ProcessLost };
                return Outcome::Saw(attempts.keys().map(lost).collect());
            }
            Err(error) => return host_failure(place.runner, &error),
        };
        let mut ended = Vec::new();
        let mut has_more = false;
        for one in polled {
            let Some((attempt, offset)) = offsets.iter_mut().find(|(attempt, _)| *attempt == one.attempt) else {
                continue;
            };
            if !one.output.is_empty() {
                let (now, last) = (time.now(), marked.get(attempt).copied().unwrap_or_default());
                if now.since(last) >= MARK_PERIOD {
                    if let Err(error) = outputs.mark(*attempt, now, *offset).await {
                        return Outcome::Failed(error.to_string());
                    }
                    marked.insert(*attempt, now);
                }
                if let Err(error) = outputs.write(*attempt, *offset, &one.output).await {
                    return Outcome::Failed(error.to_string());
                }
                *offset += one.output.len() as u64 + u64::from(planted::is(Bug::OutputGap));
            }
            if one.has_more && !planted::is(Bug::OutputCutShort) {
                has_more = true;
                continue;
            }
            let attempt = *attempt;
            if !matches!(one.progress, Progress::Running | Progress::Staged)
                && let Err(error) = outputs.finish(attempt).await
            {
                return Outcome::Failed(error.to_string());
            }
            match one.progress {
                Progress::Running | Progress::Staged => {}
                Progress::Exited(exit) if attempts.get(&attempt).is_some_and(|it| it.has_artifacts) => {
                    ended.push(Observation::Exited { attempt, exit });
                }
                Progress::Exited(exit) => ended.push(Observation::Finished { attempt, exit }),
                Progress::NeverBegun => ended.push(Observation::Lost { attempt, loss: Loss::NeverBegun }),
                Progress::Lost if planted::is(Bug::LostIsSuccess) => {
                    ended.push(Observation::Finished { attempt, exit: Exit::exited(0) });
                }
                Progress::Lost => ended.push(Observation::Lost { attempt, loss: Loss::ProcessLost }),
            }
        }
        if !ended.is_empty() {
            return Outcome::Saw(ended);
        }
        if !has_more && let Err(error) = host.wait(&place).await {
            return host_failure(place.runner, &error);
        }
    }
}
