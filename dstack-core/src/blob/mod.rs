//! Bytes that outlive runners: the ports, their laws, and their implementations.
//!
//! Blobs are content-addressed: packed folders, artifacts and their lists. Output is what attempts printed, by offset.

mod blob_store;
#[cfg(feature = "local")]
mod folder;
#[cfg(any(test, feature = "testkit"))]
pub mod laws;
mod layered;
mod manifest;
mod memory;
mod payload;
mod time_note;

pub use blob_store::{BlobError, BlobStore, OutputStore, blob_id};
#[cfg(feature = "local")]
pub use folder::{BlobFolder, OutputFolder};
pub use layered::{LayeredBlobs, LayeredOutput};
pub use manifest::{Manifest, ManifestEntry};
pub use memory::{MemoryBlobs, MemoryOutput};
pub use payload::{Payload, PayloadWriter};
pub use time_note::TimeNote;
