//! The way to the account's runners.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use dstack_core::host::ssh::SshHost;
use dstack_core::host::{Begun, Closing, Contents, Fetched, Hearing, HostError, Job, Polled, RunnerHost};
use dstack_core::model::{AttemptId, Greeting, Place};
use dstack_core::secret::Secret;

use super::account::Account;

/// The SSH host, made with the first call.
pub(super) struct LazyHost(pub(super) Arc<Account>);

impl LazyHost {
    async fn host(&self) -> Result<Arc<SshHost>, HostError> {
        self.0.host().await.map_err(HostError::Unreachable)
    }
}

#[async_trait]
impl RunnerHost for LazyHost {
    async fn greet(&self, place: &Place) -> Result<Greeting, HostError> {
        self.host().await?.greet(place).await
    }

    async fn stage(&self, place: &Place, attempt: AttemptId, contents: &Contents) -> Result<(), HostError> {
        self.host().await?.stage(place, attempt, contents).await
    }

    async fn start(
        &self,
        place: &Place,
        attempt: AttemptId,
        job: &Job,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Begun, HostError> {
        self.host().await?.start(place, attempt, job, secrets).await
    }

    async fn poll(&self, place: &Place, attempts: &[(AttemptId, u64)]) -> Result<Vec<Polled>, HostError> {
        self.host().await?.poll(place, attempts).await
    }

    async fn close(&self, place: &Place, attempt: AttemptId, closing: Closing) -> Result<(), HostError> {
        self.host().await?.close(place, attempt, closing).await
    }

    async fn fetch(&self, place: &Place, attempt: AttemptId, path: &str) -> Result<Fetched, HostError> {
        self.host().await?.fetch(place, attempt, path).await
    }

    async fn release(&self, place: &Place, attempt: AttemptId) -> Result<(), HostError> {
        self.host().await?.release(place, attempt).await
    }

    async fn wait(&self, place: &Place) -> Result<(), HostError> {
        self.host().await?.wait(place).await
    }

    async fn listen(&self, place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError> {
        self.host().await?.listen(place, last).await
    }
}
