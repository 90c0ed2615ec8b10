//! Blobs and output in a bucket.

mod blobs;
mod bucket;
mod notes;
mod output;

pub use blobs::S3Blobs;
pub use bucket::Bucket;
pub use output::S3Output;
