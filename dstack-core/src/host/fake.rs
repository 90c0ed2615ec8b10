//! Not built yet.
pub struct FakeHost;
