//! Indexes say what they index.

use crate::model::State;

/// A state equals itself with its indexes made anew.
///
/// # Errors
/// Names the index that differs.
pub fn indexes(state: &State) -> Result<(), String> {
    let rebuilt = state.clone().rebuild_indexes();
    if rebuilt == *state {
        return Ok(());
    }
    let same = [
        ("queue", rebuilt.queue == state.queue),
        ("rooms", rebuilt.rooms == state.rooms),
        ("live", rebuilt.live == state.live),
        ("held", rebuilt.held_workflows == state.held_workflows),
        ("peopled", rebuilt.peopled == state.peopled),
        ("starting", rebuilt.starting == state.starting),
        ("idle", rebuilt.idle == state.idle),
        ("pools", rebuilt.pools == state.pools),
        ("names", rebuilt.names == state.names),
        ("order", rebuilt.order == state.order),
        ("exclusive", rebuilt.exclusive == state.exclusive),
        ("warm", rebuilt.warm == state.warm),
        ("skips", rebuilt.skips == state.skips),
        ("open_runs", rebuilt.open_runs == state.open_runs),
    ];
    let different: Vec<_> = same.iter().filter(|(_, is_same)| !is_same).map(|(name, _)| *name).collect();
    Err(format!("these indexes differ from what they index: {}", different.join(", ")))
}
