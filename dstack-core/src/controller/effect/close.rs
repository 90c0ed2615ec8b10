//! The end of an attempt, asked for by its user.

use std::sync::Arc;

use super::outcome::{Outcome, host_failure};
use crate::host::{Closing, RunnerHost};
use crate::model::{AttemptId, Place};

pub(in crate::controller) async fn close(
    host: Arc<dyn RunnerHost>,
    place: Place,
    attempt: AttemptId,
    closing: Closing,
) -> Outcome {
    match host.close(&place, attempt, closing).await {
        Ok(()) => Outcome::Closed,
        Err(error) => host_failure(place.runner, &error),
    }
}
