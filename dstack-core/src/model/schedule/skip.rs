//! Workflows that can never run, because something they depend on did not succeed.

use std::collections::BTreeMap;

use crate::model::state::{Phase, root_cause};
use crate::model::{Item, Plan, State, WorkflowId};

pub(super) fn skip_hopeless(state: &State, plan: &mut Plan) {
    let mut causes: BTreeMap<WorkflowId, WorkflowId> = BTreeMap::new();
    let mut found: Vec<(WorkflowId, WorkflowId)> = state
        .skips
        .iter()
        .filter_map(|id| {
            let run = state.runs().get(&id.run)?;
            Some((*id, root_cause(run, id.run, run.workflow(id.index)?)?))
        })
        .collect();
    while let Some((id, cause)) = found.pop() {
        let Some(workflow) = state.workflow(id).filter(|workflow| workflow.phase == Phase::Waiting) else { continue };
        if causes.insert(id, cause).is_some() {
            continue;
        }
        let dependents = &workflow.dependents;
        found.extend(dependents.iter().map(|index| (WorkflowId { run: id.run, index: *index }, cause)));
    }
    plan.items.extend(causes.into_iter().map(|(workflow, cause)| Item::Skip { workflow, cause }));
}
