//! Ctrl-C and other ends of commands: what goes on, and what stops.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout};

use crate::bench::{Bench, end, signal};

/// A workflow that goes on until a file of the test is there.
fn until(bench: &Bench, file: &str) -> Vec<String> {
    let path = bench.path(file).display().to_string();
    let script = "echo begun; while ! test -e \"$0\"; do sleep 0.05; done; echo end";
    ["sh", "-c", script, &path].map(str::to_owned).to_vec()
}

fn run_args<'a>(first: &[&'a str], command: &'a [String]) -> Vec<&'a str> {
    first.iter().copied().chain(["--"]).chain(command.iter().map(String::as_str)).collect()
}

/// An attached run `r` whose command has begun, and its output. It ends when there is a file `go`.
fn attached(bench: &Bench) -> (Child, BufReader<ChildStdout>) {
    let command = until(bench, "go");
    let mut child = bench.command(&run_args(&["run", "--name", "r"], &command)).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it prints");
    assert_eq!(line, "begun\n");
    (child, out)
}

#[test]
fn case_08_ctrl_c_leaves_the_run_running_and_says_how_to_go_on() {
    let bench = Bench::allowing(1, "workflows: []");
    let (child, _out) = attached(&bench);
    signal(child.id(), "INT");
    let ended = end(child);
    assert_eq!(ended.code, 130, "{}", ended.err);
    assert!(ended.err.contains("dstack logs r -f") && ended.err.contains("dstack stop r"), "{}", ended.err);
    for _ in 0..3 {
        let mut logs = bench.command(&["logs", "r", "-f"]).spawn().expect("it starts");
        let mut out = BufReader::new(logs.stdout.take().expect("it is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("it prints");
        assert_eq!(line, "begun\n");
        signal(logs.id(), "INT");
        assert_eq!(end(logs).code, 130);
        assert_eq!(bench.row("r", "sh")["phase"], "running");
    }
    bench.write("go", "");
    assert_eq!(bench.ok(&["logs", "r", "-f"]), "begun\nend\n");
    assert_eq!(bench.row("r", "sh")["phase"], "succeeded");
}

#[test]
fn ctrl_c_twice_stops_the_run() {
    let bench = Bench::allowing(1, "workflows: []");
    let command = until(&bench, "never");
    let mut child = bench.command(&run_args(&["run", "--name", "r"], &command)).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut err = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it prints");
    signal(child.id(), "INT");
    while !line.contains("goes on") {
        line.clear();
        assert!(err.read_line(&mut line).expect("it is text") > 0, "it says how to go on");
    }
    signal(child.id(), "INT");
    assert_eq!(end(child).code, 130);
    assert_eq!(bench.row("r", "sh")["phase"], "stopped");
}

#[test]
fn stopping_ends_a_run_and_only_it() {
    let bench = Bench::allowing(2, "workflows: []");
    let command = until(&bench, "go");
    let one = bench.detach(&run_args(&["--name", "one"], &command));
    let other = bench.detach(&run_args(&["--name", "other"], &command));
    bench.wait_for_attempts(2);
    assert_eq!(bench.dstack(&["stop", "-a"]).code, 2);
    let stopping = bench.dstack(&["stop", &one, "-x", "-y"]);
    assert_eq!(stopping.code, 0);
    assert!(stopping.err.starts_with("one is being stopped"), "{}", stopping.err);
    bench.wait_for(|record| record["kind"] == "AttemptStopped");
    assert_eq!(bench.row(&one, "sh")["exit_code"], 130);
    assert_eq!(bench.dstack(&["stop", &one]).code, 1);
    assert_eq!(bench.row(&other, "sh")["phase"], "running");
    bench.write("go", "");
    bench.ok(&["logs", &other, "-f"]);
}

#[test]
fn a_run_that_only_waits_is_stopped_at_once() {
    let bench = Bench::new("workflows: []");
    bench.ok(&["autoscale", "disable"]);
    bench.ok(&["autoscale", "allow", "local", "-d", "-m", "1"]);
    for name in ["one", "two", "three"] {
        bench.detach(&["--name", name, "--", "true"]);
    }
    assert_eq!(bench.dstack(&["stop", "one"]).err, "one is stopped\n");
    assert_eq!(bench.dstack(&["stop", "two/true"]).err, "two/true is stopped\n");
    assert_eq!(bench.dstack(&["stop", "--all"]).err, "three is stopped\n");
    for name in ["one", "two", "three"] {
        assert_eq!(bench.row(name, "true")["phase"], "stopped");
    }
}

#[test]
fn an_attached_run_outlives_its_controller() {
    let bench = Bench::allowing(1, "workflows: []");
    let (child, mut out) = attached(&bench);
    bench.kill_controller();
    bench.write("go", "");
    let mut line = String::new();
    out.read_line(&mut line).expect("it prints");
    assert_eq!(line, "end\n");
    let ended = end(child);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(bench.ok(&["check"]).starts_with("ok: "));
}
