//! Reference scenarios, each told with faults at any of its boundaries: every append, call and wait of a controller.

mod life;
mod point;
mod ports;
mod stories;
mod story;

pub use life::{Told, tell};
pub use point::{Boundary, Fault, PAUSE, Point, Points};
pub use stories::stories;
pub use story::{End, Story};
