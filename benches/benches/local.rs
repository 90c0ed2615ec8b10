//! From a submission to its recorded end: workflows that do nothing, on runners of this machine, with a real log.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use dstack_core::Dstack;
use dstack_core::blob::{BlobFolder, OutputFolder};
use dstack_core::clock::SystemClock;
use dstack_core::cloud::LocalCloud;
use dstack_core::host::ProcessHost;
use dstack_core::host::process::supervise;
use dstack_core::model::{Purchase, WorkflowSpec};
use dstack_core::secret::SecretFile;
use dstack_core::store::sqlite::SqliteStore;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if let (Some("supervise"), Some(folder)) = (args.next().as_ref().and_then(|word| word.to_str()), args.next()) {
        return supervise(Path::new(&folder));
    }
    let mut criterion = Criterion::default().configure_from_args();
    for count in [1, 100] {
        submit_to_exit(&mut criterion, count);
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Each round has a log of its own, so that none pays for the history of the one before.
fn submit_to_exit(criterion: &mut Criterion, count: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let mut group = criterion.benchmark_group("submit_to_exit");
    group.sample_size(10).throughput(Throughput::Elements(count));
    group.bench_function(count.to_string(), |bencher| {
        bencher.iter(|| {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            runtime.block_on(run(folder.path(), count));
        });
    });
    group.finish();
}

async fn run(folder: &Path, count: u64) {
    let clock = Arc::new(SystemClock);
    let store = SqliteStore::open(folder, clock.clone()).expect("a log can be made");
    let runners = folder.join("runners");
    let own = std::env::current_exe().expect("it has a file").into();
    let cloud = LocalCloud::new(runners.clone(), vec![own, OsString::from("supervise")]);
    let (blobs, outputs) = (BlobFolder::new(folder.join("blobs")), OutputFolder::new(folder.join("output")));
    let secrets = SecretFile::new(folder.join("secrets"));
    let mut dstack = Dstack::new(Arc::new(store), clock, Arc::new(blobs), Arc::new(outputs), Arc::new(secrets))
        .provider("local", Arc::new(cloud), Arc::new(ProcessHost::new(runners)));
    dstack.allow(("local", "local", "local"), Purchase::OnDemand, 2).await.expect("this machine can be allowed");
    let nothing = |number| {
        let name = format!("w{number}").parse().expect("it is a name");
        WorkflowSpec::script(name, ["true"])
    };
    let id = dstack.submit("bench".parse().expect("it is a name"), (0..count).map(nothing)).await.expect("it fits");
    dstack.run_until_idle().await.expect("the log can be used");
    let run = &dstack.state().runs()[&id];
    assert!(run.workflows.iter().all(|workflow| workflow.exit_code() == Some(0)), "all of them succeed");
}
