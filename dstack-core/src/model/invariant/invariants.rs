//! All invariants, by name.

use super::{attempts, bounded, cap, claims, exclusive, indexes, life, open, queue, room, skips};
use crate::model::State;

/// A law of states: an error says which entity breaks it, and how.
pub type Invariant = fn(&State) -> Result<(), String>;

/// Every law with its name. All but `cap` hold after each record of any log; `cap` holds after each append of a log that
/// was written by `decide` and `schedule`.
pub const INVARIANTS: &[(&str, Invariant)] = &[
    ("cap", cap),
    ("indexes", indexes),
    ("attempts", attempts),
    ("exclusive", exclusive),
    ("room", room),
    ("claims", claims),
    ("life", life),
    ("queue", queue),
    ("skips", skips),
    ("open", open),
    ("bounded", bounded),
];

/// The first law that the state breaks, if it breaks one, with the words for it.
pub fn broken(state: &State) -> Option<(&'static str, String)> {
    INVARIANTS.iter().find_map(|(name, law)| law(state).err().map(|why| (*name, why)))
}
