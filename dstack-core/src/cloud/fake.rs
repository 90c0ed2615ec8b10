//! Not built yet.
pub struct FakeCloud;
