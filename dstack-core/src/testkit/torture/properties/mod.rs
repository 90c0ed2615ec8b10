//! What is true of the world and the log together: one file each, for simulations and for tests of one's own.

mod absorbing;
mod acknowledged;
mod cap;
mod foreign;
mod heard;
mod intent;
mod laws;
mod once;
mod one_machine;
mod one_start;
mod order;
mod property;
mod read_only;
mod results;
mod settled;
mod slots;
mod stop;

pub use absorbing::Absorbing;
pub use acknowledged::Acknowledged;
pub use cap::Cap;
pub use foreign::Foreign;
pub use heard::Heard;
pub use intent::Intent;
pub use laws::{Fits, Fold, Laws};
pub use once::Once;
pub use one_machine::OneMachine;
pub use one_start::{Alone, OneStart};
pub use order::Order;
pub use property::{Property, Truth, Verdict};
pub use read_only::ReadOnly;
pub use results::{Output, Results};
pub(super) use settled::left;
pub use settled::{Idle, Settled};
pub use slots::Slots;
pub use stop::Stop;

/// A set of all properties, as a new schedule needs it.
pub fn all() -> Vec<Box<dyn Property>> {
    vec![
        Box::new(Order::default()),
        Box::new(Laws::default()),
        Box::new(Fits),
        Box::new(Cap::default()),
        Box::new(Slots),
        Box::new(OneMachine::default()),
        Box::new(OneStart::default()),
        Box::new(Alone::default()),
        Box::new(Intent::default()),
        Box::new(Results::default()),
        Box::new(Output),
        Box::new(Foreign),
        Box::new(Heard::default()),
        Box::new(Stop::default()),
        Box::new(Once::default()),
        Box::new(Absorbing::default()),
        Box::new(Acknowledged::default()),
        Box::new(ReadOnly),
        Box::new(Fold),
        Box::new(Settled),
        Box::new(Idle),
    ]
}
