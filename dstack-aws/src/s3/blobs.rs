//! Blobs as objects.

use std::io::{self, BufRead, Read as _, Write as _};

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use dstack_core::blob::{BlobError, BlobStore, Payload, PayloadWriter};
use dstack_core::model::BlobId;
use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{Error, GetResult, MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio::task::spawn_blocking;

use super::bucket::{Bucket, unreachable};

/// A larger blob goes in parts of at least this many bytes.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// S3 takes 10,000 parts.
const PARTS_MOST: u64 = 9_000;

/// Content-addressed bytes in a bucket: `dstack/blobs/HASH`.
#[derive(Clone)]
pub struct S3Blobs {
    pub(super) bucket: Bucket,
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, BlobError> {
    Ok(spawn_blocking(work).await.map_err(unreachable)??)
}

type Reader = Box<dyn BufRead + Send>;

async fn next_part(mut reader: Reader, bytes: usize) -> Result<(Reader, Vec<u8>), BlobError> {
    apart(move || {
        let mut part = Vec::with_capacity(bytes);
        (&mut reader).take(bytes as u64).read_to_end(&mut part)?;
        Ok((reader, part))
    })
    .await
}

/// Gives an upload up because of an error. Parts that stay cost money until a rule of the bucket removes them.
async fn given_up(mut upload: Box<dyn MultipartUpload>, error: BlobError) -> BlobError {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%error, "parts of an upload that was given up may stay in the bucket");
    }
    error
}

impl S3Blobs {
    fn path(&self, id: BlobId) -> Path {
        self.bucket.path(&["blobs", &id.to_string()])
    }

    async fn is_there(&self, path: &Path, length: u64) -> Result<bool, BlobError> {
        match self.bucket.store.head(path).await {
            Ok(facts) => Ok(facts.size == length),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(unreachable(error)),
        }
    }

    /// Sends a large blob part by part; one is in memory at a time. What was not finished is given up, and not stored.
    async fn put_parts(&self, path: &Path, payload: &Payload) -> Result<(), BlobError> {
        let part_bytes = usize::try_from(PART_BYTES.max(payload.len().div_ceil(PARTS_MOST))).map_err(unreachable)?;
        let mut upload = self.bucket.store.put_multipart(path).await.map_err(unreachable)?;
        let mut reader = payload.reader()?;
        loop {
            let (rest, part) = match next_part(reader, part_bytes).await {
                Ok(next) => next,
                Err(error) => return Err(given_up(upload, error).await),
            };
            if part.is_empty() {
                break;
            }
            reader = rest;
            if let Err(error) = upload.put_part(PutPayload::from(part)).await {
                return Err(given_up(upload, unreachable(error)).await);
            }
        }
        upload.complete().await.map_err(unreachable)?;
        Ok(())
    }

    async fn receive(&self, found: GetResult) -> Result<Payload, BlobError> {
        let folder = self.bucket.folder.clone();
        let mut writer = apart(move || {
            std::fs::create_dir_all(&folder)?;
            Ok(PayloadWriter::new(&folder))
        })
        .await?;
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.next().await {
            let piece: Buffer = piece.map_err(unreachable)?;
            writer = apart(move || {
                writer.write_all(&piece)?;
                Ok(writer)
            })
            .await?;
        }
        apart(move || writer.finish()).await
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn put(&self, payload: Payload) -> Result<BlobId, BlobError> {
        let copy = payload.clone();
        let id = apart(move || copy.id()).await?;
        let path = self.path(id);
        if self.is_there(&path, payload.len()).await? {
            return Ok(id);
        }
        match payload.in_memory() {
            Some(bytes) if bytes.len() as u64 <= PART_BYTES => {
                let body = PutPayload::from(bytes.clone());
                self.bucket.store.put(&path, body).await.map_err(unreachable)?;
            }
            _ => self.put_parts(&path, &payload).await?,
        }
        Ok(id)
    }

    async fn get(&self, id: BlobId) -> Result<Payload, BlobError> {
        let found = match self.bucket.store.get(&self.path(id)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Err(BlobError::Missing(id)),
            Err(error) => return Err(unreachable(error)),
        };
        let payload = self.receive(found).await?;
        let copy = payload.clone();
        if apart(move || copy.id()).await? == id { Ok(payload) } else { Err(BlobError::Damaged(id)) }
    }
}
