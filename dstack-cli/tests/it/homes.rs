//! Homes that go away, and work that nobody drives.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use crate::bench::{Bench, end, signal};
use crate::kills::processes;

/// Longest that anything is waited for: an outer bound, never a measure.
const LONGEST: Duration = Duration::from_secs(60);
/// It says which process it is, and goes on until there is a file `go`.
const LOOP: &str = "echo $$; while ! test -e \"$0\"; do sleep 0.05; done; echo end";

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONGEST, "{what}: it never was so");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As `rm -rf` does it: what comes to be while it is at work may keep it from its end.
fn remove(folder: &Path) {
    wait_until("it can be removed", || match std::fs::remove_dir_all(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    });
}

fn spawn(bench: &Bench, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = bench.command(args).spawn().expect("it starts");
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, out)
}

fn line(out: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    out.read_line(&mut line).expect("it prints");
    line
}

#[test]
fn whoever_finds_the_home_gone_ends_with_one_line_and_nothing_of_it_lives_on() {
    let bench = Bench::allowing(1, "workflows: []");
    let go = bench.path("go").display().to_string();
    let (run, mut out) = spawn(&bench, &["run", "--name", "r", "--", "sh", "-c", LOOP, &go]);
    let job = line(&mut out).trim().to_owned();
    let (logs, mut logs_out) = spawn(&bench, &["logs", "r", "-f"]);
    assert_eq!(line(&mut logs_out).trim(), job);
    let (events, mut events_out) = spawn(&bench, &["events", "--follow"]);
    line(&mut events_out);
    remove(&bench.home());
    for child in [run, logs, events] {
        let ended = end(child);
        assert_eq!(ended.code, 1, "{}", ended.err);
        let errors: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", ended.err);
        assert!(errors[0].contains(&bench.home().display().to_string()) && errors[0].contains("removed"), "{errors:?}");
    }
    wait_until("the controller and the supervisors end", || processes(&bench.home()).is_empty());
    wait_until("what ran ends", || !Path::new("/proc").join(&job).exists());
    assert!(!bench.home().exists(), "nobody made it anew");
}

#[test]
fn a_controller_in_the_foreground_ends_with_its_home() {
    let bench = Bench::allowing(1, "workflows: []");
    let child = bench.command(&["controller"]).spawn().expect("it starts");
    let home = dstack_core::home::Home::new(bench.home());
    wait_until("it is live", || home.is_controller_live() == Some(true));
    remove(&bench.home());
    let ended = end(child);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.lines().last().is_some_and(|line| line.contains("was removed")), "{}", ended.err);
    assert!(!bench.home().exists());
}

#[test]
fn work_that_nobody_drives_is_told_by_ps_and_taken_up_by_what_waits_for_it() {
    let bench = Bench::allowing(1, "workflows: []");
    let go = bench.path("go").display().to_string();
    let run = bench.detach(&["--", "sh", "-c", LOOP, &go]);
    bench.wait_for_attempts(1);
    assert_eq!(bench.dstack(&["ps"]).err, "", "one is live");
    bench.kill_controller();
    for listing in [&["ps"][..], &["runners"], &["logs", &run]] {
        let told = bench.dstack(listing);
        assert!(told.err.starts_with("no controller is live"), "{listing:?}: {}", told.err);
        assert!(told.err.contains("dstack controller --until-idle") && told.err.lines().count() == 1, "{}", told.err);
    }
    let (watch, mut pages) = spawn(&bench, &["ps", "-w"]);
    line(&mut pages);
    bench.write("go", "");
    bench.wait_for(|record| record["kind"] == "AttemptExited");
    signal(watch.id(), "INT");
    let ended = end(watch);
    assert_eq!(ended.code, 130);
    assert!(ended.err.contains("no controller was live: one is started"), "{}", ended.err);
}

#[test]
fn logs_that_are_followed_start_a_controller_where_none_is_live() {
    let bench = Bench::allowing(1, "workflows: []");
    let go = bench.path("go").display().to_string();
    let run = bench.detach(&["--", "sh", "-c", LOOP, &go]);
    bench.wait_for_attempts(1);
    bench.kill_controller();
    bench.write("go", "");
    let ended = bench.dstack(&["logs", &run, "-f"]);
    assert!(ended.code == 0 && ended.out.ends_with("end\n"), "{} {}", ended.out, ended.err);
    assert!(ended.err.contains("no controller was live: one is started"), "{}", ended.err);
}

#[test]
fn a_run_starts_one_controller_and_says_nothing_of_it() {
    let bench = Bench::allowing(1, "workflows: []");
    let ended = bench.dstack(&["run", "--", "sleep", "0.2"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(!ended.err.contains("no controller"), "{}", ended.err);
    let log = std::fs::read_to_string(bench.home().join("controller.log")).expect("one was started");
    assert_eq!(log.matches("pid=").count(), 1, "{log}");
}
