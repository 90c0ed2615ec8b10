//! Values that workflows get and nobody else sees: the port and its implementations.

#[cfg(feature = "local")]
mod file;
#[cfg(any(test, feature = "testkit"))]
pub mod laws;
mod memory;
mod secret_source;

#[cfg(feature = "local")]
pub use file::SecretFile;
pub use memory::MemorySecrets;
pub use secret_source::{MASKED_BYTES_MIN, Secret, SecretError, SecretSource};
