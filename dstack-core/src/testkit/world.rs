//! A whole world in memory and virtual time: a log, a cloud, its machines, and any number of controllers.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::executor::{self, Stuck};
use crate::blob::{MemoryBlobs, MemoryOutput};
use crate::client::Client;
use crate::clock::{Clock, VirtualClock};
use crate::cloud::{FakeCloud, builtin_offerings};
use crate::controller::{Controller, Options, Ports, Provider};
use crate::host::FakeHost;
use crate::model::{Command, Name, Offering, Purchase, RunId, Submission, Unfit, WorkflowSpec};
use crate::secret::MemorySecrets;
use crate::store::MemoryStore;

/// How long a world may take to settle, in virtual time.
const MAX_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// Everything that a controller talks to, in memory and from one seed.
pub struct World {
    /// Time.
    pub clock: Arc<VirtualClock>,
    /// The log.
    pub store: Arc<MemoryStore>,
    /// The cloud.
    pub cloud: FakeCloud,
    /// Its machines.
    pub host: FakeHost,
    /// Packed folders and artifacts.
    pub blobs: Arc<MemoryBlobs>,
    /// What attempts printed.
    pub outputs: Arc<MemoryOutput>,
    /// Secret values.
    pub secrets: Arc<MemorySecrets>,
}

impl World {
    /// A world without faults.
    pub fn new(seed: u64) -> Self {
        let clock = Arc::new(VirtualClock::new(seed));
        let cloud = FakeCloud::new(Arc::clone(&clock) as Arc<dyn Clock>, seed.wrapping_add(1));
        Self::around(clock, cloud, seed)
    }

    /// A world around this cloud.
    pub fn around(clock: Arc<VirtualClock>, cloud: FakeCloud, seed: u64) -> Self {
        let host = FakeHost::on(cloud.clone(), Arc::clone(&clock) as Arc<dyn Clock>, seed.wrapping_add(2));
        Self::with_host(clock, cloud, host)
    }

    /// A world around this cloud and these machines.
    pub fn with_host(clock: Arc<VirtualClock>, cloud: FakeCloud, host: FakeHost) -> Self {
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        Self {
            clock,
            store,
            cloud,
            host,
            blobs: Arc::new(MemoryBlobs::default()),
            outputs: Arc::new(MemoryOutput::default()),
            secrets: Arc::new(MemorySecrets::default()),
        }
    }

    /// A view of the log that has read nothing yet.
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _)
    }

    /// Everything a controller calls.
    pub fn ports(&self) -> Ports {
        let provider =
            Provider { cloud: Arc::new(self.cloud.clone()), host: Arc::new(self.host.clone()), launches_at_once: 50 };
        Ports {
            providers: BTreeMap::from([("fake".to_owned(), provider)]),
            blobs: Arc::clone(&self.blobs) as _,
            outputs: Arc::clone(&self.outputs) as _,
            secrets: Arc::clone(&self.secrets) as _,
        }
    }

    /// A controller process of this world.
    pub fn controller(&self, options: Options) -> Controller {
        Controller::new(self.client(), self.ports(), options)
    }

    /// An offering of the cloud's built-in list.
    pub fn offering(instance_type: &str, purchase: Purchase) -> Option<Offering> {
        builtin_offerings()
            .into_iter()
            .find(|offering| offering.instance_type == instance_type && offering.purchase == purchase)
    }

    /// The command that submits these workflows.
    pub fn submission(&self, name: Name, workflows: Vec<WorkflowSpec>) -> (RunId, Command) {
        let run = RunId::from_entropy(self.clock.entropy());
        let submission = Submission { run, name, folder: None, secrets: Vec::new(), workflows, unfit: Unfit::Queue };
        (run, Command::Submit(Box::new(submission)))
    }

    /// Runs work to its end; time passes only when nothing else can happen.
    ///
    /// # Errors
    /// When it can never end, or takes more than a virtual year.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Stuck> {
        executor::run(&self.clock, self.clock.boot().plus(MAX_LIFE), work)
    }
}
