//! Simulated events: the real controller on a log, a cloud and machines in memory, in virtual time.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dstack_core::controller::Options;
use dstack_core::model::{Command, Purchase, Seq, WorkflowSpec};
use dstack_core::testkit::World;

/// Runs so many workflows of a minute each on at most ten machines; gives the records that it took.
fn life(workflows: u64) -> u64 {
    let world = World::new(1);
    let offering = World::offering("m7i.xlarge", Purchase::OnDemand).expect("it is in the built-in list");
    let minute = |number| {
        let name = format!("w{number}").parse().expect("it is a name");
        WorkflowSpec::script(name, ["sleep 60"])
    };
    let name = "bench".parse().expect("it is a name");
    let (_, submit) = world.submission(name, (0..workflows).map(minute).collect());
    let mut controller = world.controller(Options::default());
    let records = world.run(async {
        let allow = Command::Allow { offering: Box::new(offering), max: 10, min: 0 };
        controller.client_mut().command(allow).await.expect("it is allowed");
        controller.client_mut().command(submit).await.expect("it is accepted");
        controller.run_until_idle().await.expect("the log can be used");
        let seq = controller.client().state().seq();
        assert_ne!(seq, Seq::START);
        seq.get()
    });
    records.expect("it ends")
}

fn simulate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulate");
    group.sample_size(10);
    for workflows in [100, 1_000] {
        group.throughput(Throughput::Elements(life(workflows)));
        group.bench_function(format!("{workflows}_workflows"), |bencher| bencher.iter(|| life(workflows)));
    }
    group.finish();
}

criterion_group!(benches, simulate);
criterion_main!(benches);
