//! Results are never invented.

use std::collections::BTreeMap;

use futures::FutureExt;

use super::property::{Property, Truth, Verdict};
use crate::blob::{BlobError, BlobStore, Manifest, OutputStore, Payload};
use crate::model::event::ResultsKept;
use crate::model::state::{Outcome, Phase};
use crate::model::{AttemptId, BlobId, Event, Exit, Loss, MachineId, Record, State};

/// An exit is recorded once, as the runner's own record says; a success has exit code 0 and its artifacts;
/// results are lost only with their folder.
#[derive(Debug, Default)]
pub struct Results {
    exits: BTreeMap<AttemptId, Exit>,
}

fn machine_of(before: &State, attempt: AttemptId) -> Option<MachineId> {
    let workflow = before.workflow(attempt.workflow).filter(|workflow| workflow.attempt == attempt.number)?;
    before.runners().get(&workflow.runner()?)?.machine.clone()
}

impl Results {
    /// What a success declared is in its manifest, path by path, or is said to be missing.
    fn complete(&self, truth: &Truth, before: &State, kept: &ResultsKept) -> Result<(), String> {
        let workflow = before.workflow(kept.attempt.workflow).filter(|it| it.attempt == kept.attempt.number);
        let is_success = self.exits.get(&kept.attempt).is_some_and(Exit::is_success);
        let Some(workflow) = workflow.filter(|_| is_success) else { return Ok(()) };
        let named: Vec<String> = match kept.manifest {
            Some(id) => read(truth, id)?.artifacts.into_iter().map(|entry| entry.path).collect(),
            None => Vec::new(),
        };
        let has = |path: &&String| named.contains(path) || kept.missing.contains(path);
        match workflow.spec.artifacts.iter().find(|path| !has(path)) {
            Some(path) => Err(format!("{} succeeded, and {path} is neither kept nor missing", kept.attempt)),
            None => Ok(()),
        }
    }
}

impl Property for Results {
    fn name(&self) -> &'static str {
        "results"
    }

    fn record(&mut self, truth: &Truth, before: &State, record: &Record) -> Verdict {
        match record.event() {
            Some(Event::AttemptExited(exited)) => {
                let attempt = exited.attempt;
                if let Some(first) = self.exits.insert(attempt, exited.exit).filter(|first| *first != exited.exit) {
                    return Err(format!("attempt {attempt} exited with {first}, and then with {}", exited.exit));
                }
                let Some(machine) = machine_of(before, attempt) else { return Ok(false) };
                match truth.host.exit_of(&machine, attempt) {
                    Some(exit) if exit == exited.exit => Ok(true),
                    other => Err(format!("attempt {attempt} exited with {}, its runner says {other:?}", exited.exit)),
                }
            }
            Some(Event::ResultsKept(kept)) => {
                self.complete(truth, before, kept)?;
                artifacts(truth, kept.manifest)
            }
            Some(Event::AttemptLost(lost)) if lost.loss == Loss::ResultsLost => {
                if truth.wiped.contains(&lost.attempt) {
                    return Ok(true);
                }
                Err(format!("the results of {} are lost, and nobody took its folder away", lost.attempt))
            }
            Some(Event::AttemptStopped(stopped)) => artifacts(truth, stopped.manifest),
            Some(Event::ArtifactsSaved(saved)) => artifacts(truth, saved.manifest),
            _ => Ok(false),
        }
    }

    fn ended(&mut self, _truth: &Truth, state: &State, _log: &[Record]) -> Verdict {
        let mut is_relevant = false;
        for (run, found) in state.runs() {
            for (index, workflow) in (0..).zip(&found.workflows) {
                if workflow.phase != Phase::Over(Outcome::Succeeded) {
                    continue;
                }
                is_relevant = true;
                let attempt = found.newest_attempt(*run, index);
                let exit = attempt.and_then(|attempt| self.exits.get(&attempt));
                if !exit.is_some_and(Exit::is_success) {
                    return Err(format!("{}/{} succeeded with {exit:?}", found.name, workflow.spec.name));
                }
            }
        }
        Ok(is_relevant)
    }
}

fn blob(truth: &Truth, id: BlobId) -> Result<Payload, BlobError> {
    truth.blobs.get(id).now_or_never().expect("memory does not wait")
}

fn read(truth: &Truth, id: BlobId) -> Result<Manifest, String> {
    let bytes = blob(truth, id).map_err(|error| format!("the manifest {id} is kept: {error}"))?;
    let bytes = bytes.bytes().map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

/// What a manifest names is in the blob store, all of it.
fn artifacts(truth: &Truth, manifest: Option<BlobId>) -> Verdict {
    let Some(id) = manifest else { return Ok(false) };
    let manifest = read(truth, id)?;
    for entry in &manifest.artifacts {
        blob(truth, entry.archive).map_err(|error| format!("{} is kept: {error}", entry.path))?;
    }
    Ok(!manifest.artifacts.is_empty())
}

/// What an attempt printed has come home, byte by byte, when its exit is recorded.
#[derive(Debug, Default)]
pub struct Output;

impl Property for Output {
    fn name(&self) -> &'static str {
        "output"
    }

    fn record(&mut self, truth: &Truth, before: &State, record: &Record) -> Verdict {
        let Some(Event::AttemptExited(exited)) = record.event() else { return Ok(false) };
        let Some(machine) = machine_of(before, exited.attempt) else { return Ok(false) };
        if truth.wiped.contains(&exited.attempt) {
            return Ok(false);
        }
        let printed = truth.host.printed_by(&machine, exited.attempt);
        let kept = truth.outputs.read(exited.attempt, 0, usize::MAX).now_or_never().expect("memory does not wait");
        let kept = kept.map_err(|error| error.to_string())?;
        if kept[..] == printed[..] {
            return Ok(!printed.is_empty());
        }
        Err(format!("{} printed {} bytes, and {} other ones came home", exited.attempt, printed.len(), kept.len()))
    }
}
