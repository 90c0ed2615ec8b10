//! A home and a project for one test, and the program in them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest that a command of a test may take: an outer bound, never a measure.
const LONGEST: Duration = Duration::from_secs(60);

/// A home and a project for one test.
pub(crate) struct Bench {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub code: i32,
    pub out: String,
    pub bytes: Vec<u8>,
    pub err: String,
}

impl Bench {
    /// An empty home, and a project with this `workflows.yaml`.
    pub(crate) fn new(workflows: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let bench = Self { folder };
        bench.write(".dstack/workflows.yaml", workflows);
        bench
    }

    /// The same, with a rule for that many runners on this machine.
    pub(crate) fn allowing(max: u32, workflows: &str) -> Self {
        let bench = Self::new(workflows);
        bench.ok(&["autoscale", "allow", "local", "-d", "-m", &max.to_string()]);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("project").join(name)
    }

    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it is below the project")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    }

    /// A command in the project.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dstack"));
        command
            .args(args)
            .env("DSTACK_HOME", self.home())
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path().join("project"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn dstack(&self, args: &[&str]) -> Ended {
        end(self.command(args).spawn().expect("the program can be started"))
    }

    /// Runs a command that is to succeed, and gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ended = self.dstack(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        ended.out
    }

    /// Runs a command that prints JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).expect("it prints one JSON document")
    }

    /// The row of a workflow.
    pub(crate) fn row(&self, run: &str, workflow: &str) -> Value {
        let rows = self.json(&["ps", run, "--json"]);
        let rows = rows["workflows"].as_array().expect("a list of rows");
        rows.iter().find(|row| row["workflow"] == workflow).cloned().expect("there is such a workflow")
    }

    /// Submits and gives the run's name.
    pub(crate) fn detach(&self, args: &[&str]) -> String {
        let all: Vec<&str> = ["run", "-d"].iter().chain(args).copied().collect();
        self.ok(&all).trim().to_owned()
    }

    /// Keeps a secret.
    pub(crate) fn secret(&self, name: &str, value: &str) -> Ended {
        let mut set = self.command(&["secrets", "set", name]);
        let mut child = set.stdin(Stdio::piped()).spawn().expect("the program can be started");
        // Where the name is refused, nobody reads it.
        let _ = std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), value.as_bytes());
        end(child)
    }

    /// Kills the controller that was started last, and waits until it holds nothing any more.
    pub(crate) fn kill_controller(&self) {
        let log = std::fs::read_to_string(self.home().join("controller.log")).expect("a controller was started");
        let pid = log.rsplit("pid=").next().and_then(|rest| rest.split_whitespace().next()).expect("it names itself");
        signal(pid.parse().expect("a number"), "KILL");
        let start = Instant::now();
        let home = dstack_core::home::Home::new(self.home());
        // What has ended has no command line, even where nobody has taken note of its end; its lock goes a little later.
        while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
            || home.is_controller_live() == Some(true)
        {
            assert!(start.elapsed() < LONGEST, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the log holds a record that `is_it` says yes to.
    pub(crate) fn wait_for(&self, mut is_it: impl FnMut(&Value) -> bool) {
        let mut follow = self.command(&["events", "--follow", "--json"]).spawn().expect("the program can be started");
        let lines = BufReader::new(follow.stdout.take().expect("it is piped")).lines();
        let start = Instant::now();
        let mut last = Value::Null;
        let mut found = false;
        for line in lines {
            last = serde_json::from_str(&line.expect("it is text")).expect("each line is a record");
            found = is_it(&last);
            if found || start.elapsed() > LONGEST {
                break;
            }
        }
        follow.kill().expect("it is ours");
        follow.wait().expect("it ends");
        assert!(found, "it never happened; the last was {last}");
    }

    /// Waits until that many attempts have been assigned.
    pub(crate) fn wait_for_attempts(&self, mut count: usize) {
        self.wait_for(|record| {
            count -= usize::from(record["kind"] == "AttemptAssigned");
            count == 0
        });
    }
}

impl Drop for Bench {
    /// Nothing that a test started outlives it.
    fn drop(&mut self) {
        let _ = self.command(&["stop", "--all", "-x"]).status();
        let _ = self.command(&["autoscale", "disable"]).status();
    }
}

/// Waits for a command's end.
pub(crate) fn end(child: Child) -> Ended {
    end_within(child, LONGEST)
}

/// Waits for a command's end, at most this long.
pub(crate) fn end_within(child: Child, longest: Duration) -> Ended {
    let pid = child.id();
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if waits.recv_timeout(longest).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
            signal(pid, "KILL");
        }
    });
    let output = child.wait_with_output().expect("it ends");
    let _ = done.send(());
    guard.join().expect("it only waits");
    Ended {
        code: code(output.status),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        bytes: output.stdout,
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// Sends a signal to a process that the test started.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("there is `kill`").success());
}
