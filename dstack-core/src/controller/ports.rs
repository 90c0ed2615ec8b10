//! What a controller works with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::blob::{BlobStore, OutputStore};
use crate::cloud::CloudProvider;
use crate::host::RunnerHost;
use crate::model::Scope;
use crate::secret::SecretSource;

/// A provider of machines and the way to reach them.
#[derive(Clone)]
pub struct Provider {
    /// Starts, lists and ends machines.
    pub cloud: Arc<dyn CloudProvider>,
    /// Gets work onto them.
    pub host: Arc<dyn RunnerHost>,
    /// How many launches of one scope may be under way at once: what its limiter lets through within a claim's ttl.
    pub launches_at_once: u32,
}

/// Everything that a controller calls, besides the log.
#[derive(Clone)]
pub struct Ports {
    /// Providers by their names, as offerings carry them.
    pub providers: BTreeMap<String, Provider>,
    /// Packed folders and artifacts.
    pub blobs: Arc<dyn BlobStore>,
    /// What attempts print.
    pub outputs: Arc<dyn OutputStore>,
    /// Values of secrets.
    pub secrets: Arc<dyn SecretSource>,
}

impl Ports {
    pub(super) fn of(&self, scope: &Scope) -> Option<&Provider> {
        self.providers.get(&scope.provider)
    }
}

/// How a controller works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Work that another controller made owed is taken over after this long. Zero is right for a controller that knows that
    /// it is the only one; more only saves double work, safety does not depend on it.
    pub patience: Duration,
    /// Longest wait for a launch's answer; after it the outcome is unknown.
    pub launch_timeout: Duration,
    /// Most calls under way at once, besides terminations.
    pub max_in_flight: usize,
    /// Most attempts whose artifacts are brought home at once: each takes disk and processor time for its archive.
    pub max_collects: usize,
    /// Between two looks at a scope.
    pub look_period: Duration,
    /// Between two looks at a scope where a machine starts or stops.
    pub busy_look_period: Duration,
    /// The first wait before a call that failed is tried again; it doubles up to [`Options::max_backoff`].
    pub backoff: Duration,
    /// The longest wait before a call that failed is tried again.
    pub max_backoff: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(60),
            launch_timeout: Duration::from_secs(10),
            max_in_flight: 1_024,
            max_collects: 4,
            look_period: Duration::from_secs(60),
            busy_look_period: Duration::from_secs(5),
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(30),
        }
    }
}
