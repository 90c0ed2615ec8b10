//! A bucket, reached with the account's credentials as they are at each request.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dstack_core::blob::BlobError;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
};

use super::{S3Blobs, S3Output};
use crate::ec2::Ec2;
use crate::session::Sessions;

/// Below this everything of dstack is kept.
const PREFIX: &str = "dstack";
/// Longest wait for the answer to one request: a part of a large file is one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest that a request is tried again. All requests here may be repeated.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// A bucket for blobs and output.
#[derive(Clone)]
pub struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Where large objects are laid down while they are read.
    pub(super) folder: PathBuf,
    name: String,
}

struct Current(Arc<Sessions>);

impl std::fmt::Debug for Current {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Current")
    }
}

#[async_trait]
impl CredentialProvider for Current {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |source: String| Error::Generic { store: "S3", source: source.into() };
        let credentials = self.0.credentials().await.map_err(|failure| failed(failure.words))?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}

pub(super) fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BlobError {
    BlobError::Unreachable(error.into())
}

impl Ec2 {
    /// The bucket of this name in a region, with the provider's credentials.
    ///
    /// # Errors
    /// When the name can be none of a bucket.
    pub async fn bucket(&self, region: &str, name: &str) -> Result<Bucket, BlobError> {
        let is_of_names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        if !(3..=63).contains(&name.len()) || !name.bytes().all(is_of_names) {
            return Err(unreachable(format!("{name:?} is no name of a bucket: see `dstack aws configure`")));
        }
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 5, retry_timeout: RETRY_TIMEOUT };
        let options = ClientOptions::new().with_timeout(REQUEST_TIMEOUT);
        let endpoint = self.sessions.endpoint().await;
        let is_plain = endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_region(region)
            .with_credentials(Arc::new(Current(Arc::clone(&self.sessions))))
            .with_retry(retry)
            .with_client_options(options.with_allow_http(is_plain));
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(unreachable)?;
        Ok(Bucket { store: Arc::new(store), folder: self.cache.clone(), name: name.to_owned() })
    }
}

impl Bucket {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Packed folders and artifacts in it.
    pub fn blobs(&self) -> S3Blobs {
        S3Blobs { bucket: self.clone() }
    }

    /// What attempts printed in it.
    pub fn output(&self) -> S3Output {
        S3Output::new(self.clone())
    }

    /// Writes an object, reads it, and removes it.
    ///
    /// # Errors
    /// When one of them is refused, or the bucket is not there.
    pub async fn check(&self) -> Result<(), BlobError> {
        let path = self.path(&["check"]);
        let content = "written by `dstack aws check`, and may be removed";
        self.store.put(&path, PutPayload::from_static(content.as_bytes())).await.map_err(unreachable)?;
        let read = self.store.get(&path).await.map_err(unreachable)?.bytes().await.map_err(unreachable)?;
        self.store.delete(&path).await.map_err(unreachable)?;
        if read == content { Ok(()) } else { Err(unreachable("what was read is not what was written")) }
    }

    pub(super) fn path(&self, parts: &[&str]) -> Path {
        std::iter::once(PREFIX).chain(parts.iter().copied()).collect()
    }
}
