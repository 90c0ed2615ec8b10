//! Stored bytes in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use super::{BlobError, BlobStore, OutputStore, Payload, blob_id};
use crate::model::{At, AttemptId, BlobId};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blobs that are gone with this value.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<BlobId, Buffer>>);

impl MemoryBlobs {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn put(&self, payload: Payload) -> Result<BlobId, BlobError> {
        let bytes = payload.bytes()?;
        let id = blob_id(&bytes);
        lock(&self.0).entry(id).or_insert(bytes);
        Ok(id)
    }

    async fn get(&self, id: BlobId) -> Result<Payload, BlobError> {
        lock(&self.0).get(&id).cloned().map(Payload::from).ok_or(BlobError::Missing(id))
    }
}

/// Output that is gone with this value.
#[derive(Debug, Default)]
pub struct MemoryOutput(Mutex<BTreeMap<AttemptId, Vec<u8>>>, Mutex<BTreeMap<(AttemptId, At), u64>>);

impl MemoryOutput {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl OutputStore for MemoryOutput {
    async fn write(&self, attempt: AttemptId, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        let mut outputs = lock(&self.0);
        let kept = outputs.get(&attempt).map_or(0, Vec::len);
        let Some(start) = usize::try_from(offset).ok().filter(|start| *start <= kept) else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let output = outputs.entry(attempt).or_default();
        let end = start + bytes.len();
        if output.len() < end {
            output.resize(end, 0);
        }
        output[start..end].copy_from_slice(bytes);
        Ok(())
    }

    async fn length(&self, attempt: AttemptId) -> Result<u64, BlobError> {
        Ok(lock(&self.0).get(&attempt).map_or(0, |output| output.len() as u64))
    }

    async fn mark(&self, attempt: AttemptId, at: At, length: u64) -> Result<(), BlobError> {
        lock(&self.1).insert((attempt, at), length);
        Ok(())
    }

    async fn length_at(&self, attempt: AttemptId, at: At) -> Result<u64, BlobError> {
        let first = (attempt, At::from_micros(i64::MIN));
        Ok(lock(&self.1).range(first..=(attempt, at)).next_back().map_or(0, |(_, length)| *length))
    }

    async fn read(&self, attempt: AttemptId, offset: u64, limit: usize) -> Result<Buffer, BlobError> {
        let outputs = lock(&self.0);
        let output = outputs.get(&attempt).map_or(&[][..], Vec::as_slice);
        let start = usize::try_from(offset).map_or(output.len(), |start| start.min(output.len()));
        let end = start.saturating_add(limit).min(output.len());
        Ok(Buffer::copy_from_slice(&output[start..end]))
    }

    async fn finish(&self, _attempt: AttemptId) -> Result<(), BlobError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::blob::laws::{BlobLaw, OutputLaw};

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("it never waits")
    }

    fn drive_blobs(law: BlobLaw) {
        block_on(law(&MemoryBlobs::new()));
    }

    fn drive_output(law: OutputLaw) {
        block_on(law(&MemoryOutput::new()));
    }

    crate::blob_laws!(drive_blobs);
    crate::output_laws!(drive_output);
}
