//! Not built yet.
pub struct Limited;
