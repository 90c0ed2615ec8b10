//! Bringing home what an attempt leaves behind.

use std::sync::Arc;

use super::outcome::{Outcome, host_failure};
use crate::blob::{BlobStore, Manifest, ManifestEntry};
use crate::host::{HostError, RunnerHost};
use crate::model::{AttemptId, Bytes, Loss, Observation, Place, foreign};
use crate::planted::{self, Bug};

/// Artifacts of one attempt that are missing with a reason; further ones are only named.
const MAX_REASONS: usize = 32;

/// The declared artifacts that are there become blobs, with a list of them as one more.
pub(in crate::controller) async fn collect(
    host: Arc<dyn RunnerHost>,
    blobs: Arc<dyn BlobStore>,
    place: Place,
    attempt: AttemptId,
    artifacts: Vec<String>,
) -> Outcome {
    let mut manifest = Manifest::default();
    let mut missing = Vec::new();
    for path in artifacts {
        let fetched = match host.fetch(&place, attempt, &path).await {
            Ok(fetched) => fetched,
            Err(HostError::Unreachable(_)) if planted::is(Bug::ArtifactsDropped) => continue,
            Err(HostError::UnknownAttempt(_)) if planted::is(Bug::VanishedFolderIsEmpty) => continue,
            Err(HostError::UnknownAttempt(_)) => {
                return Outcome::Saw(vec![Observation::Lost { attempt, loss: Loss::ResultsLost }]);
            }
            Err(error) => return host_failure(place.runner, &error),
        };
        manifest.left_behind.extend(fetched.left_behind);
        if let Some(why) = fetched.unreadable {
            // Many long reasons would not fit into one record.
            missing.push(if missing.len() < MAX_REASONS { format!("{path} ({})", foreign(&why)) } else { path });
            continue;
        }
        let Some(archive) = fetched.archive else {
            missing.extend((!planted::is(Bug::ArtifactsUndeclared)).then_some(path));
            continue;
        };
        let size = Bytes(archive.len());
        match blobs.put(archive).await {
            Ok(archive) => manifest.artifacts.push(ManifestEntry { path, archive, size }),
            Err(error) => return Outcome::Failed(error.to_string()),
        }
    }
    let manifest = if manifest == Manifest::default() {
        None
    } else {
        let json = serde_json::to_vec(&manifest).expect("a list of paths and hashes is plain JSON");
        match blobs.put(json.into()).await {
            Ok(id) => Some(id),
            Err(error) => return Outcome::Failed(error.to_string()),
        }
    };
    Outcome::Saw(vec![Observation::Kept { attempt, manifest, missing }])
}

/// What a running attempt has made of its artifacts by now, before its runner is taken. What is not there yet is not missed.
pub(in crate::controller) async fn save(
    host: Arc<dyn RunnerHost>,
    blobs: Arc<dyn BlobStore>,
    place: Place,
    attempt: AttemptId,
    artifacts: Vec<String>,
) -> Outcome {
    let saved = |seen| {
        // Where nothing is there to be saved, whether the attempt is lost is for others to say.
        let manifest = if let Observation::Kept { manifest, .. } = seen { manifest } else { None };
        Observation::Saved { attempt, manifest }
    };
    match collect(host, blobs, place, attempt, artifacts).await {
        Outcome::Saw(seen) => Outcome::Saw(seen.into_iter().map(saved).collect()),
        other => other,
    }
}

/// The attempt's results are safe: its folder may be emptied. If that fails, the runner's end empties it.
pub(in crate::controller) async fn release(host: Arc<dyn RunnerHost>, place: Place, attempt: AttemptId) -> Outcome {
    if let Err(error) = host.release(&place, attempt).await {
        tracing::debug!(%attempt, %error, "the attempt's folder was not emptied");
    }
    Outcome::Released
}
