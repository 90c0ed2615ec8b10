//! What must come before what.

use std::collections::{BTreeMap, BTreeSet};

/// The places in an order in which everything comes after what it depends on, lower places first where that is free.
///
/// # Errors
/// A ring: places of which each depends on the next, and the last on the first.
pub(super) fn order(depends_on: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> = depends_on.iter().map(Vec::len).collect();
    let mut dependants: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, before) in depends_on.iter().enumerate() {
        before.iter().for_each(|dependency| dependants.entry(*dependency).or_default().push(at));
    }
    let mut free: BTreeSet<usize> = (0..depends_on.len()).filter(|at| missing[*at] == 0).collect();
    let mut ordered = Vec::with_capacity(depends_on.len());
    while let Some(at) = free.pop_first() {
        ordered.push(at);
        for dependant in dependants.get(&at).into_iter().flatten() {
            missing[*dependant] -= 1;
            if missing[*dependant] == 0 {
                free.insert(*dependant);
            }
        }
    }
    match (0..depends_on.len()).find(|at| missing[*at] > 0) {
        None => Ok(ordered),
        Some(start) => Err(ring(depends_on, &missing, start)),
    }
}

/// Walks from one unfinished place to the next until one comes again.
fn ring(depends_on: &[Vec<usize>], missing: &[usize], start: usize) -> Vec<usize> {
    let mut way = vec![start];
    let mut seen: BTreeMap<usize, usize> = BTreeMap::from([(start, 0)]);
    let mut at = start;
    while let Some(next) = depends_on[at].iter().copied().find(|next| missing[*next] > 0) {
        if let Some(begin) = seen.get(&next) {
            return way.split_off(*begin);
        }
        seen.insert(next, way.len());
        way.push(next);
        at = next;
    }
    way
}

/// The target and all that it depends on, however far.
pub(super) fn closure(depends_on: &[Vec<usize>], target: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([target]);
    let mut waiting = vec![target];
    while let Some(at) = waiting.pop() {
        waiting.extend(depends_on[at].iter().copied().filter(|next| found.insert(*next)));
    }
    found
}
