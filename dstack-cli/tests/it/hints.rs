//! What is told to who types something else than we know.

use crate::bench::Bench;

const HELPED: &str = "workflows:
- {name: prepare, help: fetches the data, commands: [\"true\"]}
- {name: train, commands: [\"true\"], depends-on: [prepare]}
";

fn told(bench: &Bench, args: &[&str], line: &str) {
    let ended = bench.dstack(args);
    assert_eq!(ended.code, 2, "{args:?}: {}", ended.err);
    let first = ended.err.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && first.contains(line), "{args:?}: {}", ended.err);
    assert!(!ended.err.contains("Usage:"), "{args:?}: {}", ended.err);
}

#[test]
fn newcomers_are_told_in_one_line_what_to_type_instead() {
    let bench = Bench::new(HELPED);
    for (args, line) in [
        (&["help"][..], "`dstack run --help`"),
        (&["help", "run"], "`dstack run --help`"),
        (&["up"], "`dstack run WORKFLOW`"),
        (&["run", "--local", "echo", "hi"], "`dstack run --local -- echo hi`"),
        (&["run", "--cpu", "2", "python", "train.py"], "`dstack run --cpu 2 -- python train.py`"),
        (&["--", "echo", "hi"], "`dstack run -- echo hi`"),
        (&["run", "--"], "`dstack run -- CMD`"),
        (&["artifacts", "push", "x"], "files of the project travel with each run"),
        (&["artifacts", "upload", "x"], "files of the project travel with each run"),
        (&["run", "train", "--tag", "x"], "tags are not built yet"),
        (&["ps", "--no-jobs"], "`dstack ps` shows a row for each workflow"),
        (&["run"], "what is to be run?"),
    ] {
        told(&bench, args, line);
    }
    bench.write(".dstack/variables.yaml", "variables: {train: {epochs: 3}}");
    told(&bench, &["run", "train", "--epochs", "--local"], "`--epochs` has no value");
    bench.write(".dstack/variables.yaml", "variables: {train: {epochs: }}");
    let ended = bench.dstack(&["run", "train", "--local"]);
    assert!(ended.err.contains(".dstack/variables.yaml:1:") && ended.err.contains("no value"), "{}", ended.err);
}

#[test]
fn workflows_are_listed_with_their_help_where_one_is_to_be_named() {
    let bench = Bench::new(HELPED);
    for text in [bench.dstack(&["run"]).err, bench.ok(&["run", "--help"])] {
        assert!(text.contains("  prepare  fetches the data\n  train\n"), "{text}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_in_one_line() {
    let bench = Bench::new("workflows: []");
    for (flag, value) in [
        ("--image", ""),
        ("--image", "a b"),
        ("--image", "foo"),
        ("--boot-timeout", "0"),
        ("--boot-timeout", "1s"),
        ("--idle-timeout", "99999h"),
        ("--result-hold", "8d"),
        ("--ssh-user", "a b"),
        ("--ssh-from", "everywhere"),
        ("--ssh-from", "::/0"),
        ("--ssh-port", "70000"),
    ] {
        let ended = bench.dstack(&["autoscale", "set", flag, value]);
        assert!(ended.code > 0 && ended.err.lines().count() == 1, "{flag} {value}: {} {}", ended.code, ended.err);
    }
    assert_eq!(bench.ok(&["events", "--json"]).matches("SettingsChanged").count(), 0);
    let info = bench.ok(&["autoscale", "info"]);
    for shown in ["idle timeout", "boot timeout", "launch timeout", "stop grace", "result hold", "ssh from"] {
        assert!(info.contains(shown), "{shown}: {info}");
    }
}

#[test]
fn a_count_of_no_runs_is_refused() {
    let ended = Bench::new("workflows: []").dstack(&["ps", "-n", "0"]);
    assert_eq!((ended.code, ended.err.lines().count()), (2, 1), "{}", ended.err);
}
