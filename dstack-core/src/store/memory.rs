//! Not built yet.
pub struct MemoryStore;
