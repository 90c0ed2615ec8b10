//! What becomes of attempts.

use crate::model::event::{ArtifactsSaved, AttemptExited, AttemptLost, AttemptStopped, ResultsKept};
use crate::model::outstanding::wants_artifacts;
use crate::model::state::{Phase, Workflow};
use crate::model::{AttemptId, BlobId, Event, Exit, Loss, State, foreign};
use crate::planted::{self, Bug};

pub(super) fn exited(state: &State, attempt: AttemptId, exit: Exit) -> Vec<Event> {
    let workflow = state.workflow(attempt.workflow).filter(|_| state.is_current(attempt));
    match workflow.map(|workflow| &workflow.phase) {
        Some(Phase::Assigned(_)) => vec![AttemptExited { attempt, exit }.into()],
        Some(Phase::Waiting | Phase::Exited(..) | Phase::Over(_)) | None => Vec::new(),
    }
}

/// The exit and, since nothing else is left to keep, the end of the attempt.
pub(super) fn finished(state: &State, attempt: AttemptId, exit: Exit) -> Vec<Event> {
    let mut events = exited(state, attempt, exit);
    let workflow = state.workflow(attempt.workflow).filter(|_| state.is_current(attempt));
    events.extend(workflow.map(|workflow| end_of(workflow, attempt, exit, None, &[])));
    events
}

pub(super) fn kept(state: &State, attempt: AttemptId, manifest: Option<BlobId>, missing: &[String]) -> Vec<Event> {
    let Some(workflow) = state.workflow(attempt.workflow).filter(|_| state.is_current(attempt)) else {
        return Vec::new();
    };
    let Phase::Exited(_, exit) = workflow.phase else { return Vec::new() };
    vec![end_of(workflow, attempt, exit, manifest, missing)]
}

/// A user who stopped the workflow gets a stopped one, unless it had done its work before.
fn end_of(workflow: &Workflow, attempt: AttemptId, exit: Exit, manifest: Option<BlobId>, missing: &[String]) -> Event {
    // After an abort nobody fetches what it declared: then its work is not done.
    let is_unfetched = manifest.is_none() && missing.is_empty() && !workflow.spec.artifacts.is_empty();
    let is_done = exit.is_success() && (wants_artifacts(workflow) || !is_unfetched);
    if workflow.stop.is_some() && !is_done {
        AttemptStopped { attempt, manifest }.into()
    } else {
        ResultsKept { attempt, manifest, missing: missing.to_vec() }.into()
    }
}

pub(super) fn saved(state: &State, attempt: AttemptId, manifest: Option<BlobId>) -> Vec<Event> {
    let workflow = state.workflow(attempt.workflow).filter(|_| state.is_current(attempt));
    match workflow.filter(|workflow| matches!(workflow.phase, Phase::Assigned(_)) && !workflow.is_saved()) {
        Some(_) => vec![ArtifactsSaved { attempt, manifest }.into()],
        None => Vec::new(),
    }
}

pub(super) fn lost(state: &State, attempt: AttemptId, loss: &Loss) -> Vec<Event> {
    let is_meant = state.is_current(attempt) || planted::is(Bug::OldLossCounts);
    let Some(workflow) = state.workflow(attempt.workflow).filter(|_| is_meant) else {
        return Vec::new();
    };
    // What is lost while its runner is shut down by a wish is lost by that wish, and does not count.
    let runner = workflow.runner().and_then(|id| state.runners().get(&id));
    let is_wished = runner.and_then(|runner| runner.stop.as_ref()).is_some_and(|reason| reason.is_wish());
    let loss = match loss {
        _ if is_wished && loss.counts() => Loss::ShutDown,
        Loss::Refused(why) => Loss::Refused(foreign(why)),
        other => other.clone(),
    };
    vec![AttemptLost { attempt, loss }.into()]
}
