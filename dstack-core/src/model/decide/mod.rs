//! What a user may do, its consequences included.

#[expect(clippy::module_inception, reason = "deciding itself is this folder's main thing")]
mod decide;
mod rules;
mod stop;
mod submit;

pub use decide::decide;
pub use rules::{Victim, preview, victims};
