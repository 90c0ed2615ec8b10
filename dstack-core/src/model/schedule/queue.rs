//! The walk through the queue: priority, then submission, a whole shape closed at the first that finds no place.

use std::collections::{BTreeMap, BTreeSet, btree_set};

use super::launch::Launches;
use super::pack::{Cursor, Packing, Pools};
use crate::model::plan::LaunchReason;
use crate::model::state::{Head, MAX_OVERTAKINGS, QueueKey, Shape};
use crate::model::{AttemptId, Item, Plan, RunnerId, State, Tick, WaitReason, Waiting, WorkflowId};
use crate::planted::{self, Bug};

/// One shape in the walk.
struct Turn<'a> {
    shape: &'a Shape,
    /// Those behind its first, once that is placed.
    rest: Option<btree_set::Iter<'a, QueueKey>>,
    /// How often the first was overtaken; of others the state knows.
    overtaken: Option<u32>,
    cursor: Cursor<'a>,
}

/// Places what can be placed; returns the runners that work was given to or that are kept, and the pools as that leaves them.
pub(super) fn walk<'a>(
    state: &'a State,
    tick: &'a Tick,
    stopping: &BTreeSet<RunnerId>,
    launches: &mut Launches<'a>,
    plan: &mut Plan,
) -> (BTreeSet<RunnerId>, Pools<'a>) {
    let mut packing = Packing::new(state, &tick.suspects, stopping);
    let mut reasons = Vec::new();
    let mut firsts = state.queue().heads().peekable();
    // Shapes of which the first is placed, at the one that is first now.
    let mut others: BTreeMap<QueueKey, Turn<'a>> = BTreeMap::new();
    loop {
        let is_other = match (firsts.peek(), others.first_key_value()) {
            (Some((first, _)), Some((other, _))) => other < *first,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => break,
        };
        let next = if is_other {
            others.pop_first()
        } else {
            let turn = |head: &'a Head| Turn {
                shape: &head.shape,
                rest: None,
                overtaken: Some(head.overtaken),
                cursor: Cursor::default(),
            };
            firsts.next().map(|(key, head)| (*key, turn(head)))
        };
        let Some((key, mut turn)) = next else { break };
        match take_turn(state, &mut packing, launches, &mut turn, key.workflow, plan) {
            Ok(()) => {
                let rest = turn.rest.get_or_insert_with(|| state.queue().behind_first(turn.shape));
                turn.overtaken = None;
                if let Some(next) = rest.next() {
                    others.insert(*next, turn);
                }
            }
            Err(reason) => reasons.push((turn.shape.needs.clone(), reason)),
        }
    }
    plan.waiting = Waiting::new(reasons);
    let (used, kept, pools) = packing.into_parts();
    plan.kept = kept;
    (used, pools)
}

/// A running runner with room, else one that is starting, else a new one; else the reason. Who was overtaken too often is kept a
/// runner where nothing is being started for it, or only what may well never come. Those behind it of its shape need the same, and find the same.
fn take_turn<'a>(
    state: &'a State,
    packing: &mut Packing<'a>,
    launches: &mut Launches<'a>,
    turn: &mut Turn<'a>,
    workflow: WorkflowId,
    plan: &mut Plan,
) -> Result<(), WaitReason> {
    let shape = turn.shape;
    if let Some((runner, why)) = packing.place(shape, &mut turn.cursor) {
        let number = state.workflow(workflow).map_or(0, |workflow| workflow.attempt) + 1;
        let number = if planted::is(Bug::AttemptReused) { 1 } else { number };
        plan.items.push(Item::Assign { attempt: AttemptId { workflow, number }, runner, why });
        return Ok(());
    }
    let known = || state.workflow(workflow).map_or(0, |known| known.overtaken);
    let overtaken = turn.overtaken;
    let is_impatient = || overtaken.unwrap_or_else(known) >= MAX_OVERTAKINGS;
    let promised = packing.promise(shape, &mut turn.cursor);
    let launched = match promised {
        Some(_) => Ok(()),
        None => launches.launch(packing, shape, LaunchReason::For(workflow), plan),
    };
    match launched {
        Ok(()) => {
            let promised = promised.or_else(|| packing.promise(shape, &mut turn.cursor));
            // Else a launch that fails again and again would give away what was kept for it, each time.
            if promised.is_some_and(|promised| promised.is_doubtful) && is_impatient() && launches.has_live(shape) {
                packing.keep(shape, workflow);
            }
            plan.starting.insert(workflow, promised.and_then(|promised| promised.runner));
            Ok(())
        }
        Err(reason) => {
            if is_impatient()
                && launches.has_live(shape)
                && let Some(runner) = packing.keep(shape, workflow)
            {
                return Err(WaitReason::Kept(runner));
            }
            Err(packing.withheld(shape).map_or(reason, WaitReason::KeptForEarlier))
        }
    }
}
