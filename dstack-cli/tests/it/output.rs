//! What workflows printed, as it is shown.

use crate::bench::Bench;

#[test]
fn case_04_split_utf8_and_other_bytes_reach_a_pipe_as_they_were_printed() {
    let bench = Bench::allowing(
        1,
        "workflows: [{name: a, commands: [\"printf '\\\\342\\\\202'\", \"printf '\\\\254 done\\\\n'\", \"printf '\\\\200\\\\n'\"]}]",
    );
    let ended = bench.dstack(&["run", "a", "--name", "r"]);
    assert_eq!(ended.bytes, b"\xe2\x82\xac done\n\x80\n");
    let mut logs = bench.command(&["logs", "r", "--raw"]);
    let logs = crate::bench::end(logs.env("LC_ALL", "C").spawn().expect("it starts"));
    assert_eq!(logs.bytes, b"\xe2\x82\xac done\n\x80\n");
}

#[test]
fn case_05_progress_bar_of_many_steps_costs_no_records_and_is_kept_whole() {
    let script = "i=0; while [ $i -lt 20000 ]; do printf '\\r%d' $i; i=$((i+1)); done; echo";
    let bench = Bench::allowing(1, "workflows: []");
    let out = bench.ok(&["run", "--", "sh", "-c", script]);
    let expected: String = (0..20_000).map(|step| format!("\r{step}")).collect();
    assert!(out == expected + "\n", "the bytes are those that were printed");
    let records = bench.ok(&["events", "--json"]).lines().count();
    assert!(records < 40, "{records} records");
}

#[test]
fn lines_of_several_workflows_are_told_apart_in_a_pipe() {
    let bench = Bench::allowing(
        2,
        "workflows:
- {name: a, commands: [\"printf 'one\\\\ntwo'\"]}
- {name: long, commands: [\"echo three\"]}
- {name: all, commands: [\"true\"], depends-on: [a, long]}
",
    );
    let out = bench.ok(&["run", "all", "--name", "r"]);
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a    | one", "a    | two", "long | three"]);
    assert_eq!(bench.ok(&["logs", "r/a"]), "one\ntwo");
}

#[test]
fn case_01_times_come_from_the_log_and_json_knows_no_zone() {
    let bench = Bench::allowing(1, "workflows: []");
    bench.ok(&["run", "--name", "r", "--", "echo", "hi"]);
    let ps = |zone: &str| {
        let mut command = bench.command(&["ps", "-a", "--json"]);
        crate::bench::end(command.env("TZ", zone).spawn().expect("it starts")).out
    };
    assert_eq!(ps("Asia/Kathmandu"), ps("UTC"));
    let events = bench.ok(&["events", "--json"]);
    let times: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a record")["at"].to_string())
        .collect();
    assert!(times.is_sorted());
    assert!(times.iter().all(|at| at.len() == "\"2026-01-01T00:00:00.000000Z\"".len()), "{times:?}");
    assert_eq!(bench.ok(&["logs", "r", "--since", "5m"]), "hi\n");
    assert_eq!(bench.ok(&["logs", "r", "--since", "2100-01-01T00:00:00Z"]), "");
    assert_eq!(bench.dstack(&["logs", "r", "--since", "yesterday"]).code, 2);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let bench = Bench::allowing(1, "workflows: []");
    bench.ok(&["run", "--name", "r", "--", "sh", "-c", "yes | head -c 3000000"]);
    let mut child = bench.command(&["logs", "r"]).spawn().expect("it starts");
    drop(child.stdout.take());
    let ended = crate::bench::end(child);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn values_of_secrets_are_masked_everywhere() {
    let bench = Bench::new(
        "workflows: [{name: a, commands: ['printf %s \"$TOKEN\" | cut -c 1-3 | tr -d \"\\n\"; sleep 0.2; \
                            printf \"%s\\n\" \"${TOKEN#hun}\"; echo \"$PIN\"']}, {name: b, commands: ['echo \"<$TOKEN>\"'], depends-on: [a]}]",
    );
    bench.ok(&["autoscale", "allow", "local", "-d", "-m", "1"]);
    for (name, value) in [("TOKEN", "hunter2"), ("PIN", "123")] {
        assert_eq!(bench.secret(name, value).code, 0);
    }
    let ended = bench.dstack(&["run", "b", "--name", "r"]);
    assert_eq!(ended.out, "a | ***\na | 123\nb | <***>\n");
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    assert_eq!(bench.ok(&["logs", "r"]), ended.out);
    assert_eq!(bench.ok(&["logs", "r/a", "-f"]), "***\n123\n");
    assert_eq!(bench.ok(&["logs", "r", "--raw"]), "***\n123\n<***>\n");
}

#[test]
fn an_attached_run_whose_reader_goes_away_goes_on_and_says_so() {
    let bench = Bench::allowing(1, "workflows: []");
    let go = bench.path("go").display().to_string();
    let script = "until test -e \"$0\"; do echo again; sleep 0.05; done";
    let mut child = bench.command(&["run", "--name", "r", "--", "sh", "-c", script, &go]).spawn().expect("it starts");
    let mut first = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    std::io::BufRead::read_line(&mut out, &mut first).expect("it prints");
    drop(out);
    let ended = crate::bench::end(child);
    assert_eq!((ended.code, first.as_str()), (130, "again\n"), "{}", ended.err);
    let last = ended.err.lines().last().expect("it says something");
    assert_eq!(last, "r goes on: `dstack logs r -f` follows it, `dstack stop r` stops it");
    assert_eq!(bench.row("r", "sh")["phase"], "running");
    bench.write("go", "");
    bench.ok(&["logs", "r", "-f"]);
    assert_eq!(bench.row("r", "sh")["phase"], "succeeded");
}
