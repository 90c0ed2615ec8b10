//! The laws of providers, tried on EC2's protocol over real HTTP: an EC2 of one's own on loopback.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dstack_aws::{Access, Ec2, Ec2Options, StoredKeys};
use dstack_core::cloud::laws::{Law, Subject};
use dstack_core::cloud::{CloudError, CloudProvider, Known, LaunchError, Look, Machine, Notice};
use dstack_core::model::{LaunchRequest, LogId, MachineId, Offering, Scope};
use dstack_core::secret::Secret;
use examples::ec2_sandbox::{Machines, Options, Sandbox};

use crate::wire::{REGION, run, user_data};

/// Types that the laws launch; all 1,375 would take minutes.
const TYPES: [&str; 4] = ["m5.xlarge", "m7g.large", "g5.xlarge", "g5g.xlarge"];

/// An account in a sandbox.
pub(crate) struct Account {
    pub(crate) sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self::seeded(0)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        let options = Options {
            seed,
            machines: Machines::Fake,
            boot: Duration::ZERO,
            shutdown: Duration::ZERO,
            has_limits: false,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).expect("a port is free");
        Self { sandbox, folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    /// A bucket that is empty.
    pub(crate) fn make_bucket(&self, name: &str) {
        http(self.sandbox.url(), "PUT", &format!("/{name}"));
    }

    pub(crate) fn ec2(&self) -> Ec2 {
        let keys = StoredKeys::new(self.folder.path().join("credentials"));
        keys.store("AKIA111122223333", &Secret::new("secret".into())).expect("it is a key");
        let access = Access { keys: Some(keys), endpoint: Some(self.sandbox.url().to_owned()), ..Access::default() };
        Ec2::new(Ec2Options::new(
            access,
            REGION,
            self.folder.path().join("cache"),
            Arc::new(|launch, _| user_data(launch)),
        ))
    }
}

/// A request without a body, by hand: what no client of this crate asks for.
pub(crate) fn http(url: &str, method: &str, path: &str) {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let signature = "AWS4-HMAC-SHA256 Credential=AKIA111122223333/20250101/us-east-1/s3/aws4_request";
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {signature}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The provider, with some of its types.
pub(crate) struct Few(pub(crate) Ec2);

#[async_trait]
impl CloudProvider for Few {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        self.0.scope(region).await
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        let types = BTreeSet::from(TYPES);
        let all = self.0.catalogue(region).await?;
        // Without an image it cannot be launched: moto has none for GPUs.
        let is_one = |row: &Offering| types.contains(row.instance_type.as_str()) && !row.image.is_empty();
        Ok(all.into_iter().filter(is_one).collect())
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        self.0.launch(request).await
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        self.0.look(scope, log, known).await
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        self.0.terminate(scope, machines).await
    }

    async fn notice(&self) -> Notice {
        self.0.notice().await
    }
}

#[async_trait]
impl Subject for Account {
    fn cloud(&self) -> Arc<dyn CloudProvider> {
        Arc::new(Few(self.ec2()))
    }

    fn region(&self) -> String {
        REGION.into()
    }

    async fn settle(&self) {
        // Machines of this account start and end at once.
    }
}

fn drive(law: Law) {
    run(law(&Account::new()));
}

dstack_core::cloud_laws!(drive);
