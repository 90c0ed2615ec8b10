//! Results are never invented.

use std::collections::BTreeMap;

use futures::FutureExt;

use super::property::{Property, Truth, Verdict};
use crate::blob::{BlobStore, Manifest, OutputStore};
use crate::model::state::{Outcome, Phase};
use crate::model::{AttemptId, BlobId, Event, Exit, MachineId, Record, State};

/// An exit is recorded once, as the runner's own record says; a success has exit code 0 and its artifacts.
#[derive(Debug, Default)]
pub struct Results {
    exits: BTreeMap<AttemptId, Exit>,
}

fn machine_of(before: &State, attempt: AttemptId) -> Option<MachineId> {
    let workflow = before.workflow(attempt.workflow).filter(|workflow| workflow.attempt == attempt.number)?;
    before.runners().get(&workflow.runner()?)?.machine.clone()
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
            Some(Event::ResultsKept(kept)) => artifacts(truth, kept.manifest),
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

/// What a manifest names is in the blob store, all of it.
fn artifacts(truth: &Truth, manifest: Option<BlobId>) -> Verdict {
    let Some(id) = manifest else { return Ok(false) };
    let get = |id| truth.blobs.get(id).now_or_never().expect("memory does not wait");
    let bytes = get(id).map_err(|error| format!("the manifest {id} is kept: {error}"))?;
    let bytes = bytes.bytes().map_err(|error| error.to_string())?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    for entry in &manifest.artifacts {
        get(entry.archive).map_err(|error| format!("{} is kept: {error}", entry.path))?;
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
