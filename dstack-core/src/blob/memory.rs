//! Not built yet.
pub struct MemoryBlobs;
pub struct MemoryOutput;
