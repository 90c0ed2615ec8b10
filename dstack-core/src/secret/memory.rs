//! Not built yet.
pub struct MemorySecrets;
