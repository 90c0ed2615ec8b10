//! Runs: exit codes, dependencies, values, refusals.

use crate::bench::Bench;

#[test]
fn a_command_runs_on_this_machine_without_any_preparation() {
    let bench = Bench::new("workflows: [{name: a, commands: [\"true\"]}]");
    let ended = bench.dstack(&["run", "--local", "--", "echo", "hello  world"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "hello  world\n"), "{}", ended.err);
    assert!(bench.ok(&["check"]).starts_with("ok: "));
}

#[test]
fn a_home_within_the_project_is_not_sent() {
    let bench = Bench::new("workflows: [{name: a, commands: [\"ls -A\"]}]");
    bench.write("data.txt", "1");
    let home = bench.path("my-home");
    let home = home.to_str().expect("it is text");
    bench.ok(&["--home", home, "run", "--local", "a"]);
    assert_eq!(bench.ok(&["--home", home, "run", "--local", "a"]), ".dstack\ndata.txt\n");
}

#[test]
fn local_makes_a_rule_once_and_never_raises_one() {
    let bench = Bench::new("workflows: [{name: a, commands: [\"true\"]}]");
    bench.ok(&["run", "--local", "a"]);
    assert_eq!(bench.json(&["autoscale", "info", "--json"])["rules"][0]["max"], 1);
    bench.ok(&["autoscale", "allow", "local", "-m", "0", "-d"]);
    let ended = bench.dstack(&["run", "--local", "a"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("dstack autoscale allow local --max 1 --on-demand"), "{}", ended.err);
    assert_eq!(bench.json(&["autoscale", "info", "--json"])["rules"][0]["max"], 0);
}

#[test]
fn what_no_rule_can_start_is_refused_with_the_rule_that_would_and_queued_if_asked() {
    let bench = Bench::new("workflows: [{name: a, commands: [\"true\"]}]");
    let ended = bench.dstack(&["run", "a"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("dstack autoscale allow local --max 1 --on-demand"), "{}", ended.err);
    assert!(!bench.home().exists(), "a refusal makes no file");
    let run = bench.detach(&["--queue", "a"]);
    let row = bench.row(&run, "a");
    assert_eq!(row["phase"], "waiting");
    assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("no allowed instance type")), "{row}");
}

#[test]
fn case_02_values_arrive_byte_for_byte() {
    let show = "workflows: [{name: show, commands: ['printf \"%s|%s|%s|%s\" \"$TITLE\" \"$LR\" \"$PY\" \"$FLAG\"']}]";
    let bench = Bench::allowing(1, show);
    let title = "say \"hi\" \\ it's $HOME `id`\nsecond ; line";
    let variables = "variables:\n  show:\n    title: \"say \\\"hi\\\" \\\\ it's $HOME `id`\\nsecond ; line\"\n    lr: 0.00002\n    py: 3.10\n    flag: no\n";
    bench.write(".dstack/variables.yaml", variables);
    assert_eq!(bench.ok(&["run", "show"]), format!("{title}|0.00002|3.10|no"));
    assert_eq!(bench.ok(&["run", "show", "--title", "a b", "--lr", "-1"]), "a b|-1|3.10|no");
    let var = format!("title={title}");
    assert_eq!(bench.ok(&["run", "show", "--var", &var]), format!("{title}|0.00002|3.10|no"));
}

#[test]
fn case_03_a_name_that_is_none_is_refused_wherever_it_is_given() {
    let bench =
        Bench::new("workflows:\n- {name: good, commands: [\"true\"]}\n- {name: \"train:v2\", commands: [\"true\"]}\n");
    let ended = bench.dstack(&["run", "good"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.starts_with("error: .dstack/workflows.yaml:3:"), "{}", ended.err);
    assert!(ended.err.contains("train-v2"), "{}", ended.err);
    let ended = bench.dstack(&["run", "--local", "--name", "a:b", "--", "true"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("a-b"), "{}", ended.err);
    assert!(!bench.home().exists());
}

#[test]
fn case_06_commands_end_at_the_first_that_fails() {
    let bench = Bench::allowing(
        1,
        "workflows:
- {name: missing, commands: [\"no-such-tool --train\", \"echo done\"]}
- {name: folder, commands: [\"mkdir sub\", \"cd sub\", \"pwd # here\", \"echo after\"]}
- {name: either, commands: [\"false || true\", \"echo ok\"]}
- {name: pipe, commands: [\"false | cat\"]}
",
    );
    let ended = bench.dstack(&["run", "missing", "--name", "missing"]);
    assert_eq!(ended.code, 127);
    assert!(!ended.out.contains("done"), "{}", ended.out);
    let row = bench.row("missing", "missing");
    assert_eq!((&row["phase"], &row["exit_code"]), (&"failed".into(), &127.into()));
    let out = bench.ok(&["run", "folder"]);
    assert!(out.contains("/sub\nafter\n"), "{out}");
    assert_eq!(bench.ok(&["run", "either"]), "ok\n");
    bench.ok(&["run", "pipe"]);
}

#[test]
fn case_07_a_signal_is_told_apart_from_a_number() {
    let bench = Bench::allowing(1, "workflows: []");
    let run = |name: &str, script: &str| bench.dstack(&["run", "--name", name, "--", "sh", "-c", script]).code;
    assert_eq!(run("signal", "kill -9 $$"), 137);
    assert_eq!(run("number", "exit 137"), 137);
    assert_eq!(run("term", "kill -TERM $$"), 143);
    assert_eq!(run("child", "sh -c 'kill -11 $$'; exit 3"), 3);
    let reason = |name: &str| bench.row(name, "sh")["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason("signal").contains("SIGKILL"), "{}", reason("signal"));
    assert!(!reason("number").contains("SIGKILL"), "{}", reason("number"));
}

#[test]
fn case_15_what_depends_on_a_failure_is_skipped_and_names_its_root() {
    let bench = Bench::allowing(
        2,
        "workflows:
- {name: prepare, commands: [\"exit 3\"]}
- {name: other, commands: [\"echo other\"]}
- {name: train, commands: [\"echo never\"], depends-on: [prepare]}
- {name: report, commands: [\"echo never\"], depends-on: [train, other]}
",
    );
    let ended = bench.dstack(&["run", "report", "--name", "r"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    for name in ["train", "report"] {
        let row = bench.row("r", name);
        assert_eq!(row["phase"], "skipped");
        assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("prepare")), "{row}");
    }
    assert_eq!(bench.row("r", "other")["phase"], "succeeded");
    assert!(bench.dstack(&["logs", "r/train"]).err.contains("never ran"));
    assert!(bench.ok(&["logs", "r/other"]).contains("other"));
}

#[test]
fn results_travel_from_a_dependency_to_what_depends_on_it() {
    let bench = Bench::allowing(
        1,
        "workflows:
- {name: make, commands: [\"mkdir out\", \"echo 42 > out/answer\"], artifacts: [out]}
- {name: use, commands: [\"cat out/answer\", \"cat input\"], depends-on: [make]}
",
    );
    bench.write("input", "from the project\n");
    let out = bench.ok(&["run", "use", "--raw"]);
    assert_eq!(out, "42\nfrom the project\n");
}

#[test]
fn an_environment_names_run_workflow_and_attempt_and_secrets_come_too() {
    let bench = Bench::allowing(
        1,
        "workflows: [{name: a, commands: ['echo $DSTACK_RUN/$DSTACK_WORKFLOW/$DSTACK_ATTEMPT $TOKEN', \
         'echo $TOKEN | tr a-z b-za']}]",
    );
    let refused = bench.dstack(&["secrets", "set", "TOKEN", "hunter2"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("secrets set TOKEN"), "{}", refused.err);
    let mut child =
        bench.command(&["secrets", "set", "TOKEN"]).stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), b"hunter2\n").expect("it reads");
    assert_eq!(crate::bench::end(child).code, 0);
    assert_eq!(bench.ok(&["secrets", "list"]), "TOKEN\n");
    assert_eq!(bench.ok(&["run", "a", "--name", "r"]), "r/a/1 ***\nivoufs2\n", "it came, and is masked");
    assert!(!bench.ok(&["events", "--json"]).contains("hunter2"));
    bench.ok(&["secrets", "delete", "TOKEN"]);
    assert_eq!(bench.dstack(&["secrets", "remove", "TOKEN"]).code, 1);
}

#[test]
fn python_prints_at_once_unless_its_user_decides() {
    let bench = Bench::allowing(
        1,
        "workflows:
- {name: ours, commands: ['echo \"<$PYTHONUNBUFFERED>\"']}
- {name: own, commands: ['echo \"<$PYTHONUNBUFFERED>\"'], env: {PYTHONUNBUFFERED: ''}}
",
    );
    assert_eq!(bench.ok(&["run", "ours"]), "<1>\n");
    assert_eq!(bench.ok(&["run", "own"]), "<>\n");
    assert_eq!(bench.ok(&["run", "--", "sh", "-c", "echo \"<$PYTHONUNBUFFERED>\""]), "<1>\n");
}
