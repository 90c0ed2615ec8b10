//! The example as a process. `cargo test` builds the examples before it runs this.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::client::{Client, skipped, until};

struct Running {
    child: Child,
    first_line: String,
    folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already is what we want.
        let _over = self.child.kill();
        let _seen = self.child.wait();
    }
}

fn example(arguments: &[&str]) -> Command {
    let test = std::env::current_exe().expect("a test knows its own file");
    let target = test.ancestors().nth(2).expect("tests are in a folder of the target's");
    let mut command = Command::new(target.join("examples/ec2_sandbox"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Running {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let child = example(arguments).env("TMPDIR", folder.path()).spawn();
    let mut child = child.expect("cargo has built it: `cargo build -p examples --examples`");
    let mut first_line = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    lines.read_line(&mut first_line).expect("it writes text");
    Running { child, first_line, folder }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.expect("there is a kill").success());
}

fn processes_in(folder: &Path) -> usize {
    let place = folder.display().to_string();
    let text = |path: &Path, name| String::from_utf8_lossy(&fs::read(path.join(name)).unwrap_or_default()).into_owned();
    let all = fs::read_dir("/proc").expect("this is Linux").flatten().map(|entry| entry.path());
    // The sandbox itself has the folder as another variable.
    all.filter(|path| {
        text(path, "environ").contains(&format!("HOME={place}")) || text(path, "cmdline").contains(&place)
    })
    .count()
}

#[test]
fn the_first_line_says_where_it_listens() {
    let running = run(&["--port", "0", "--fake-hosts"]);
    let port = running.first_line.strip_prefix("listening on http://127.0.0.1:").expect("it is the line");
    assert!(port.trim().parse::<u16>().is_ok_and(|port| port > 0), "{port}");
}

#[test]
fn a_wrong_fault_is_an_error_that_names_the_right_ones() {
    let output = example(&["--faults", "lost=0.1"]).output().expect("cargo has built it");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("lost-answer") && words.lines().count() == 1, "{words}");
}

#[test]
fn when_it_is_told_to_end_or_killed_nothing_of_its_instances_stays() {
    if !Path::new("/usr/sbin/sshd").exists() {
        skipped("this machine has no OpenSSH server, so the end of instances was NOT tried.");
        return;
    }
    for name in ["TERM", "INT", "KILL"] {
        let mut running = run(&["--boot", "0s"]);
        let client = Client::of(running.first_line.trim_start_matches("listening on "));
        let sleeper = "IyEvYmluL3NoCnNldHNpZCBzbGVlcCA2MDAgJgpzbGVlcCA2MDAK";
        client.launched(&[("UserData", sleeper)]);
        until("its processes", || (processes_in(running.folder.path()) >= 4).then_some(()));
        signal(&running.child, name);
        running.child.wait().expect("it ends");
        // After TERM and INT it is so at once; after KILL the instances see it for themselves.
        if name == "KILL" {
            until("their end", || (processes_in(running.folder.path()) == 0).then_some(()));
        }
        assert_eq!(processes_in(running.folder.path()), 0, "{name}");
    }
}
