//! Following what runs on a runner: output comes home as it is printed, and ends are seen as they happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outcome::{Outcome, host_failure};
use crate::blob::OutputStore;
use crate::host::{HostError, Progress, RunnerHost};
use crate::model::{AttemptId, Loss, Observation, Place};

/// Attempts with whether they declared artifacts. Returns as soon as at least one of them has ended.
pub(in crate::controller) async fn follow(
    host: Arc<dyn RunnerHost>,
    outputs: Arc<dyn OutputStore>,
    place: Place,
    attempts: BTreeMap<AttemptId, bool>,
) -> Outcome {
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
            Err(error) => return host_failure(place.runner, &error),
        };
        let mut ended = Vec::new();
        let mut has_more = false;
        for one in polled {
            let Some((attempt, offset)) = offsets.iter_mut().find(|(attempt, _)| *attempt == one.attempt) else {
                continue;
            };
            if !one.output.is_empty() {
                if let Err(error) = outputs.write(*attempt, *offset, &one.output).await {
                    return Outcome::Failed(error.to_string());
                }
                *offset += one.output.len() as u64;
            }
            if one.has_more {
                has_more = true;
                continue;
            }
            let attempt = *attempt;
            match one.progress {
                Progress::Running | Progress::Staged => {}
                Progress::Exited(exit) if attempts.get(&attempt) == Some(&true) => {
                    ended.push(Observation::Exited { attempt, exit });
                }
                Progress::Exited(exit) => ended.push(Observation::Finished { attempt, exit }),
                Progress::NeverBegun => ended.push(Observation::Lost { attempt, loss: Loss::NeverBegun }),
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
