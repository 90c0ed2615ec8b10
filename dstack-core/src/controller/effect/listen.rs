//! Listening to a runner that its cloud may take back.

use std::sync::Arc;

use super::outcome::{Outcome, host_failure};
use crate::host::{Hearing, RunnerHost};
use crate::model::Place;

/// Returns when it says something else than this of its own end.
pub(in crate::controller) async fn listen(host: Arc<dyn RunnerHost>, place: Place, last: Option<Hearing>) -> Outcome {
    match host.listen(&place, last).await {
        Ok(hearing) => Outcome::Heard(hearing),
        Err(error) => host_failure(place.runner, &error),
    }
}
