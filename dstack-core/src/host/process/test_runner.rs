//! Real runners for tests: the test program, executed again, is their supervisor.

use std::ffi::OsString;
use std::fs;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::folder::RunnerFolder;
use super::supervisor::{READY, supervise};
use crate::model::{Address, MachineId, Place, RunnerId};

/// Set for a process that is to be a supervisor; its value is the folder.
const FOLDER_VARIABLE: &str = "DSTACK_TEST_SUPERVISE";
/// How long a test may take at most, in all.
const TEST_LIMIT: Duration = Duration::from_secs(120);

/// What supervisors of tests are executed as; does nothing in an ordinary run of the tests.
#[test]
fn supervisor_entry() {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        supervise(Path::new(&folder));
        std::process::exit(0);
    }
}

/// Program and arguments before the folder, such that a supervisor is executed.
pub(crate) fn supervisor_command() -> Vec<OsString> {
    let test = std::env::current_exe().expect("a test is a program");
    // The folder comes last on the command line, where the test harness has no use for it.
    let line = format!(
        "{FOLDER_VARIABLE}=\"$1\" exec \"$0\" --exact host::process::test_runner::supervisor_entry --nocapture"
    );
    vec!["/bin/sh".into(), "-c".into(), line.into(), test.into()]
}

/// The number of a process that it wrote to a file.
pub(crate) fn read_pid(path: &Path) -> i32 {
    fs::read_to_string(path).expect("it was written").trim().parse().expect("it is a number")
}

/// Runs this to its end on a runtime of its own.
pub(crate) fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let is_in_time = runtime.block_on(async { tokio::time::timeout(TEST_LIMIT, work).await.is_ok() });
    assert!(is_in_time, "nothing came of it in {TEST_LIMIT:?}");
}

/// Supervisors below one temporary root. All of them end with it.
pub(crate) struct TestRunners {
    pub(crate) root: tempfile::TempDir,
    supervisors: std::sync::Mutex<Vec<Child>>,
}

impl TestRunners {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a temporary folder can be made"), supervisors: Default::default() }
    }

    pub(crate) fn folder(&self, place: &Place) -> RunnerFolder {
        RunnerFolder::new(self.path(place))
    }

    pub(crate) fn path(&self, place: &Place) -> PathBuf {
        self.root.path().join(&place.machine.0)
    }

    /// A new runner whose supervisor listens.
    pub(crate) fn start(&self) -> Place {
        let mut supervisors = self.supervisors.lock().expect("no test panics with it");
        let name = format!("runner-{}", supervisors.len());
        let place = Place {
            runner: RunnerId::from_bits(supervisors.len() as u64),
            machine: MachineId(name.clone()),
            address: Address(name),
            identity: None,
        };
        fs::create_dir(self.path(&place)).expect("it is new");
        let command = supervisor_command();
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .arg(self.path(&place))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the test program can be executed again");
        let stdout = child.stdout.take().expect("it is piped");
        assert!(
            BufReader::new(stdout).bytes().any(|byte| byte.is_ok_and(|byte| byte == READY)),
            "the supervisor did not listen"
        );
        supervisors.push(child);
        place
    }

    /// Kills a runner's supervisor and nothing else.
    pub(crate) fn kill(&self, place: &Place) {
        let index = usize::try_from(place.runner.to_bits()).expect("it was an index");
        let mut supervisors = self.supervisors.lock().expect("no test panics with it");
        supervisors[index].kill().expect("it can be killed");
        supervisors[index].wait().expect("it is a child");
    }
}

impl Drop for TestRunners {
    fn drop(&mut self) {
        for supervisor in self.supervisors.get_mut().iter_mut().flat_map(|all| all.iter_mut()) {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
        for entry in fs::read_dir(self.root.path()).into_iter().flatten().flatten() {
            let _ = super::kill_leftovers(&RunnerFolder::new(entry.path()));
        }
    }
}
