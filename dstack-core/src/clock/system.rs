//! Not built yet.
pub struct SystemClock;
