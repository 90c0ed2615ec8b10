//! `ps`: what a row says, and a page that is shown again and again.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::bench::{Bench, end, signal};

const LOOP: &str = "while ! test -e \"$0\"; do sleep 0.05; done";

#[test]
fn an_exit_code_and_a_missing_artifact_are_both_told() {
    let bench = Bench::allowing(1, "workflows: []");
    let ended = bench.dstack(&["run", "--name", "r", "--artifact", "out", "--", "sh", "-c", "exit 3"]);
    assert_eq!(ended.code, 3);
    let line = ended.err.lines().find(|line| line.contains("failed")).expect("it is told");
    assert!(line.contains("exit code 3; artifact missing: out"), "{}", ended.err);
    let row = bench.row("r", "sh");
    assert_eq!((&row["exit_code"], &row["missing_artifacts"][0]), (&3.into(), &"out".into()));
    assert_eq!(row["reason"], "exit code 3; artifact_missing");
    assert!(bench.ok(&["ps", "r"]).contains("exit code 3; artifact missing: out"));
}

#[test]
fn links_that_were_not_kept_are_named_when_the_run_ends() {
    let bench = Bench::allowing(1, "workflows: []");
    let script = "mkdir out; ln -s /etc/hostname out/outside";
    let ended = bench.dstack(&["run", "--artifact", "out", "--", "sh", "-c", script]);
    assert_eq!(ended.code, 0);
    let warning = "warning: 1 link was not kept, since it leads out of the artifact or nowhere: sh: out/outside";
    assert_eq!(ended.err.lines().filter(|line| *line == warning).count(), 1, "{}", ended.err);
}

#[test]
fn a_retry_says_why() {
    let bench = Bench::allowing(1, "workflows: [{name: a, commands: ['exit 7'], retry: {max: 1}}]");
    let ended = bench.dstack(&["run", "a"]);
    assert_eq!(ended.code, 7);
    assert_eq!(ended.err.matches("a: attempt 1 failed: exit code 7; it is tried again").count(), 1, "{}", ended.err);
}

#[test]
fn of_two_runs_of_a_name_the_older_is_reached_by_its_id() {
    let bench = Bench::allowing(2, "workflows: []");
    let go = bench.path("go").display().to_string();
    for _ in 0..2 {
        bench.detach(&["--name", "r", "--", "sh", "-c", LOOP, &go]);
    }
    bench.wait_for_attempts(2);
    let rows = bench.json(&["ps", "--json"]);
    let id = |at: usize| rows["workflows"][at]["run_id"].as_str().expect("each has one").to_owned();
    let told = bench.dstack(&["ps", "r"]);
    assert!(told.err.contains(&id(0)) && !told.err.contains(&id(1)), "{}", told.err);
    bench.ok(&["stop", &id(0), "-x"]);
    bench.wait_for(|record| record["kind"] == "AttemptStopped");
    assert_eq!(bench.row(&id(0), "sh")["phase"], "stopped");
    assert_eq!(bench.row("r", "sh")["phase"], "running");
    bench.write("go", "");
    bench.ok(&["logs", &id(1), "-f"]);
}

#[test]
fn a_stop_that_waits_for_its_grace_is_told() {
    let bench = Bench::allowing(1, "workflows: []");
    let ready = bench.path("ready").display().to_string();
    let script = "trap '' TERM; touch \"$0\"; while :; do sleep 0.05; done";
    let run = bench.detach(&["--", "sh", "-c", script, &ready]);
    let start = std::time::Instant::now();
    while !bench.path("ready").exists() {
        assert!(start.elapsed().as_secs() < 60, "it never began");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    bench.ok(&["stop", &run]);
    let row = bench.row(&run, "sh");
    assert_eq!(row["phase"], "stopping", "{row}");
    assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("grace")), "{row}");
}

/// A terminal of its own for a command, and what it shows until `is_enough`.
fn on_a_terminal(bench: &Bench, term: &str, columns: u32, line: &str, is_enough: fn(&str) -> bool) -> String {
    let shell = format!("stty cols {columns} rows 24; exec \"$0\" {line}");
    let program = env!("CARGO_BIN_EXE_dstack");
    let quoted = format!("sh -c '{shell}' {program}");
    let mut command = bench.command(&[]);
    let mut script = std::process::Command::new("script");
    for (name, value) in command.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    script.args(["-qfec", &quoted, "/dev/null"]).env("TERM", term).current_dir(bench.path("."));
    command = script;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is `script`");
    let mut out = child.stdout.take().expect("it is piped");
    let mut shown = String::new();
    let mut bytes = [0; 4096];
    while !is_enough(&shown) {
        match out.read(&mut bytes).expect("it shows something") {
            0 => break,
            count => shown += &String::from_utf8_lossy(&bytes[..count]),
        }
    }
    // Nobody types any more, and nobody looks.
    drop((child.stdin.take(), out));
    let _ = child.kill();
    let _ = child.wait();
    shown
}

#[test]
fn a_page_on_a_terminal_is_drawn_again_as_time_goes_by_and_says_the_way_out() {
    let bench = Bench::new("workflows: []");
    bench.detach(&["--queue", "--name", "r", "--", "true"]);
    let three = |shown: &str| shown.matches("\u{1b}[2J").count() >= 3;
    let shown = on_a_terminal(&bench, "xterm", 80, "ps -w", three);
    assert!(three(&shown) && shown.contains("Ctrl-C leaves; the work goes on"), "{shown}");
    let once = |shown: &str| shown.contains("waiting");
    let dumb = on_a_terminal(&bench, "dumb", 80, "ps -w", once);
    assert!(once(&dumb) && !dumb.contains('\u{1b}') && dumb.contains("Ctrl-C leaves"), "{dumb}");
}

#[test]
fn names_are_whole_on_a_narrow_terminal_and_on_one_that_knows_no_width() {
    let bench = Bench::allowing(1, "workflows: []");
    bench.ok(&["run", "--name", "a-run-with-a-long-name-of-many-words", "--", "false"].map(|word| match word {
        "false" => "true",
        other => other,
    }));
    let runner = bench.json(&["ps", "-a", "--json"])["workflows"][0]["runner"].as_str().expect("it ran").to_owned();
    for columns in [80, 40, 0] {
        let shown = on_a_terminal(&bench, "xterm", columns, "ps -a", |_| false);
        assert!(
            shown.contains("a-run-with-a-long-name-of-many-words") && shown.contains(&runner),
            "{columns}: {shown}"
        );
        assert!(shown.lines().count() <= 12, "{columns}: {shown}");
    }
}

#[test]
fn a_page_in_a_pipe_has_no_escapes_and_comes_with_each_change() {
    let bench = Bench::new("workflows: []");
    bench.detach(&["--queue", "--name", "one", "--", "true"]);
    let mut child = bench.command(&["ps", "-w"]).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map(|line| line.expect("text"));
    assert!(lines.next().expect("a head").starts_with("RUN "));
    assert!(lines.next().expect("a row").starts_with("one "));
    bench.detach(&["--queue", "--name", "two", "--", "true"]);
    assert_eq!(lines.next().as_deref(), Some(""));
    let rest: Vec<String> = lines.by_ref().take(3).collect();
    assert!(rest[2].starts_with("two ") && !rest.concat().contains('\u{1b}'), "{rest:?}");
    signal(child.id(), "INT");
    assert_eq!(end(child).err, "Ctrl-C leaves; the work goes on\n");
}
