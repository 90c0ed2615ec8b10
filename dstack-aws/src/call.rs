//! One call: its turn, its send, and what its failure means.

use std::error::Error;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dstack_core::cloud::{SendPermit, Turns};

use crate::api::Api;
use crate::failure::{Class, Failure};

/// How often a call that only reads is made before its failure counts.
const READS_MOST: u32 = 3;

/// Makes calls of one account in one region, never faster than their limits.
#[derive(Clone)]
pub(crate) struct Calls {
    turns: Arc<Turns<(String, String, Api)>>,
    account: String,
    region: String,
}

impl Calls {
    pub(crate) fn new(turns: Arc<Turns<(String, String, Api)>>, account: String, region: String) -> Self {
        Self { turns, account, region }
    }

    fn key(&self, api: Api) -> (String, String, Api) {
        (self.account.clone(), self.region.clone(), api)
    }

    /// Makes the call once. What sends it is boxed at once: the SDK's futures are large, and callers hold several.
    pub(crate) fn make<T, E, F>(&self, api: Api, send: F) -> impl Future<Output = Result<T, Failure>>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let send = Box::pin(send);
        async move {
            self.turns.pass(&self.key(api), api.rate()).await;
            self.make_now(api, send).await
        }
    }

    /// Waits for the call's turn; says no when the permit ends first.
    pub(crate) async fn turn_with(&self, api: Api, permit: &SendPermit) -> bool {
        self.turns.pass_with(&self.key(api), api.rate(), permit).await
    }

    /// Makes the call once, in a turn that was waited for.
    pub(crate) fn make_now<T, E, F>(&self, api: Api, send: F) -> impl Future<Output = Result<T, Failure>>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let send = Box::pin(send);
        async move {
            let key = self.key(api);
            let answer = send.await.map_err(|error| Failure::of(api, &error));
            match &answer {
                Ok(_) => tracing::debug!(api = api.name(), region = self.region, "answered"),
                Err(failure) => {
                    tracing::debug!(api = api.name(), region = self.region, class = ?failure.class, %failure, "failed");
                    if failure.class == Class::Throttled {
                        self.turns.slow_down(&key, api.rate());
                    }
                }
            }
            answer
        }
    }

    /// Makes a call that only reads, again if it was throttled or got no answer: the bucket keeps the tries apart.
    pub(crate) async fn read<T, E, F>(&self, api: Api, send: impl Fn() -> F) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut tries = 1;
        loop {
            match self.make(api, send()).await {
                Err(failure) if tries < READS_MOST && matches!(failure.class, Class::Throttled | Class::Unknown) => {
                    self.turns.slow_down(&self.key(api), api.rate());
                    tries += 1;
                }
                other => return other,
            }
        }
    }
}
