//! A whole fleet: a controller, the provider, and a sandbox whose instances are rows in a list, all in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dstack_aws::{Access, Ec2, Ec2Options, PROVIDER, StoredKeys};
use dstack_core::blob::{MemoryBlobs, MemoryOutput};
use dstack_core::clock::{Clock, VirtualClock};
use dstack_core::cloud::CloudProvider as _;
use dstack_core::host::FakeHost;
use dstack_core::model::{Command, Event, Offering, Purchase, Record, Seq, Submission, Unfit, WorkflowSpec};
use dstack_core::secret::{MemorySecrets, Secret};
use dstack_core::store::{EventStore as _, MemoryStore};
use dstack_core::testkit::executor;
use dstack_core::{Client, Controller, Options, Ports, Provider};
use examples::ec2_sandbox::{Machines, Options as SandboxOptions, Sandbox};

use super::way::Way;
use crate::wire::{REGION, user_data};

/// How long an instance is pending, and shuts down.
pub(super) const BOOT: Duration = Duration::from_secs(30);
const SHUTDOWN: Duration = Duration::from_secs(20);
/// Longest that anything here may take, in virtual time.
const LONGEST: Duration = Duration::from_secs(40 * 3_600);

pub(super) struct Fleet {
    pub(super) clock: Arc<VirtualClock>,
    pub(super) way: Way,
    pub(super) sandbox: Sandbox,
    store: Arc<MemoryStore>,
    ec2: Arc<Ec2>,
    pub(super) host: FakeHost,
    outputs: Arc<MemoryOutput>,
    blobs: Arc<MemoryBlobs>,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Fleet {
    /// An account of EC2 with all its limits, and nothing in it.
    pub(super) fn new() -> Self {
        let clock = Arc::new(VirtualClock::new(1));
        let options = SandboxOptions {
            machines: Machines::Fake,
            boot: BOOT,
            shutdown: SHUTDOWN,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options).expect("a port is free");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let way = Way::new(sandbox.url(), Arc::clone(&clock));
        let keys = StoredKeys::new(folder.path().join("credentials"));
        keys.store("AKIA111122223333", &Secret::new("secret".into())).expect("it is a key");
        let access = Access {
            keys: Some(keys),
            endpoint: Some(sandbox.url().to_owned()),
            http_client: Some(way.http_client()),
            ..Access::default()
        };
        let told = Arc::new(|launch: &_, _: &str| user_data(launch));
        let mut options = Ec2Options::new(access, REGION, folder.path().join("cache"), told);
        options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        Self {
            store: Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            ec2: Arc::new(Ec2::new(options)),
            host: FakeHost::new(Arc::clone(&clock) as Arc<dyn Clock>, 1),
            outputs: Arc::default(),
            blobs: Arc::default(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be made"),
            clock,
            way,
            sandbox,
            _folder: folder,
        }
    }

    /// Runs to the end; time passes only when nothing else can happen.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // The SDK wants timers of tokio. They stand still: its bounds are far above what is tried here.
        let _context = self.runtime.enter();
        executor::run(&self.clock, self.clock.boot().plus(LONGEST), work).expect("it ends")
    }

    pub(super) fn controller(&self) -> Controller {
        let client = Client::new(Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _);
        let (cloud, host) = (Arc::clone(&self.ec2) as _, Arc::new(self.host.clone()) as _);
        let provider = Provider { cloud, host, launches_at_once: Ec2::LAUNCHES_AT_ONCE };
        let ports = Ports {
            providers: BTreeMap::from([(PROVIDER.to_owned(), provider)]),
            blobs: Arc::clone(&self.blobs) as _,
            outputs: Arc::clone(&self.outputs) as _,
            secrets: Arc::new(MemorySecrets::default()),
        };
        Controller::new(client, ports, Options::default())
    }

    fn offering(&self, purchase: Purchase) -> Offering {
        let offerings = self.run(self.ec2.catalogue(REGION)).expect("it is complete");
        let is_it = |row: &Offering| row.instance_type == "m5.xlarge" && row.purchase == purchase;
        offerings.into_iter().find(is_it).expect("it is sold")
    }

    /// Sets the maximum of the one rule.
    pub(super) fn allow(&self, controller: &mut Controller, purchase: Purchase, max: u32) {
        let offering = Box::new(self.offering(purchase));
        self.run(controller.client_mut().command(Command::Allow { offering, max, min: 0 })).expect("it is allowed");
    }

    /// Submits that many workflows, each of which needs a runner alone.
    pub(super) fn submit(&self, controller: &mut Controller, count: u32, command: &str) {
        let spec = |number| WorkflowSpec::script(format!("w{number}").parse().expect("it is a name"), [command]);
        let submission = Submission {
            run: controller.client().mint_run(),
            name: "fleet".parse().expect("it is a name"),
            folder: None,
            secrets: Vec::new(),
            workflows: (0..count).map(spec).collect(),
            unfit: Unfit::Refuse,
        };
        self.run(controller.client_mut().command(Command::Submit(Box::new(submission)))).expect("it is accepted");
    }

    /// Steps until `is_done` says so of the records that there are.
    pub(super) fn until(&self, controller: &mut Controller, mut is_done: impl FnMut(&[Record]) -> bool) {
        self.run(async {
            let mut records = Vec::new();
            loop {
                let step = controller.step().await.expect("the log can be used");
                records.extend(step.records);
                if is_done(&records) {
                    return;
                }
                controller.wait(step.next_wake).await;
            }
        });
    }

    /// Lets that much time pass.
    pub(super) fn live(&self, controller: &mut Controller, length: Duration) {
        let end = self.clock.boot().plus(length);
        self.run(controller.run(self.clock.sleep_until(end))).expect("the log can be used");
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.run(self.store.read(Seq::START, usize::MAX)).expect("the log can be read")
    }
}

/// How many records are of this kind.
pub(super) fn count(records: &[Record], kind: &str) -> usize {
    records.iter().filter(|record| record.event().map(Event::kind) == Some(kind)).count()
}
