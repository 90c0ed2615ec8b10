//! What is always true of a state: written once; property tests, simulations and `dstack check` use the same functions.

mod attempts;
mod bounded;
mod cap;
mod claims;
mod exclusive;
mod indexes;
mod invariants;
mod life;
mod open;
mod queue;
mod room;
mod skips;

pub use attempts::attempts;
pub use bounded::bounded;
pub use cap::cap;
pub use claims::claims;
pub use exclusive::exclusive;
pub use indexes::indexes;
pub use invariants::{INVARIANTS, Invariant, broken};
pub use life::life;
pub use open::open;
pub use queue::queue;
pub use room::room;
pub use skips::skips;
