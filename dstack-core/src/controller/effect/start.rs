//! Staging and starting an attempt.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outcome::{Outcome, host_failure};
use crate::blob::{BlobError, BlobStore, Manifest, Payload};
use crate::controller::ports::{Ports, Provider};
use crate::host::{Begun, Closing, Contents, HostError, Job, Progress, RunnerHost};
use crate::model::{AttemptId, BlobId, Loss, Name, Observation, Place, WorkflowSpec};
use crate::secret::SecretError;

/// An offset at which nothing was printed. A shell can count that far.
const BEYOND_ALL_OUTPUT: u64 = i64::MAX as u64;

/// What a start needs of the state.
pub(in crate::controller) struct StartInput {
    pub(in crate::controller) attempt: AttemptId,
    pub(in crate::controller) place: Place,
    pub(in crate::controller) run: Name,
    pub(in crate::controller) spec: Arc<WorkflowSpec>,
    pub(in crate::controller) folder: Option<BlobId>,
    /// Artifact lists of what it depends on.
    pub(in crate::controller) manifests: Vec<BlobId>,
    /// Names of the secrets in its environment.
    pub(in crate::controller) secrets: Vec<String>,
    /// Archives that were used before.
    pub(in crate::controller) recent: RecentArchives,
    /// Whether no other controller can have started it.
    pub(in crate::controller) is_new: bool,
}

/// Small archives that were read and checked lately: the workflows of a run share most of theirs.
#[derive(Debug, Clone, Default)]
pub(in crate::controller) struct RecentArchives(Arc<Mutex<VecDeque<(BlobId, Payload)>>>);

impl RecentArchives {
    /// How many are kept, each of at most so many bytes.
    const MOST: usize = 16;
    const BYTES_MAX: usize = 64 * 1024;

    async fn get(&self, blobs: &dyn BlobStore, id: BlobId) -> Result<Payload, BlobError> {
        let known = self.lock().iter().find(|(known, _)| *known == id).map(|(_, payload)| payload.clone());
        if let Some(payload) = known {
            return Ok(payload);
        }
        let payload = blobs.get(id).await?;
        if payload.in_memory().is_some_and(|bytes| bytes.len() <= Self::BYTES_MAX) {
            let mut recent = self.lock();
            recent.truncate(Self::MOST - 1);
            recent.push_front((id, payload.clone()));
        }
        Ok(payload)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(BlobId, Payload)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(in crate::controller) async fn start(ports: Ports, provider: Provider, input: StartInput) -> Outcome {
    let (host, place, attempt) = (&*provider.host, &input.place, input.attempt);
    // What has begun needs nothing more, and what it needed may be gone by now.
    if !input.is_new {
        match progress(host, place, attempt).await {
            Ok(Progress::Staged) => {}
            Ok(_) => return Outcome::Begun,
            Err(error) => return host_failure(place.runner, &error),
        }
    }
    let contents = match contents(&*ports.blobs, &input).await {
        Ok(contents) => contents,
        Err(error @ (BlobError::Missing(_) | BlobError::Damaged(_))) => {
            return give_up(host, place, attempt, error.to_string()).await;
        }
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let mut secrets = BTreeMap::new();
    for name in &input.secrets {
        match ports.secrets.get(name).await {
            Ok(secret) => secrets.insert(name.clone(), secret),
            Err(error @ SecretError::Missing(_)) => {
                return give_up(host, place, attempt, error.to_string()).await;
            }
            Err(error) => return Outcome::Failed(error.to_string()),
        };
    }
    let started = match host.stage(place, attempt, &contents).await {
        Ok(()) => host.start(place, attempt, &job(&input), &secrets).await,
        Err(error) => Err(error),
    };
    match started {
        // One that was closed before is followed too: that shows its end.
        Ok(Begun::Started | Begun::Closed) => Outcome::Begun,
        Err(HostError::Refused(why)) => give_up(host, place, attempt, why).await,
        Err(error) => host_failure(place.runner, &error),
    }
}

/// What the attempt needs is not there, or the runner cannot take it (its disk is full, say): that does not pass by itself.
/// That it was not begun, by whomever, is made sure of before it is called lost; what has begun goes on.
async fn give_up(host: &dyn RunnerHost, place: &Place, attempt: AttemptId, why: String) -> Outcome {
    let refused = async {
        if progress(host, place, attempt).await? != Progress::Staged {
            return Ok(false);
        }
        host.close(place, attempt, Closing::Lost).await?;
        // Another controller may have begun it in between: following it shows its end.
        Ok(progress(host, place, attempt).await? == Progress::NeverBegun)
    };
    match refused.await {
        Ok(true) => Outcome::Saw(vec![Observation::Lost { attempt, loss: Loss::Refused(why) }]),
        Ok(false) => Outcome::Begun,
        Err(error) => host_failure(place.runner, &error),
    }
}

/// How far it is, without its output.
async fn progress(host: &dyn RunnerHost, place: &Place, attempt: AttemptId) -> Result<Progress, HostError> {
    let polled = match host.poll(place, &[(attempt, BEYOND_ALL_OUTPUT)]).await {
        Err(HostError::UnknownAttempt(_)) => return Ok(Progress::Staged),
        other => other?,
    };
    Ok(polled.into_iter().find(|one| one.attempt == attempt).map_or(Progress::Staged, |one| one.progress))
}

async fn contents(blobs: &dyn BlobStore, input: &StartInput) -> Result<Contents, BlobError> {
    let mut archives = Vec::new();
    if let Some(folder) = input.folder {
        archives.push(input.recent.get(blobs, folder).await?);
    }
    for manifest in &input.manifests {
        let bytes = input.recent.get(blobs, *manifest).await?;
        let manifest: Manifest = serde_json::from_reader(bytes.reader()?).map_err(|_| BlobError::Damaged(*manifest))?;
        for entry in manifest.artifacts {
            archives.push(input.recent.get(blobs, entry.archive).await?);
        }
    }
    Ok(Contents { archives })
}

fn job(input: &StartInput) -> Job {
    let spec = &input.spec;
    let mut env = spec.env.clone();
    let job_id = format!("{}/{}", input.run, spec.name);
    let own = [
        ("DSTACK_RUN", input.run.to_string()),
        ("DSTACK_WORKFLOW", spec.name.to_string()),
        ("DSTACK_ATTEMPT", input.attempt.number.to_string()),
        ("RUN_NAME", input.run.to_string()),
        ("run_name", input.run.to_string()),
        ("JOB_ID", job_id.clone()),
        ("job_id", job_id),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Job {
        program: spec.program.clone(),
        shell: spec.shell,
        args: spec.args.clone(),
        env,
        working_dir: spec.working_dir.clone(),
        timeout: spec.timeout,
    }
}
