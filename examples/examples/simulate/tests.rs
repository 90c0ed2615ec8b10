//! Small workloads from the argument to the report.

use clap::Parser;
use dstack_core::model::Purchase;
use serde_json::Value;

use super::*;

fn args(words: &[&str]) -> Args {
    Args::parse_from([&["simulate"], words].concat())
}

fn json(report: &Report) -> Value {
    serde_json::to_value(report).expect("a report holds nothing that JSON cannot say")
}

fn without_wall(report: &Report) -> String {
    let mut value = json(report);
    value.as_object_mut().expect("a report is an object").remove("wall").expect("it says how fast it went");
    value.to_string()
}

/// The report on a workload of these rows under these rules.
fn run_csv(rows: &[&str], allow: &[&str]) -> Value {
    let jobs = workload::read_csv(&[&[workload::HEADER], rows].concat().join("\n")).expect("it is a workload");
    let rules: Vec<&str> = allow.iter().flat_map(|rule| ["--allow", *rule]).collect();
    let setup = args(&rules).setup(&jobs).expect("nothing is explained");
    let truth = simulate(&setup, &jobs, |_, _| {}).expect("it comes to its end");
    json(&Report::new(&setup, &jobs, &truth, Duration::from_secs(1)))
}

#[test]
fn equal_seeds_give_equal_reports_and_others_do_not() {
    let report = |seed| without_wall(&args(&["--jobs", "120", "--seed", seed]).report().expect("it comes to its end"));
    let first = report("7");
    assert_eq!(first, report("7"));
    assert_ne!(first, report("8"));
}

#[test]
fn every_made_job_finishes_under_the_default_rules() {
    let report = json(&args(&["--jobs", "100"]).report().expect("it comes to its end"));
    assert_eq!((&report["finished"], &report["never_started"]), (&100.into(), &0.into()));
}

#[test]
fn a_machine_costs_its_price_for_the_time_that_it_runs() {
    // Each job fills a machine, which then idles for the timeout and is stopped by the next look; a day lies between them.
    let rows = ["a,0,3600,4000,16384,0,,", "b,90000,3600,4000,16384,0,,"];
    let report = run_csv(&rows, &["m7i.xlarge:on-demand:1"]);
    assert_eq!((&report["finished"], &report["runners"]), (&2.into(), &2.into()));
    let (secs, micros) = (report["machine_s"].as_u64(), report["cost_micro_usd"].as_u64());
    let (secs, micros) = (secs.expect("a whole number"), micros.expect("a whole number"));
    assert!((7_800..8_000).contains(&secs), "two hours of work, ten minutes without, and some seconds: {secs}");
    let price = 201_600;
    assert!((price * secs / 3_600..=price * (secs + 1) / 3_600 + 1).contains(&micros), "{micros} for {secs} s");
}

#[test]
fn jobs_wait_for_their_turn_where_one_machine_is_allowed() {
    let rows = ["a,0,600,4000,8192,0,,", "b,0,600,4000,8192,0,,", "c,0,600,4000,8192,0,,"];
    let report = run_csv(&rows, &["m7i.xlarge:spot:1"]);
    assert_eq!((&report["runners"], &report["runners_most"]), (&1.into(), &1.into()));
    let (median, late) = (report["wait_median_s"].as_u64(), report["wait_p95_s"].as_u64());
    assert!(median >= Some(600) && late >= Some(1_200), "{median:?} {late:?}");
}

#[test]
fn waiting_for_a_dependency_is_not_waiting_for_a_runner() {
    let report = run_csv(&["a,0,6000,1000,1024,0,,", "b,0,60,1000,1024,0,,a"], &["m7i.xlarge:spot:1"]);
    assert_eq!(report["finished"], 2);
    assert!(report["wait_p95_s"].as_u64() < Some(120), "{report}");
    assert!(report["virtual_s"].as_u64() > Some(6_060), "{report}");
}

#[test]
fn a_job_that_no_machine_can_hold_is_counted_and_holds_up_nothing() {
    let report = run_csv(&["big,0,60,999000,1024,0,,", "small,5,60,1000,1024,0,,"], &["m7i.xlarge:spot:1"]);
    assert_eq!((&report["finished"], &report["never_started"]), (&1.into(), &1.into()));
}

#[test]
fn a_page_is_at_most_eighty_columns_wide() {
    let page = args(&["--jobs", "60"]).report().expect("it comes to its end").to_string();
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    assert!(page.contains('#'), "{page}");
}

#[test]
fn a_comparison_without_its_traces_says_so() {
    let args = args(&["--traces", "/nowhere/traces", "--ec2", "/nowhere/ec2"]);
    let error = args.compare(Path::new("/nowhere/traces"), Path::new("/nowhere/ec2")).expect_err("it is not there");
    assert_eq!(error.to_string(), "there is no folder /nowhere/traces: traces and prices are not part of this program");
}

#[test]
fn the_least_cost_is_that_of_the_dearest_share() {
    let offering = dstack_core::testkit::World::offering("m7i.xlarge", dstack_core::model::Purchase::OnDemand);
    let offerings = [offering.expect("the cloud sells it")];
    let rows = ["a,0,3600,2000,4096,0,,", "b,0,3600,2000,4096,0,,"];
    let jobs = workload::read_csv(&[&[workload::HEADER], &rows[..]].concat().join("\n")).expect("it is a workload");
    let least = bound::least_cost(jobs.iter().map(|job| (&job.needs, job.duration)), &offerings);
    assert_eq!(least.0, 201_600, "both together take all of its processors for an hour");
}

/// The job waits for the one machine, then for nothing.
#[test]
fn a_job_is_explained_each_time_that_the_answer_changes() {
    let rows = ["a,0,600,4000,8192,0,,", "b,0,600,4000,8192,0,,"];
    let jobs = workload::read_csv(&[&[workload::HEADER], &rows[..]].concat().join("\n")).expect("it is a workload");
    let args = args(&["--allow", "m7i.xlarge:spot:1", "--explain", "b"]);
    let setup = args.setup(&jobs).expect("there is such a job");
    let truth = simulate(&setup, &jobs, |_, _| {}).expect("it comes to its end");
    let told: Vec<&str> = truth.explained.iter().map(|told| &*told.why).collect();
    let [first, .., last] = &told[..] else { panic!("{told:?}") };
    assert!(first.contains(": all allowed runners are busy (m7i.xlarge spot)\n"), "{first}");
    assert!(last.contains("  m7i.xlarge spot in us-east-1: there are 1, as many as may be\n"), "{last}");
    assert!(last.ends_with("only 0 CPU, 8GB memory, 100GB disk and 0 GPU are left\n"), "{last}");
    let missing = args.setup(&jobs[..1]).map(|_| ()).expect_err("it is not there");
    assert_eq!(missing.to_string(), "the workload has no job b");
}

/// Jobs on a machine of their own type, one after the other and beside each other; then what a second costs, and an interruption.
#[test]
fn the_parts_of_a_bill_and_the_least_cost_are_the_whole() {
    let sold = |name| dstack_core::testkit::World::offering(name, Purchase::OnDemand).expect("the cloud sells it");
    let offerings = vec![sold("m7i.xlarge"), sold("c7i.4xlarge")];
    // The large one takes the large machine, on which the small one goes as well: it is dearer there.
    let rows = ["a,0,3600,16000,16384,0,,", "b,3700,1800,2000,8192,0,,", "c,3700,600,1000,1024,0,,"];
    let jobs = workload::read_csv(&[&[workload::HEADER], &rows[..]].concat().join("\n")).expect("it is a workload");
    let setting = compare::Setting::of(jobs, offerings, Purchase::OnDemand);
    let (least, division) = setting.least_cost();
    let done = setting.run(policies::Policy::Dstack);
    let bill = bill::Bill::of(&done, division);
    let sum = least + bill.boot + bill.empty + bill.unfilled + bill.dearer + bill.reruns;
    assert!(sum.abs_diff(bill.all) < 20, "{sum} {bill:?}");
    assert!(bill.boot > 0 && bill.empty > 0 && bill.unfilled > 0, "{bill:?}");
    assert_eq!((bill.reruns, bill.under_minimum), (0, 0));
    // One machine: it boots for a minute, is empty for 35 s and for the timeout.
    let price = offerings_price(&done);
    assert_eq!(bill.boot, price * 60 / 3_600);
}

fn offerings_price(done: &compare::Done) -> u64 {
    done.floor.rented().values().map(|rented| rented.price.0).next().expect("one was rented")
}

#[test]
fn a_bad_line_is_named() {
    let header = workload::HEADER;
    let bad =
        |row: &str| workload::read_csv(&format!("{header}\na,0,1,1,1,0,,\n{row}")).expect_err("it is bad").to_string();
    assert_eq!(bad("b,0,1,1"), "line 3: 8 fields are needed, there are 4");
    assert_eq!(bad("a,0,1,1,1,0,,"), "line 3: job a was there before");
    assert_eq!(bad("b,0,1,1,1,0,,c"), "line 3: job c does not come before it");
    assert_eq!(bad("b,0,-1,1,1,0,,"), "line 3: duration_s is \"-1\": invalid digit found in string");
    let no_header = workload::read_csv("a,0,1,1,1,0,,").expect_err("it has no header").to_string();
    assert!(no_header.starts_with("line 1: the columns must be"), "{no_header}");
}

#[test]
fn jobs_that_depend_on_each_other_are_one_group_submitted_with_its_last() {
    let rows = ["a,0,1,1,1,0,,", "b,1,1,1,1,0,,", "c,5,1,1,1,0,,a", "d,3,1,1,1,0,,b", "e,4,1,1,1,0,,"];
    let jobs = workload::read_csv(&[&[workload::HEADER], &rows[..]].concat().join("\n")).expect("it is a workload");
    let found: Vec<_> = workload::groups(&jobs).into_iter().map(|group| (group.submit.as_secs(), group.jobs)).collect();
    assert_eq!(found, [(3, vec![1, 3]), (4, vec![4]), (5, vec![0, 2])]);
}
