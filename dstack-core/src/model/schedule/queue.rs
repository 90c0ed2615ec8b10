//! The walk through the queue: priority, then submission, a whole shape closed at the first that finds no place.

use std::collections::{BTreeMap, BTreeSet};

use super::claims::stopped_by;
use super::launch::Launches;
use super::pack::Packing;
use crate::model::state::QueueKey;
use crate::model::{AttemptId, Item, Needs, Plan, RunnerId, Scope, State, Tick};

/// Places what can be placed; returns the runners that work was given to.
pub(super) fn walk<'a>(
    state: &'a State,
    tick: &'a Tick,
    allowances: BTreeMap<&'a Scope, u32>,
    plan: &mut Plan,
) -> BTreeSet<RunnerId> {
    let mut packing = Packing::new(state, &tick.suspects);
    packing.forget(&stopped_by(plan));
    let mut launches = Launches::new(state, tick, allowances);
    // The first of each shape; a shape whose first finds no place is closed: those behind it need the same.
    let mut shapes: Vec<(&Needs, std::collections::btree_set::Iter<'_, QueueKey>)> =
        state.queue().shapes().map(|(needs, keys)| (needs, keys.iter())).collect();
    let mut heads: BTreeMap<QueueKey, usize> = BTreeMap::new();
    for (place, (_, keys)) in shapes.iter_mut().enumerate() {
        heads.extend(keys.next().map(|key| (*key, place)));
    }
    while let Some((key, place)) = heads.pop_first() {
        let (needs, keys) = &mut shapes[place];
        let workflow = key.workflow;
        let number = state.workflow(workflow).map_or(0, |workflow| workflow.attempt) + 1;
        if let Some(runner) = packing.place(needs) {
            plan.items.push(Item::Assign { attempt: AttemptId { workflow, number }, runner });
        } else if let Some(runner) = packing.promise(needs) {
            plan.starting.insert(workflow, runner);
        } else if let Err(reason) = launches.launch(&mut packing, needs, workflow, plan) {
            plan.waiting.insert((*needs).clone(), reason);
            continue;
        } else {
            packing.promise(needs);
            plan.starting.insert(workflow, None);
        }
        heads.extend(keys.next().map(|next| (*next, place)));
    }
    packing.into_used()
}
