//! Rules: changed while work runs.

use crate::bench::Bench;

const LOOP: &str = "while ! test -e \"$0\"; do sleep 0.05; done; echo end";

#[test]
fn disabling_shuts_runners_down_and_enabling_goes_on_with_what_waited() {
    let bench = Bench::allowing(1, "workflows: []");
    let go = bench.path("go").display().to_string();
    let run = bench.detach(&["--", "sh", "-c", LOOP, &go]);
    bench.wait_for_attempts(1);
    bench.ok(&["autoscale", "disable"]);
    let runners = bench.json(&["runners", "--json"]);
    assert_eq!(runners["runners"].as_array().map(Vec::len), Some(0), "{runners}");
    let row = bench.row(&run, "sh");
    assert_eq!(row["phase"], "waiting");
    assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("autoscale enable")), "{row}");
    assert_eq!(bench.json(&["autoscale", "info", "--json"])["enabled"], false);
    bench.write("go", "");
    bench.ok(&["autoscale", "enable"]);
    assert_eq!(bench.ok(&["logs", &run, "-f"]), "end\n");
    let row = bench.row(&run, "sh");
    assert_eq!((&row["phase"], &row["attempt"]), (&"succeeded".into(), &2.into()));
}

#[test]
fn lowering_a_maximum_waits_until_the_surplus_is_gone() {
    let bench = Bench::allowing(2, "workflows: []");
    let go = bench.path("go").display().to_string();
    let one = bench.detach(&["--name", "one", "--", "sh", "-c", LOOP, &go]);
    let other = bench.detach(&["--name", "other", "--", "sh", "-c", LOOP, &go]);
    bench.wait_for_attempts(2);
    bench.ok(&["autoscale", "allow", "local", "-m", "1", "-d"]);
    let info = bench.json(&["autoscale", "info", "--json"]);
    assert_eq!((&info["rules"][0]["max"], &info["rules"][0]["live"]), (&1.into(), &1.into()));
    bench.write("go", "");
    assert_eq!(bench.ok(&["logs", &one, "-f"]), "end\n");
    assert_eq!(bench.ok(&["logs", &other, "-f"]), "end\n");
}

#[test]
fn rules_are_told_removed_and_refused_in_one_line() {
    let bench = Bench::new("workflows: []");
    assert_eq!(bench.dstack(&["autoscale", "remove", "--all"]).code, 0);
    let none = bench.dstack(&["autoscale", "remove", "local"]);
    assert_eq!(none.code, 1);
    assert_eq!(none.err, "error: there is no rule for local, nor any other: nothing is allowed, so nothing starts\n");
    let spot = bench.dstack(&["autoscale", "allow", "local", "-m", "1", "-s"]);
    assert_eq!(spot.code, 1);
    assert!(spot.err.contains("--on-demand"), "{}", spot.err);
    let near = bench.dstack(&["autoscale", "allow", "locl", "-m", "1", "-d"]);
    assert_eq!(near.code, 1);
    assert!(near.err.contains("did you mean local?"), "{}", near.err);
    bench.ok(&["autoscale", "allow", "local", "-m", "3", "-d"]);
    bench.ok(&["autoscale", "set", "--idle-timeout", "10m"]);
    let info = bench.json(&["autoscale", "info", "--json"]);
    assert_eq!((&info["rules"][0]["max"], &info["settings"]["idle_timeout"]), (&3.into(), &"10m".into()));
    let none = bench.dstack(&["autoscale", "remove", "m5.xlarge", "--spot", "--region", "eu-west-1"]);
    assert_eq!(none.code, 1);
    assert!(none.err.starts_with("error: there is no rule for m5.xlarge as spot in eu-west-1: allowed are local "));
    bench.ok(&["autoscale", "remove", "local"]);
    assert_eq!(bench.json(&["autoscale", "info", "--json"])["rules"], serde_json::json!([]));
}

#[test]
fn a_runner_stopped_by_hand_gives_its_work_back() {
    let bench = Bench::allowing(1, "workflows: []");
    let go = bench.path("go").display().to_string();
    let run = bench.detach(&["--", "sh", "-c", LOOP, &go]);
    bench.wait_for_attempts(1);
    let runner = bench.json(&["runners", "--json"])["runners"][0]["runner"].as_str().expect("one is alive").to_owned();
    bench.write("go", "");
    bench.ok(&["runners", "stop", &runner]);
    assert_eq!(bench.dstack(&["runners", "stop", "nosuch"]).code, 1);
    bench.ok(&["logs", &run, "-f"]);
    assert_eq!(bench.row(&run, "sh")["phase"], "succeeded");
}

#[test]
fn a_maximum_that_is_no_count_is_refused_in_one_line() {
    let bench = Bench::new("workflows: []");
    for wrong in ["-1", "1.5", "-x", "many", ""] {
        let ended = bench.dstack(&["autoscale", "allow", "local", "--max", wrong, "--on-demand"]);
        assert_eq!(ended.code, 2, "{wrong}: {}", ended.err);
        let line = format!("error: invalid value '{wrong}' for '--max <MAX>': write a whole number from 0\n");
        assert_eq!(ended.err, line);
    }
    let ended = bench.dstack(&["autoscale", "allow", "local", "--max", "99999999999", "--on-demand"]);
    assert_eq!(ended.code, 2);
    assert_eq!(ended.err, "error: invalid value '99999999999' for '--max <MAX>': the most is 4294967295\n");
}

#[test]
fn every_setting_is_taken_told_and_taken_back() {
    let bench = Bench::new("workflows: []");
    let all = [
        ("--idle-timeout", "idle_timeout", "10m"),
        ("--boot-timeout", "boot_timeout", "20m"),
        ("--image", "image", "ami-0123456789abcdef0"),
        ("--result-hold", "result_hold", "6h"),
        ("--ssh-port", "ssh_port", "2222"),
        ("--ssh-user", "ssh_user", "me"),
        ("--ssh-from", "ssh_from", "203.0.113.7/32"),
    ];
    for (flag, field, value) in all {
        bench.ok(&["autoscale", "set", flag, value]);
        let shown = bench.json(&["autoscale", "info", "--json"])["settings"][field].clone();
        assert_eq!(shown.as_str().map_or_else(|| shown.to_string(), str::to_owned), value, "{flag}");
    }
    for (flag, field, given, kept) in
        [("--result-hold", "result_hold", "0", "0s"), ("--ssh-from", "ssh_from", "203.0.113.9", "203.0.113.9/32")]
    {
        bench.ok(&["autoscale", "set", flag, given]);
        assert_eq!(bench.json(&["autoscale", "info", "--json"])["settings"][field], kept, "{flag}");
    }
    bench.ok(&["autoscale", "set", "--ssh-port", "default"]);
    assert!(bench.json(&["autoscale", "info", "--json"])["settings"]["ssh_port"].is_null());
    let wrong = bench.dstack(&["autoscale", "set", "--ssh-port", "0"]);
    assert_eq!((wrong.code, wrong.err.lines().count()), (2, 1), "{}", wrong.err);
}
