//! Not built yet.
pub struct LocalCloud;
