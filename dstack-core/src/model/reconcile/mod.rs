//! Facts: what the cloud and the runners say, against what the log says.

mod attempts;
mod launches;
mod machines;
mod observation;
mod prices;
#[expect(clippy::module_inception, reason = "reconciling itself is this folder's main thing")]
mod reconcile;
mod sightings;

pub use machines::unknown_machines;
pub use observation::{Greeting, Observation};
pub use reconcile::reconcile;
pub use sightings::{Sighting, Sightings};
