//! The front door: one value that holds a log, its providers and a controller.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blob::{BlobStore, OutputStore};
use crate::client::{Client, ClientError};
use crate::clock::{Boot, Clock};
use crate::cloud::{CloudError, CloudProvider};
use crate::controller::{Controller, ControllerError, Options, Ports, Provider, Step};
use crate::host::RunnerHost;
use crate::model::{Command, Name, Offering, Purchase, RuleFilter, RunId, State, Submission, Unfit, WorkflowSpec};
use crate::secret::SecretSource;
use crate::store::EventStore;

/// Launches of one scope that may be under way at once, unless a provider is registered with another number.
const LAUNCHES_AT_ONCE: u32 = 50;

/// Why something that was asked of [`Dstack`] did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DstackError {
    /// It was rejected, or the log cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The log cannot be used.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The provider did not answer, or refuses.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// No provider of this name was registered.
    #[error("no provider is named {0}: register it first")]
    NoProvider(String),
    /// The provider sells no such offering.
    #[error("{provider} has no {purchase} {instance_type} in {region}")]
    NoOffering {
        /// The provider.
        provider: String,
        /// Its region.
        region: String,
        /// The type that was asked for.
        instance_type: String,
        /// How it was to be bought.
        purchase: Purchase,
    },
}

/// Runners on demand for one log: what an embedding program holds.
///
/// The example of [the crate](crate) shows the whole loop.
#[derive(Debug)]
pub struct Dstack {
    controller: Controller,
}

impl Dstack {
    /// Takes a log and the stores beside it. Providers are added with [`Dstack::provider`].
    pub fn new(
        store: Arc<dyn EventStore>,
        clock: Arc<dyn Clock>,
        blobs: Arc<dyn BlobStore>,
        outputs: Arc<dyn OutputStore>,
        secrets: Arc<dyn SecretSource>,
    ) -> Self {
        let ports = Ports { providers: BTreeMap::new(), blobs, outputs, secrets };
        Self { controller: Controller::new(Client::new(store, clock), ports, Options::default()) }
    }

    /// Registers a cloud with the host that reaches its machines, under the name that its offerings carry.
    #[must_use]
    pub fn provider(mut self, name: &str, cloud: Arc<dyn CloudProvider>, host: Arc<dyn RunnerHost>) -> Self {
        let provider = Provider { cloud, host, launches_at_once: LAUNCHES_AT_ONCE };
        self.controller.ports_mut().providers.insert(name.to_owned(), provider);
        self
    }

    /// Allows an offering, or changes its maximum; a surplus is shut down in the same append.
    ///
    /// # Errors
    /// When there is no such provider or offering, or the log cannot be used.
    pub async fn allow(
        &mut self,
        (provider, region, instance_type): (&str, &str, &str),
        purchase: Purchase,
        max: u32,
    ) -> Result<(), DstackError> {
        let offering = self.offering((provider, region, instance_type), purchase).await?;
        self.command(Command::Allow { offering: Box::new(offering), max, min: 0 }).await
    }

    /// The offering as the provider's catalogue has it now.
    ///
    /// # Errors
    /// When there is no such provider or offering.
    pub async fn offering(
        &self,
        (provider, region, instance_type): (&str, &str, &str),
        purchase: Purchase,
    ) -> Result<Offering, DstackError> {
        let known = self.controller.ports().providers.get(provider);
        let known = known.ok_or_else(|| DstackError::NoProvider(provider.to_owned()))?;
        let catalogue = known.cloud.catalogue(region).await?;
        let wanted = |offering: &Offering| offering.instance_type == instance_type && offering.purchase == purchase;
        catalogue.into_iter().find(wanted).ok_or_else(|| DstackError::NoOffering {
            provider: provider.to_owned(),
            region: region.to_owned(),
            instance_type: instance_type.to_owned(),
            purchase,
        })
    }

    /// Takes rules away; their runners are shut down in the same append.
    ///
    /// # Errors
    /// When no rule matches, or the log cannot be used.
    pub async fn remove(&mut self, filter: RuleFilter) -> Result<(), DstackError> {
        self.command(Command::Remove(filter)).await
    }

    /// Submits workflows as one run. A workflow that no rule could ever start is refused, and the others with it.
    ///
    /// # Errors
    /// When the submission is rejected, or the log cannot be used.
    pub async fn submit(
        &mut self,
        name: Name,
        workflows: impl IntoIterator<Item = WorkflowSpec>,
    ) -> Result<RunId, DstackError> {
        let run = self.controller.client().mint_run();
        let workflows = workflows.into_iter().collect();
        let submission = Submission { run, name, folder: None, secrets: Vec::new(), workflows, unfit: Unfit::Refuse };
        self.command(Command::Submit(Box::new(submission))).await?;
        Ok(run)
    }

    /// Stops all workflows of a run: they are asked first, and killed after the grace of the settings.
    ///
    /// # Errors
    /// When there is no such run, it is over, or the log cannot be used.
    pub async fn stop(&mut self, run: RunId) -> Result<(), DstackError> {
        self.command(Command::Stop { run, workflow: None, abort: false }).await
    }

    /// Anything else that a user may ask.
    ///
    /// # Errors
    /// When it is rejected, or the log cannot be used.
    pub async fn command(&mut self, command: Command) -> Result<(), DstackError> {
        self.controller.client_mut().command(command).await?;
        Ok(())
    }

    /// The state as of the newest record that was read.
    pub const fn state(&self) -> &State {
        self.controller.client().state()
    }

    /// Takes in what was seen, decides, records, and starts what is owed: see [`Controller::step`].
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn step(&mut self) -> Result<Step, DstackError> {
        Ok(self.controller.step().await?)
    }

    /// Returns when another step may find something to do; `wake` is the last step's `next_wake`.
    pub async fn wait(&mut self, wake: Option<Boot>) {
        self.controller.wait(wake).await;
    }

    /// Steps and waits until nothing runs, no machine may be alive, and nothing waits that could start.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn run_until_idle(&mut self) -> Result<(), DstackError> {
        Ok(self.controller.run_until_idle().await?)
    }
}
