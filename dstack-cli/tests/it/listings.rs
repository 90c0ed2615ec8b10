//! Listings: what they say where there is nothing, and that they change nothing.

use crate::bench::Bench;

#[test]
fn an_empty_home_lists_nothing_and_stays_empty() {
    let bench = Bench::new("workflows: []");
    for (args, key) in [
        (vec!["ps", "--json"], "workflows"),
        (vec!["runners", "--json"], "runners"),
        (vec!["autoscale", "info", "--json"], "rules"),
        (vec!["secrets", "list", "--json"], "secrets"),
    ] {
        assert_eq!(bench.json(&args)[key], serde_json::json!([]), "{args:?}");
    }
    assert_eq!(bench.ok(&["events", "--json"]), "");
    assert_eq!(bench.json(&["check", "--json"]), serde_json::json!({"records": 0, "ok": true, "bad_seq": null}));
    assert_eq!(bench.dstack(&["logs", "nosuch"]).code, 1);
    assert!(!bench.home().exists());
}

#[test]
fn help_version_and_usage_need_no_home() {
    let bench = Bench::new("workflows: []");
    let mut command = bench.command(&["--version"]);
    let version = crate::bench::end(command.env_remove("DSTACK_HOME").env_remove("HOME").spawn().expect("it starts"));
    assert_eq!((version.code, version.out.as_str()), (0, concat!("dstack ", env!("CARGO_PKG_VERSION"), "\n")));
    assert_eq!(bench.ok(&["-v"]), version.out);
    assert!(bench.ok(&["run", "--help"]).contains("Examples:"));
    assert_eq!(bench.dstack(&["autoscale", "allow", "local"]).code, 2);
    let foreign = bench.dstack(&["on-demand", "limits"]);
    assert_eq!(foreign.code, 2);
    assert!(foreign.err.starts_with("error: ") && foreign.err.lines().count() == 1, "{}", foreign.err);
    assert!(bench.dstack(&["aws", "check"]).err.contains(if cfg!(feature = "aws") {
        "aws configure"
    } else {
        "without AWS"
    }));
}

#[test]
fn usage_asks_for_no_home_that_the_environment_names() {
    let bench = Bench::new("workflows: []");
    let ended = bench.dstack(&["autoscale", "allow", "local", "--nosuch"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("Usage: dstack autoscale allow") && !ended.err.contains("--home"), "{}", ended.err);
    assert!(bench.ok(&["ps", "--help"]).contains("[env: DSTACK_HOME]"));
    let ended = bench.dstack(&["events", "--after", "x"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("a record's number") && ended.err.lines().count() == 1, "{}", ended.err);
}

#[test]
fn a_changed_record_is_found() {
    let bench = Bench::allowing(1, "workflows: []");
    let records = bench.json(&["check", "--json"])["records"].as_u64().expect("a number");
    assert!(records >= 2);
    let lines = bench.ok(&["events", "--json", "--after", "1"]);
    assert_eq!(lines.lines().count() as u64, records - 1);
}

#[test]
fn without_all_only_what_is_not_over_is_listed() {
    let bench = Bench::allowing(1, "workflows: []");
    bench.ok(&["run", "--name", "r", "--", "true"]);
    assert_eq!(bench.json(&["ps", "--json"])["workflows"], serde_json::json!([]));
    assert!(bench.ok(&["ps"]).contains("succeeded"), "people see the last run");
    assert_eq!(bench.json(&["status", "-n", "1", "--json"])["workflows"][0]["run"], "r");
    let near = bench.dstack(&["ps", "rr"]);
    assert_eq!(near.code, 1);
}
