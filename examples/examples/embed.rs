//! The whole loop in one program: allow this machine, submit two workflows, run until idle, print what they printed.
//!
//! `cargo run -p examples --example embed [FOLDER]` keeps the log and everything else in FOLDER, or in a new temporary one.
//! With the same folder again, the log goes on where it ended.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use dstack_core::Dstack;
use dstack_core::blob::{BlobFolder, OutputFolder, OutputStore};
use dstack_core::clock::SystemClock;
use dstack_core::cloud::LocalCloud;
use dstack_core::host::ProcessHost;
use dstack_core::host::process::supervise;
use dstack_core::model::{Purchase, WorkflowSpec};
use dstack_core::secret::SecretFile;
use dstack_core::store::sqlite::SqliteStore;

/// Most bytes of a workflow's output that are printed.
const PRINTED_BYTES_MAX: usize = 64 * 1024;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if let (Some("supervise"), Some(folder)) = (first.as_ref().and_then(|word| word.to_str()), args.next()) {
        return Ok(supervise(Path::new(&folder))); // A local runner is this program again, before it starts any thread.
    }
    let folder =
        first.map_or_else(|| tempfile::tempdir().map(tempfile::TempDir::keep), |path| Ok(PathBuf::from(path)))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&folder))
}

async fn run(folder: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let clock = Arc::new(SystemClock);
    let store = Arc::new(SqliteStore::open(folder, clock.clone())?);
    let outputs = Arc::new(OutputFolder::new(folder.join("output")));
    let (blobs, secrets) = (BlobFolder::new(folder.join("blobs")), SecretFile::new(folder.join("secrets")));
    let (runners, supervisor) =
        (folder.join("runners"), vec![std::env::current_exe()?.into(), OsString::from("supervise")]);
    let (cloud, host) = (LocalCloud::new(runners.clone(), supervisor), ProcessHost::new(runners));
    let mut dstack = Dstack::new(store, clock, Arc::new(blobs), outputs.clone(), Arc::new(secrets)).provider(
        "local",
        Arc::new(cloud),
        Arc::new(host),
    );

    dstack.allow(("local", "local", "local"), Purchase::OnDemand, 2).await?;
    let mut count = WorkflowSpec::script("count".parse()?, ["mkdir -p out", "seq 1 10 > out/numbers", "echo counted"]);
    count.artifacts = vec!["out".to_owned()];
    let mut sum = WorkflowSpec::script(
        "sum".parse()?,
        ["total=0", "while read n; do total=$((total + n)); done < out/numbers", "echo total $total"],
    );
    sum.depends_on = vec![0]; // What `count` left in `out` is laid into its folder.
    let id = dstack.submit("numbers".parse()?, [count, sum]).await?;
    dstack.run_until_idle().await?;

    let run = &dstack.state().runs()[&id];
    for (index, workflow) in (0..).zip(&run.workflows) {
        if let Some(attempt) = run.newest_attempt(id, index) {
            let output = outputs.read(attempt, 0, PRINTED_BYTES_MAX).await?;
            print!("{}: {}", workflow.spec.name, String::from_utf8_lossy(&output));
        }
    }
    println!("the log and the artifacts are in {}", folder.display());
    let has_succeeded = run.workflows.iter().all(|workflow| workflow.exit_code() == Some(0));
    Ok(if has_succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
