//! Not built yet.
pub struct ProcessHost;
