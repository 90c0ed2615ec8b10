//! Bringing home what an attempt leaves behind.

use std::sync::Arc;

use super::outcome::{Outcome, host_failure};
use crate::blob::{BlobStore, Manifest, ManifestEntry};
use crate::host::{HostError, RunnerHost};
use crate::model::{AttemptId, BlobId, Bytes, Loss, Observation, Place, foreign};
use crate::planted::{self, Bug};

/// Artifacts of one attempt that are missing with a reason; further ones are only named.
const MAX_REASONS: usize = 32;

/// What came of an attempt's declared artifacts.
#[derive(Default)]
struct Gathered {
    manifest: Manifest,
    /// Not there, or not all of it could be read, with the reason.
    missing: Vec<String>,
    /// Why one of them could not be read.
    unreadable: Option<String>,
}

/// Brings the artifacts home that are there.
async fn gather(
    host: &dyn RunnerHost,
    blobs: &dyn BlobStore,
    place: &Place,
    attempt: AttemptId,
    artifacts: Vec<String>,
) -> Result<Gathered, Outcome> {
    let mut gathered = Gathered::default();
    for path in artifacts {
        let fetched = match host.fetch(place, attempt, &path).await {
            Ok(fetched) => fetched,
            Err(HostError::Unreachable(_)) if planted::is(Bug::ArtifactsDropped) => continue,
            Err(HostError::UnknownAttempt(_)) if planted::is(Bug::VanishedFolderIsEmpty) => continue,
            Err(HostError::UnknownAttempt(_)) => {
                return Err(Outcome::Saw(vec![Observation::Lost { attempt, loss: Loss::ResultsLost }]));
            }
            Err(error) => return Err(host_failure(place.runner, &error)),
        };
        gathered.manifest.left_behind.extend(fetched.left_behind);
        if let Some(why) = fetched.unreadable {
            // Many long reasons would not fit into one record.
            let has_room = gathered.missing.len() < MAX_REASONS;
            gathered.missing.push(if has_room { format!("{path} ({})", foreign(&why)) } else { path.clone() });
            gathered.unreadable = Some(why);
        } else if fetched.archive.is_none() {
            gathered.missing.extend((!planted::is(Bug::ArtifactsUndeclared)).then(|| path.clone()));
        }
        let Some(archive) = fetched.archive else { continue };
        let size = Bytes(archive.len());
        match blobs.put(archive).await {
            Ok(archive) => gathered.manifest.artifacts.push(ManifestEntry { path, archive, size }),
            Err(error) => return Err(Outcome::Failed(error.to_string())),
        }
    }
    Ok(gathered)
}

/// A list of what came home becomes a blob as well; none where nothing did.
async fn keep(blobs: &dyn BlobStore, manifest: &Manifest) -> Result<Option<BlobId>, Outcome> {
    if *manifest == Manifest::default() {
        return Ok(None);
    }
    let json = serde_json::to_vec(manifest).expect("a list of paths and hashes is plain JSON");
    blobs.put(json.into()).await.map(Some).map_err(|error| Outcome::Failed(error.to_string()))
}

/// The declared artifacts that are there become blobs, with a list of them as one more.
pub(in crate::controller) async fn collect(
    host: Arc<dyn RunnerHost>,
    blobs: Arc<dyn BlobStore>,
    place: Place,
    attempt: AttemptId,
    artifacts: Vec<String>,
) -> Outcome {
    let collected = async {
        let Gathered { manifest, missing, .. } = gather(&*host, &*blobs, &place, attempt, artifacts).await?;
        let manifest = keep(&*blobs, &manifest).await?;
        Ok(Outcome::Saw(vec![Observation::Kept { attempt, manifest, missing }]))
    };
    collected.await.unwrap_or_else(|outcome| outcome)
}

/// What a running attempt has made of its artifacts by now, before its runner is taken. What is not there yet is not missed;
/// where nothing but what cannot be read is there, it is tried again: the attempt still writes.
pub(in crate::controller) async fn save(
    host: Arc<dyn RunnerHost>,
    blobs: Arc<dyn BlobStore>,
    place: Place,
    attempt: AttemptId,
    artifacts: Vec<String>,
) -> Outcome {
    let saved = async {
        let gathered = match gather(&*host, &*blobs, &place, attempt, artifacts).await {
            // Whether the attempt is lost is for others to say.
            Err(Outcome::Saw(_)) => Gathered::default(),
            other => other?,
        };
        match gathered.unreadable {
            Some(why) if gathered.manifest.artifacts.is_empty() => Err(Outcome::Failed(why)),
            Some(_) | None => {
                let manifest = keep(&*blobs, &gathered.manifest).await?;
                Ok(Outcome::Saw(vec![Observation::Saved { attempt, manifest }]))
            }
        }
    };
    saved.await.unwrap_or_else(|outcome| outcome)
}

/// The attempt's results are safe: its folder may be emptied. If that fails, the runner's end empties it.
pub(in crate::controller) async fn release(host: Arc<dyn RunnerHost>, place: Place, attempt: AttemptId) -> Outcome {
    if let Err(error) = host.release(&place, attempt).await {
        tracing::debug!(%attempt, %error, "the attempt's folder was not emptied");
    }
    Outcome::Released
}
