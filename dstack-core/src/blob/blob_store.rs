//! The ports to stored bytes.

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use sha2::{Digest, Sha256};

use super::Payload;
use crate::model::{At, AttemptId, BlobId};

/// Why stored bytes cannot be had or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There is no such blob.
    #[error("blob {0} is not in the store")]
    Missing(BlobId),
    /// The stored bytes are not those that were put.
    #[error("blob {0} is damaged: its bytes do not have this hash")]
    Damaged(BlobId),
    /// The store does not answer or refuses.
    #[error("stored files cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> Self {
        Self::Unreachable(error.into())
    }
}

/// The address of these bytes: their SHA-256.
pub fn blob_id(bytes: &[u8]) -> BlobId {
    BlobId(Sha256::digest(bytes).into())
}

/// Content-addressed bytes.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Keeps the bytes; when it returns, they survive a power cut. Putting the same bytes again costs nothing.
    async fn put(&self, payload: Payload) -> Result<BlobId, BlobError>;

    /// The bytes, checked against their hash.
    async fn get(&self, id: BlobId) -> Result<Payload, BlobError>;
}

/// What attempts printed, by offset.
#[async_trait]
pub trait OutputStore: Send + Sync {
    /// Keeps output from `offset` on. Writing the same bytes again, or out of order, is harmless.
    async fn write(&self, attempt: AttemptId, offset: u64, bytes: &[u8]) -> Result<(), BlobError>;

    /// How many bytes of the attempt are kept, from the beginning and without a hole.
    async fn length(&self, attempt: AttemptId) -> Result<u64, BlobError>;

    /// Notes that so many bytes of the attempt had come by this moment of the log. Noted in the order of time; one may be
    /// lost.
    async fn mark(&self, attempt: AttemptId, at: At, length: u64) -> Result<(), BlobError>;

    /// How many bytes had come by this moment, as far as it was noted: the newest note up to then, else none.
    async fn length_at(&self, attempt: AttemptId, at: At) -> Result<u64, BlobError>;

    /// Up to `limit` bytes from `offset` on; none at the end or for an attempt that printed nothing.
    async fn read(&self, attempt: AttemptId, offset: u64, limit: usize) -> Result<Buffer, BlobError>;

    /// All output of the attempt was written: it is to be where it stays before its end is told.
    async fn finish(&self, attempt: AttemptId) -> Result<(), BlobError>;
}
