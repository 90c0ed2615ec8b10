//! Two stores as one: a near one, which answers at once, and a far one, which keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use super::{BlobError, BlobStore, OutputStore, Payload};
use crate::model::{At, AttemptId, BlobId};

/// Blobs up to this many bytes are kept near as well: the project's files are needed by each attempt.
const NEAR_BYTES_MOST: u64 = 16 * 1024 * 1024;
/// Output is carried far in pieces of at least this many bytes while an attempt prints.
const PIECE_BYTES: u64 = 256 * 1024;
/// Output is read in pieces of this many bytes when it is carried far.
const READ_BYTES: usize = 1024 * 1024;

/// Blobs that are kept far, with the small ones near too. What was kept near before there was a far store is found there.
pub struct LayeredBlobs {
    near: Arc<dyn BlobStore>,
    far: Arc<dyn BlobStore>,
}

impl LayeredBlobs {
    /// A near and a far store as one.
    pub fn new(near: Arc<dyn BlobStore>, far: Arc<dyn BlobStore>) -> Self {
        Self { near, far }
    }
}

#[async_trait]
impl BlobStore for LayeredBlobs {
    async fn put(&self, payload: Payload) -> Result<BlobId, BlobError> {
        let id = self.far.put(payload.clone()).await?;
        if payload.len() <= NEAR_BYTES_MOST {
            self.near.put(payload).await?;
        }
        Ok(id)
    }

    async fn get(&self, id: BlobId) -> Result<Payload, BlobError> {
        match self.near.get(id).await {
            Err(BlobError::Missing(_) | BlobError::Damaged(_)) => self.far.get(id).await,
            found => found,
        }
    }
}

/// Output that is read near and kept far: far it lags behind while an attempt prints, and is whole once it has ended.
pub struct LayeredOutput {
    near: Arc<dyn OutputStore>,
    far: Arc<dyn OutputStore>,
    /// How much of the attempts that print now is far, as far as that is known.
    carried: Mutex<BTreeMap<AttemptId, u64>>,
}

impl LayeredOutput {
    /// A near and a far store as one.
    pub fn new(near: Arc<dyn OutputStore>, far: Arc<dyn OutputStore>) -> Self {
        Self { near, far, carried: Mutex::new(BTreeMap::new()) }
    }

    fn known(&self, attempt: AttemptId) -> Option<u64> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).get(&attempt).copied()
    }

    fn know(&self, attempt: AttemptId, length: u64) {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt, length);
    }

    /// Carries everything that is near and not far.
    async fn carry(&self, attempt: AttemptId) -> Result<(), BlobError> {
        let carried = self.far.length(attempt).await?;
        self.know(attempt, copy(&*self.near, &*self.far, attempt, carried).await?);
        Ok(())
    }

    /// Which of the two has more of it.
    async fn fuller(&self, attempt: AttemptId) -> Result<(&dyn OutputStore, u64), BlobError> {
        let near = self.near.length(attempt).await?;
        if near > 0 {
            return Ok((&*self.near, near));
        }
        Ok((&*self.far, self.far.length(attempt).await?))
    }
}

/// Copies an attempt's output from this place on; returns how far it came.
async fn copy(
    from: &dyn OutputStore,
    to: &dyn OutputStore,
    attempt: AttemptId,
    mut length: u64,
) -> Result<u64, BlobError> {
    loop {
        let bytes = from.read(attempt, length, READ_BYTES).await?;
        if bytes.is_empty() {
            return Ok(length);
        }
        to.write(attempt, length, &bytes).await?;
        length += bytes.len() as u64;
    }
}

#[async_trait]
impl OutputStore for LayeredOutput {
    async fn write(&self, attempt: AttemptId, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        if offset > 0 && self.near.length(attempt).await? == 0 {
            // Another machine's controller had brought the beginning home: it is far.
            copy(&*self.far, &*self.near, attempt, 0).await?;
        }
        self.near.write(attempt, offset, bytes).await?;
        let carried = match self.known(attempt) {
            Some(carried) => carried,
            None => {
                let carried = self.far.length(attempt).await?;
                self.know(attempt, carried);
                carried
            }
        };
        if (offset + bytes.len() as u64).saturating_sub(carried) >= PIECE_BYTES {
            self.carry(attempt).await?;
        }
        Ok(())
    }

    async fn length(&self, attempt: AttemptId) -> Result<u64, BlobError> {
        Ok(self.fuller(attempt).await?.1)
    }

    async fn mark(&self, attempt: AttemptId, at: At, length: u64) -> Result<(), BlobError> {
        self.near.mark(attempt, at, length).await
    }

    async fn length_at(&self, attempt: AttemptId, at: At) -> Result<u64, BlobError> {
        self.near.length_at(attempt, at).await
    }

    async fn read(&self, attempt: AttemptId, offset: u64, limit: usize) -> Result<Buffer, BlobError> {
        self.fuller(attempt).await?.0.read(attempt, offset, limit).await
    }

    async fn finish(&self, attempt: AttemptId) -> Result<(), BlobError> {
        self.carry(attempt).await?;
        self.far.finish(attempt).await?;
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
        self.near.finish(attempt).await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::blob::laws::{BlobLaw, OutputLaw};
    use crate::blob::{MemoryBlobs, MemoryOutput};
    use crate::model::{RunId, WorkflowId};

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("memory never waits")
    }

    fn drive_blobs(law: BlobLaw) {
        block_on(law(&LayeredBlobs::new(Arc::new(MemoryBlobs::new()), Arc::new(MemoryBlobs::new()))));
    }

    fn drive_output(law: OutputLaw) {
        block_on(law(&LayeredOutput::new(Arc::new(MemoryOutput::new()), Arc::new(MemoryOutput::new()))));
    }

    crate::blob_laws!(drive_blobs);
    crate::output_laws!(drive_output);

    const ATTEMPT: AttemptId = AttemptId { workflow: WorkflowId { run: RunId::from_bits(1), index: 0 }, number: 1 };

    #[test]
    fn blobs_are_far_and_only_small_ones_are_near_too() {
        let (near, far) = (Arc::new(MemoryBlobs::new()), Arc::new(MemoryBlobs::new()));
        let blobs = LayeredBlobs::new(near.clone(), far.clone());
        let large = vec![7; usize::try_from(NEAR_BYTES_MOST).expect("it fits") + 1];
        let small = block_on(blobs.put(b"small".to_vec().into())).expect("put");
        let large = block_on(blobs.put(large.into())).expect("put");
        let is_there = |store: &MemoryBlobs, id| block_on(store.get(id)).is_ok();
        assert!(is_there(&near, small) && is_there(&far, small));
        assert!(!is_there(&near, large) && is_there(&far, large));
        let before = block_on(near.put(b"kept before".to_vec().into())).expect("put");
        assert_eq!(block_on(blobs.get(before)).expect("found").bytes().expect("memory"), &b"kept before"[..]);
    }

    #[test]
    fn output_is_whole_far_once_it_has_ended_and_is_read_from_there_without_a_near_copy() {
        let (near, far) = (Arc::new(MemoryOutput::new()), Arc::new(MemoryOutput::new()));
        let outputs = LayeredOutput::new(near, far.clone());
        block_on(outputs.write(ATTEMPT, 0, b"hello ")).expect("written");
        assert_eq!(block_on(far.length(ATTEMPT)).expect("told"), 0, "a few bytes are not carried at once");
        block_on(outputs.write(ATTEMPT, 6, b"world")).expect("written");
        block_on(outputs.finish(ATTEMPT)).expect("carried");
        assert_eq!(block_on(far.read(ATTEMPT, 0, 100)).expect("read"), &b"hello world"[..]);

        let elsewhere = LayeredOutput::new(Arc::new(MemoryOutput::new()), far);
        assert_eq!(block_on(elsewhere.read(ATTEMPT, 0, 100)).expect("read"), &b"hello world"[..]);
        block_on(elsewhere.write(ATTEMPT, 11, b"!")).expect("it goes on from there");
        assert_eq!(block_on(elsewhere.read(ATTEMPT, 0, 100)).expect("read"), &b"hello world!"[..]);
    }

    #[test]
    fn much_output_is_carried_while_it_is_printed() {
        let (near, far) = (Arc::new(MemoryOutput::new()), Arc::new(MemoryOutput::new()));
        let outputs = LayeredOutput::new(near, far.clone());
        let piece = vec![b'x'; 100_000];
        for number in 0..10 {
            block_on(outputs.write(ATTEMPT, number * 100_000, &piece)).expect("written");
            let lag = (number + 1) * 100_000 - block_on(far.length(ATTEMPT)).expect("told");
            assert!(lag < PIECE_BYTES, "{lag}");
        }
    }
}
