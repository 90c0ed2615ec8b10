//! When output came: notes beside it, gathered in memory and kept now and then.

use std::collections::BTreeMap;

use dstack_core::blob::{BlobError, TimeNote};
use dstack_core::model::{At, AttemptId};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _, PutPayload};
use tokio::sync::Mutex;

use super::bucket::{Bucket, unreachable};

/// Notes that are gathered before they are kept: those since then are lost with the process, which may be.
const GATHERED_MOST: u32 = 64;
/// Attempts whose notes are in memory.
const ATTEMPTS_MOST: usize = 256;

#[derive(Default)]
struct Noted {
    lengths: BTreeMap<At, u64>,
    gathered: u32,
}

/// The notes of attempts, each one's in an object.
#[derive(Default)]
pub(super) struct Notes {
    noted: Mutex<BTreeMap<AttemptId, Noted>>,
}

impl Notes {
    pub(super) async fn mark(
        &self,
        bucket: &Bucket,
        (attempt, path): (AttemptId, &Path),
        at: At,
        length: u64,
    ) -> Result<(), BlobError> {
        let mut noted = self.noted.lock().await;
        if !noted.contains_key(&attempt) {
            if noted.len() >= ATTEMPTS_MOST {
                noted.pop_first();
            }
            let lengths = load(bucket, path).await?;
            noted.insert(attempt, Noted { lengths, gathered: 0 });
        }
        let notes = noted.entry(attempt).or_default();
        notes.lengths.insert(at, length);
        notes.gathered += 1;
        if notes.gathered >= GATHERED_MOST { save(bucket, path, notes).await } else { Ok(()) }
    }

    pub(super) async fn length_at(
        &self,
        bucket: &Bucket,
        (attempt, path): (AttemptId, &Path),
        at: At,
    ) -> Result<u64, BlobError> {
        let newest = |lengths: &BTreeMap<At, u64>| lengths.range(..=at).next_back().map_or(0, |(_, length)| *length);
        if let Some(notes) = self.noted.lock().await.get(&attempt) {
            return Ok(newest(&notes.lengths));
        }
        Ok(newest(&load(bucket, path).await?))
    }

    /// Keeps what was gathered of an attempt, which has ended.
    pub(super) async fn finish(&self, bucket: &Bucket, (attempt, path): (AttemptId, &Path)) -> Result<(), BlobError> {
        let mut noted = self.noted.lock().await;
        if let Some(notes) = noted.get_mut(&attempt) {
            save(bucket, path, notes).await?;
            noted.remove(&attempt);
        }
        Ok(())
    }
}

async fn save(bucket: &Bucket, path: &Path, notes: &mut Noted) -> Result<(), BlobError> {
    let line = |(at, length): (&At, &u64)| TimeNote { at: *at, length: *length }.to_string();
    let text: String = notes.lengths.iter().map(line).collect();
    bucket.store.put(path, PutPayload::from(text.into_bytes())).await.map_err(unreachable)?;
    notes.gathered = 0;
    Ok(())
}

async fn load(bucket: &Bucket, path: &Path) -> Result<BTreeMap<At, u64>, BlobError> {
    let bytes = match bucket.store.get(path).await {
        Ok(found) => found.bytes().await.map_err(unreachable)?,
        Err(Error::NotFound { .. }) => return Ok(BTreeMap::new()),
        Err(error) => return Err(unreachable(error)),
    };
    Ok(TimeNote::all(&String::from_utf8_lossy(&bytes)).map(|note| (note.at, note.length)).collect())
}
