//! Cases from the field that the provider and a controller settle between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dstack_aws::{Ec2, PROVIDER};
use dstack_core::blob::{MemoryBlobs, MemoryOutput};
use dstack_core::clock::Clock as _;
use dstack_core::cloud::CloudProvider as _;
use dstack_core::host::FakeHost;
use dstack_core::model::{Command, Offering, Purchase, Submission, Unfit, WorkflowSpec};
use dstack_core::secret::MemorySecrets;
use dstack_core::store::MemoryStore;
use dstack_core::testkit::executor;
use dstack_core::{Client, Controller, Options, Ports, Provider};

use crate::catalogues::{answer_images, info, types, zones};
use crate::wire::{Bench, REGION, error};

/// A controller as a process of its own, on this log.
fn controller(bench: &Bench, store: &MemoryStore) -> Controller {
    let host = Arc::new(FakeHost::new(bench.clock.clone(), 1));
    let provider = Provider { cloud: Arc::clone(&bench.ec2) as _, host, launches_at_once: Ec2::LAUNCHES_AT_ONCE };
    let ports = Ports {
        providers: BTreeMap::from([(PROVIDER.to_owned(), provider)]),
        blobs: Arc::new(MemoryBlobs::default()),
        outputs: Arc::new(MemoryOutput::default()),
        secrets: Arc::new(MemorySecrets::default()),
    };
    let store = Arc::new(store.handle(bench.clock.clone()));
    Controller::new(Client::new(store, bench.clock.clone()), ports, Options::default())
}

async fn submit(controller: &mut Controller, name: &str) {
    let submission = Submission {
        run: controller.client().mint_run(),
        name: name.parse().expect("it is a name"),
        folder: None,
        secrets: Vec::new(),
        workflows: vec![WorkflowSpec::script("w".parse().expect("it is a name"), ["sleep 9000"])],
        unfit: Unfit::Refuse,
    };
    controller.client_mut().command(Command::Submit(Box::new(submission))).await.expect("it is accepted");
}

/// Steps until so many launches were sent.
async fn until_sent(bench: &Bench, controller: &mut Controller, count: usize) {
    while bench.wire.sent("RunInstances").len() < count {
        let step = controller.step().await.expect("the log can be used");
        controller.wait(step.next_wake).await;
    }
}

/// The catalogue names a zone that does not have the type after all: the next zone is asked at once, and that one never
/// again, by later processes neither.
#[test]
fn case_12_a_zone_that_turns_out_to_be_without_the_type_is_never_asked_again() {
    let bench = Bench::new();
    bench.wire.answer("DescribeInstanceTypes", 200, types(&[info("m7a.4xlarge", "x86_64", &["on-demand"], "")]));
    let rows = [("m7a.4xlarge", "us-east-1a"), ("m7a.4xlarge", "us-east-1b")];
    bench.wire.answer("DescribeInstanceTypeOfferings", 200, zones(&rows));
    answer_images(&bench);
    let refusal = error("Unsupported", "Your requested instance type (m7a.4xlarge) is not supported in us-east-1a");
    bench.wire.answer("RunInstances", 400, refusal);
    let store = MemoryStore::new(bench.clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be made");
    let _context = runtime.enter();
    let subnets = || {
        bench
            .wire
            .sent("RunInstances")
            .iter()
            .map(|sent| sent["NetworkInterface.1.SubnetId"].clone())
            .collect::<Vec<_>>()
    };
    let work = async {
        let offerings: Vec<Offering> = bench.ec2.catalogue(REGION).await.expect("it is complete");
        let offering = offerings.into_iter().find(|row| row.purchase == Purchase::OnDemand).expect("it is sold");
        let mut first = controller(&bench, &store);
        let allow = Command::Allow { offering: Box::new(offering), max: 3, min: 0 };
        first.client_mut().command(allow).await.expect("it is allowed");
        submit(&mut first, "one").await;
        until_sent(&bench, &mut first, 1).await;
        let refused = bench.clock.boot();
        until_sent(&bench, &mut first, 2).await;
        assert_eq!(bench.clock.boot(), refused, "no time passes before the next zone is asked");
        drop(first);
        bench.clock.advance(Duration::from_secs(24 * 3_600));
        let mut second = controller(&bench, &store);
        submit(&mut second, "two").await;
        until_sent(&bench, &mut second, 3).await;
    };
    let deadline = bench.clock.boot().plus(Duration::from_secs(48 * 3_600));
    executor::run(&bench.clock, deadline, work).expect("it ends");
    let subnets = subnets();
    assert_eq!(subnets[0], "subnet-a", "{subnets:?}");
    assert!(subnets[1..].iter().all(|subnet| subnet == "subnet-b"), "{subnets:?}");
}
