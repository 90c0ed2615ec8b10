//! Output as objects of a fixed size.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use dstack_core::blob::{BlobError, OutputStore};
use dstack_core::model::{At, AttemptId};
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion};
use tokio::sync::Mutex;

use super::bucket::{Bucket, unreachable};
use super::notes::Notes;

/// Bytes of an object; the last one of an attempt is shorter, and is written anew as output comes.
const PIECE: u64 = 256 * 1024;
/// Attempts whose last object is remembered.
const TAILS_MOST: usize = 256;
/// How often a write gives way to another controller's before it is an error.
const TRIES_MOST: u32 = 20;

/// What attempts printed, in a bucket: `dstack/output/RUN/INDEX-NUMBER/PIECE`.
/// When it came is beside it, in `times`.
///
/// A piece only ever becomes longer: it is written on the condition that it is still as it was read, so controllers that
/// write at the same time cannot shorten each other's.
pub struct S3Output {
    bucket: Bucket,
    tails: Mutex<BTreeMap<AttemptId, Tail>>,
    notes: Notes,
}

/// A piece as it is in the bucket.
#[derive(Clone)]
struct Tail {
    piece: u64,
    bytes: Buffer,
    /// None where it is not there yet.
    version: Option<UpdateVersion>,
}

impl S3Output {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self { bucket, tails: Mutex::new(BTreeMap::new()), notes: Notes::default() }
    }

    fn folder(&self, attempt: AttemptId) -> Path {
        let AttemptId { workflow, number } = attempt;
        self.bucket.path(&["output", &workflow.run.to_string(), &format!("{}-{number}", workflow.index)])
    }

    fn path(&self, attempt: AttemptId, piece: u64) -> Path {
        self.folder(attempt).join(format!("{piece:010}"))
    }

    /// The object with the notes: no piece has such a name.
    fn times(&self, attempt: AttemptId) -> Path {
        self.folder(attempt).join("times")
    }

    async fn load(&self, attempt: AttemptId, piece: u64) -> Result<Tail, BlobError> {
        match self.bucket.store.get(&self.path(attempt, piece)).await {
            Ok(found) => {
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: None };
                let bytes = found.bytes().await.map_err(unreachable)?;
                Ok(Tail { piece, bytes, version: Some(version) })
            }
            Err(Error::NotFound { .. }) => Ok(Tail { piece, bytes: Buffer::new(), version: None }),
            Err(error) => Err(unreachable(error)),
        }
    }

    /// Lengthens one piece by what continues it. Says whether the piece has the byte before `end` now.
    async fn lengthen(&self, attempt: AttemptId, piece: u64, start: u64, bytes: &[u8]) -> Result<bool, BlobError> {
        let remembered = self.tails.lock().await.get(&attempt).filter(|tail| tail.piece == piece).cloned();
        let mut tail = match remembered {
            Some(tail) => tail,
            None => self.load(attempt, piece).await?,
        };
        for _ in 0..TRIES_MOST {
            let kept = tail.bytes.len() as u64;
            let end = start + bytes.len() as u64;
            if kept < start || kept >= end {
                self.remember(attempt, tail).await;
                return Ok(kept >= end);
            }
            let rest = usize::try_from(kept - start).unwrap_or(usize::MAX);
            let content = Buffer::from([&tail.bytes[..], &bytes[rest.min(bytes.len())..]].concat());
            let mode = tail.version.clone().map_or(PutMode::Create, PutMode::Update);
            let body = PutPayload::from(content.clone());
            let options = PutOptions { mode, ..PutOptions::default() };
            match self.bucket.store.put_opts(&self.path(attempt, piece), body, options).await {
                Ok(done) => {
                    let version = Some(UpdateVersion { e_tag: done.e_tag, version: None });
                    self.remember(attempt, Tail { piece, bytes: content, version }).await;
                    return Ok(true);
                }
                // Another controller was faster, or an answer was lost: what is there now decides.
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotFound { .. }) => {
                    tail = self.load(attempt, piece).await?;
                }
                Err(error) => return Err(unreachable(error)),
            }
        }
        Err(unreachable("another controller writes the same output all the time"))
    }

    async fn remember(&self, attempt: AttemptId, tail: Tail) {
        let mut tails = self.tails.lock().await;
        if tails.len() >= TAILS_MOST && !tails.contains_key(&attempt) {
            tails.pop_first();
        }
        tails.insert(attempt, tail);
    }
}

#[async_trait]
impl OutputStore for S3Output {
    async fn write(&self, attempt: AttemptId, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        let mut place = offset;
        let mut rest = bytes;
        if offset.is_multiple_of(PIECE)
            && offset > 0
            && !rest.is_empty()
            && !is_full(&self.load(attempt, offset / PIECE - 1).await?)
        {
            return Ok(());
        }
        while !rest.is_empty() {
            let room = usize::try_from(PIECE - place % PIECE).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(room));
            // What comes before its time is not taken: its writer asks for the length and sends it again.
            if !self.lengthen(attempt, place / PIECE, place % PIECE, now).await? {
                return Ok(());
            }
            place += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    async fn length(&self, attempt: AttemptId) -> Result<u64, BlobError> {
        let folder = self.folder(attempt);
        let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
        let mut objects = self.bucket.store.list(Some(&folder));
        while let Some(object) = objects.try_next().await.map_err(unreachable)? {
            if let Some(piece) = object.location.filename().and_then(|name| name.parse().ok()) {
                sizes.insert(piece, object.size);
            }
        }
        let mut length = 0;
        for (expected, (piece, size)) in (0..).zip(sizes) {
            if piece != expected {
                break;
            }
            length += size;
            if size < PIECE {
                break;
            }
        }
        Ok(length)
    }

    async fn mark(&self, attempt: AttemptId, at: At, length: u64) -> Result<(), BlobError> {
        self.notes.mark(&self.bucket, (attempt, &self.times(attempt)), at, length).await
    }

    async fn length_at(&self, attempt: AttemptId, at: At) -> Result<u64, BlobError> {
        self.notes.length_at(&self.bucket, (attempt, &self.times(attempt)), at).await
    }

    async fn finish(&self, attempt: AttemptId) -> Result<(), BlobError> {
        self.tails.lock().await.remove(&attempt);
        self.notes.finish(&self.bucket, (attempt, &self.times(attempt))).await
    }

    async fn read(&self, attempt: AttemptId, offset: u64, limit: usize) -> Result<Buffer, BlobError> {
        let mut read = Vec::new();
        let mut place = offset;
        while read.len() < limit {
            let tail = self.load(attempt, place / PIECE).await?;
            let start = usize::try_from(place % PIECE).unwrap_or(usize::MAX);
            let piece = tail.bytes.get(start..).unwrap_or_default();
            let now = &piece[..piece.len().min(limit - read.len())];
            if now.is_empty() {
                break;
            }
            read.extend_from_slice(now);
            place += now.len() as u64;
            if !place.is_multiple_of(PIECE) {
                break;
            }
        }
        Ok(read.into())
    }
}

fn is_full(tail: &Tail) -> bool {
    tail.bytes.len() as u64 == PIECE
}
