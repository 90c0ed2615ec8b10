//! Not built yet.
pub struct VirtualClock;
