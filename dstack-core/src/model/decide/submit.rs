//! Workflows submitted: all of them or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::event::{RunSubmitted, WorkflowSubmitted};
use crate::model::record::MAX_BATCH_RECORDS;
use crate::model::{Event, Needs, Rejection, State, Submission, Unfit, WorkflowId, WorkflowSpec};

pub(super) fn submit(state: &State, submission: Submission) -> Result<Vec<Event>, Rejection> {
    let Submission { run, name, folder, secrets, workflows, unfit } = submission;
    if workflows.is_empty() {
        return Err(Rejection::EmptyRun);
    }
    let most = MAX_BATCH_RECORDS - 1;
    let too_many = Rejection::TooManyWorkflows { most, got: workflows.len() };
    let count = u32::try_from(workflows.len()).ok().filter(|_| workflows.len() <= most).ok_or(too_many)?;
    if state.knows_run(run) {
        return Err(Rejection::RunIdTaken(run));
    }
    check_names(&workflows)?;
    check_dependencies(&workflows)?;
    if unfit == Unfit::Refuse {
        check_fit(state, &workflows)?;
    }
    let mut events: Vec<Event> = Vec::with_capacity(workflows.len() + 1);
    events.push(RunSubmitted { run, name, workflows: count, folder, secrets }.into());
    events.extend(
        (0..).zip(workflows).map(|(index, spec)| {
            Event::from(WorkflowSubmitted { id: WorkflowId { run, index }, spec: Arc::new(spec) })
        }),
    );
    Ok(events)
}

fn check_names(workflows: &[WorkflowSpec]) -> Result<(), Rejection> {
    let mut names = BTreeSet::new();
    match workflows.iter().find(|spec| !names.insert(&spec.name)) {
        Some(spec) => Err(Rejection::DuplicateName(spec.name.clone())),
        None => Ok(()),
    }
}

/// A workflow depends on earlier ones of the list, each once: so there are no cycles.
fn check_dependencies(workflows: &[WorkflowSpec]) -> Result<(), Rejection> {
    for (index, spec) in (0..).zip(workflows) {
        let mut seen = BTreeSet::new();
        if spec.depends_on.iter().any(|earlier| *earlier >= index || !seen.insert(earlier)) {
            return Err(Rejection::BadDependency(spec.name.clone()));
        }
    }
    Ok(())
}

/// Whether each workflow fits some rule, whatever is running: a rule with a maximum of 0 starts nothing.
fn check_fit(state: &State, workflows: &[WorkflowSpec]) -> Result<(), Rejection> {
    let mut fitting: BTreeSet<&Needs> = BTreeSet::new();
    for spec in workflows {
        if fitting.contains(&spec.needs) {
            continue;
        }
        if !state.rules().values().any(|rule| rule.max > 0 && spec.needs.fit(&rule.offering)) {
            return Err(Rejection::Unfit { workflow: spec.name.clone(), needs: spec.needs.to_string() });
        }
        fitting.insert(&spec.needs);
    }
    Ok(())
}
