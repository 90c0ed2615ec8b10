//! Secrets: what is said of them, and that no value is ever shown, whatever became of it since.

use std::io::{BufRead as _, BufReader};

use crate::bench::{Bench, end};

#[test]
fn old_output_stays_masked_after_a_secret_is_replaced_or_removed() {
    let bench = Bench::allowing(1, "workflows: [{name: a, commands: ['echo \"<$TOKEN>\"']}]");
    assert_eq!(bench.secret("TOKEN", "hunter2-first").code, 0);
    assert_eq!(bench.ok(&["run", "a", "--name", "one"]), "<***>\n");
    assert_eq!(bench.secret("TOKEN", "hunter2-second").code, 0);
    assert_eq!(bench.ok(&["run", "a", "--name", "two"]), "<***>\n");
    let removed = bench.dstack(&["secrets", "remove", "TOKEN"]);
    assert!(removed.err.contains("stays masked"), "{}", removed.err);
    assert_eq!(bench.ok(&["secrets", "list"]), "");
    for run in ["one", "two"] {
        assert_eq!(bench.ok(&["logs", run]), "<***>\n");
        assert_eq!(bench.ok(&["logs", run, "--raw"]), "<***>\n");
        assert_eq!(bench.ok(&["logs", run, "-f"]), "<***>\n");
    }
    assert!(!bench.ok(&["events", "--json"]).contains("hunter2"));
    assert_eq!(bench.ok(&["run", "a"]), "<>\n", "no workflow gets it any more");
}

#[test]
fn a_secret_that_changes_while_a_run_is_followed_is_masked_at_once() {
    let bench = Bench::allowing(
        1,
        "workflows:
- {name: a, commands: ['echo begun', 'while ! test -e \"$GO\"; do sleep 0.05; done'], env: [GO]}
- {name: b, commands: ['echo \"<$TOKEN>\"'], depends-on: [a]}
",
    );
    assert_eq!(bench.secret("TOKEN", "hunter2-first").code, 0);
    let mut run = bench.command(&["run", "b", "--name", "r"]);
    let mut child = run.env("GO", bench.path("go")).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it prints");
    assert_eq!(bench.secret("TOKEN", "hunter2-second").code, 0);
    bench.write("go", "");
    out.read_line(&mut line).expect("it prints");
    assert_eq!(line, "a | begun\nb | <***>\n");
    assert_eq!(end(child).code, 0);
}

#[test]
fn what_cannot_be_a_secret_is_refused_in_one_line_and_what_is_not_masked_is_told() {
    let bench = Bench::new("workflows: []");
    for name in ["PATH", "HOME", "DSTACK_RUN", "LD_PRELOAD", "1A", "A-B"] {
        let ended = bench.secret(name, "hunter2");
        assert_eq!(ended.code, 1, "{name}");
        assert!(
            ended.err.contains("cannot be the name of a secret") && ended.err.lines().count() == 1,
            "{}",
            ended.err
        );
    }
    assert_eq!(bench.ok(&["secrets", "list"]), "");
    let short = bench.secret("PIN", "123");
    assert_eq!(short.code, 0);
    assert_eq!(short.err.matches("never masked").count(), 1, "{}", short.err);
    assert!(!bench.secret("PIN", "1234").err.contains("never masked"));
}
