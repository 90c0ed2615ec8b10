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

#[test]
fn a_home_that_is_relative_is_below_the_folder_of_the_command() {
    let bench = Bench::new("workflows: []");
    let folder = bench.path(".").display().to_string();
    let mut command = bench.command(&["-C", &folder, "--home", "kept", "autoscale", "enable"]);
    assert_eq!(crate::bench::end(command.current_dir("/").spawn().expect("it starts")).code, 0);
    assert!(bench.path("kept/log.db").exists());
    let mut command = bench.command(&["-C", &folder, "autoscale", "enable"]);
    let command = command.env("DSTACK_HOME", "other").current_dir("/");
    assert_eq!(crate::bench::end(command.spawn().expect("it starts")).code, 0);
    assert!(bench.path("other/log.db").exists());
}

#[test]
fn a_home_that_cannot_be_read_is_named_and_check_prints_a_document_of_it() {
    let bench = Bench::allowing(1, "workflows: []");
    let home = bench.home().display().to_string();
    // A file with nothing in it is a log with nothing in it.
    for (damage, code) in [("nonsense".repeat(1000).as_bytes(), 1), (&[][..], 0)] {
        std::fs::write(bench.home().join("log.db"), damage).expect("it is ours");
        for beside in ["log.db-wal", "log.db-shm"] {
            let _ = std::fs::remove_file(bench.home().join(beside));
        }
        for args in [&["ps"][..], &["autoscale", "info"], &["check"]] {
            let ended = bench.dstack(args);
            assert_eq!(ended.code, code, "{args:?}: {}", ended.err);
            if code != 0 {
                assert!(ended.err.contains(&home) && ended.err.lines().count() == 1, "{args:?}: {}", ended.err);
            }
        }
    }
    std::fs::write(bench.home().join("log.db"), "nonsense".repeat(1000)).expect("it is ours");
    let ended = bench.dstack(&["check", "--json"]);
    assert_eq!(ended.code, 1);
    let document: serde_json::Value = serde_json::from_str(&ended.out).expect("it prints one JSON document");
    assert_eq!((&document["ok"], &document["bad_seq"]), (&false.into(), &serde_json::Value::Null));
    assert!(document["error"].as_str().is_some_and(|why| why.contains(&home)), "{document}");
}

#[test]
fn verbose_tells_which_home_is_used_and_what_is_in_it() {
    let bench = Bench::allowing(1, "workflows: []");
    let told = bench.dstack(&["-v", "ps"]).err;
    assert!(told.contains(&bench.home().display().to_string()) && told.contains("records="), "{told}");
}
