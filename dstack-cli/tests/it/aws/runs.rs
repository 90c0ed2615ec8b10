//! The whole way through an AWS account, on an EC2 of one's own: rules, machines, SSH, artifacts, and their end.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use super::account::{Account, KEY, SECRET, fast};
use crate::bench::end;

#[test]
fn keys_are_checked_before_they_are_kept_and_never_shown() {
    let Some(account) = Account::unset("workflows: []", fast()) else { return };
    let with_bucket = account.ok(&["aws", "policy", "--artifacts-s3-bucket", "results"]);
    assert!(with_bucket.contains("arn:aws:s3:::results/dstack/*"), "it can be made before anything is set up");
    let none = account.dstack(&["aws", "info"]);
    assert_eq!((none.code, none.err.as_str()), (1, "error: no AWS account is set up: run `dstack aws configure`\n"));

    let ended = account.configure(&format!("{KEY}\n{SECRET}\n"));
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("the answers ended before Region name"), "{}", ended.err);
    let ended = account.configure(&format!("{KEY}\n{SECRET}\nmoon-1\n\n"));
    assert_eq!(ended.code, 1, "{}", ended.err);
    let ended = account.configure(&format!("EXPIREDKEY\n{SECRET}\nus-east-1\n\n"));
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert_eq!(account.dstack(&["aws", "info"]).code, 1, "nothing was kept");

    let ended = account.configure(&format!("{KEY}\n{SECRET}\nus-east-1\nNone\n"));
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(!format!("{}{}", ended.out, ended.err).contains(SECRET));
    let info = account.json(&["aws", "info", "--json"]);
    assert_eq!((&info["region"], &info["bucket"]), (&"us-east-1".into(), &Value::Null));
    assert_eq!(info["access_key_id"], "AKIA…MPLE");
    let facts = std::fs::metadata(account.bench.home().join("credentials")).expect("it is kept");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o777, 0o600);
    assert!(account.ok(&["aws", "policy"]).contains("ec2:RunInstances"));

    account.ok(&["aws", "clear"]);
    assert_eq!(account.dstack(&["aws", "info"]).code, 1);
}

#[test]
fn a_type_that_is_not_offered_is_refused_with_near_ones() {
    let Some(account) = Account::new("workflows: []") else { return };
    let typo = account.dstack(&["autoscale", "allow", "m5.xlarg", "-m", "1", "-s"]);
    assert_eq!(typo.code, 1);
    assert!(typo.err.contains("m5.xlarge"), "{}", typo.err);
    let nowhere = account.dstack(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s", "--region", "moon-1"]);
    assert_eq!(nowhere.code, 1, "{}", nowhere.err);
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s"]);
    let table = account.ok(&["autoscale", "info"]);
    assert!(table.contains("AN HOUR") && table.contains("$0."), "{table}");
    assert!(!table.contains("list prices"), "Spot has no list price: {table}");
    let info = account.ok(&["aws", "info"]);
    assert!(info.contains("types     as asked for ") && info.contains(" ago\n"), "{info}");
    assert!(account.json(&["aws", "info", "--json"])["catalogue_age_seconds"].as_u64().is_some_and(|age| age < 600));
    let rules = account.json(&["autoscale", "info", "--json"]);
    let rule = &rules["rules"][0];
    assert_eq!(
        (&rule["provider"], &rule["region"], &rule["instance_type"], &rule["purchase"], &rule["max"]),
        (&"aws".into(), &"us-east-1".into(), &"m5.xlarge".into(), &"spot".into(), &1.into())
    );
    account.ok(&["autoscale", "allow", "r9g.12xlarge", "-m", "1", "-d"]);
    let table = account.ok(&["autoscale", "info"]);
    assert!(table.contains("unknown") && table.contains(dstack_aws::LIST_PRICES_OF), "{table}");
}

#[test]
fn a_workflow_runs_on_a_machine_that_is_started_for_it_and_ended_again() {
    let workflows = "workflows:
- {name: make, commands: ['mkdir out', 'echo 42 > out/answer', 'echo made'], artifacts: [out]}
- {name: use, commands: ['cat out/answer input', 'echo \"$TOKEN\" | tr a-z b-za'], depends-on: [make]}
";
    let Some(account) = Account::new(workflows) else { return };
    account.bench.write("input", "from the project\n");
    let mut set = account.command(&["secrets", "set", "TOKEN"]).stdin(Stdio::piped()).spawn().expect("it starts");
    set.stdin.take().expect("it is piped").write_all(b"hunter2").expect("it is read");
    assert_eq!(end(set).code, 0);
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s"]);
    let ended = account.dstack(&["run", "use", "--name", "r"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out, "make | made\nuse  | 42\nuse  | from the project\nuse  | ivoufs2\n");
    let results = account.bench.path("results").display().to_string();
    account.ok(&["artifacts", "download", "r/make", "--output", &results]);
    assert_eq!(std::fs::read(account.bench.path("results/out/answer")).expect("it is there"), b"42\n");

    account.ok(&["controller", "--until-idle"]);
    let state = account.sandbox.state();
    assert_eq!(account.live(), 0, "no machine is left");
    assert_eq!(state.max_live.get("m5.xlarge/spot"), Some(&1), "there never were two");
    let runners = account.json(&["runners", "-a", "--json"]);
    let phases: Vec<&Value> = runners["runners"].as_array().expect("a list").iter().map(|it| &it["phase"]).collect();
    assert!(!phases.is_empty() && phases.iter().all(|phase| **phase == "stopped"), "{runners}");
    for listing in [account.ok(&["events", "--json"]), account.ok(&["runners", "-a", "--json"])] {
        assert!(!listing.contains("hunter2") && !listing.contains(SECRET) && !listing.contains("PRIVATE KEY"));
    }
    assert!(account.ok(&["check"]).starts_with("ok: "));
}

/// How many security groups of a log are left in a region.
fn groups(account: &Account, region: &str) -> usize {
    let form = "Action=DescribeSecurityGroups&Version=2016-11-15&Filter.1.Name=tag-key&Filter.1.Value.1=dstack%3Alog";
    account.others_call_in(region, form).matches("<groupId>").count()
}

#[test]
fn clearing_takes_the_groups_of_every_region_that_ever_had_a_rule_or_keeps_the_account() {
    let Some(account) = Account::new("workflows: []") else { return };
    for region in ["us-west-2", "us-east-1"] {
        account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-d", "--region", region]);
        assert_eq!(account.ok(&["run", "--", "echo", "ran"]), "ran\n", "{region}");
        account.ok(&["autoscale", "remove", "--all"]);
        account.ok(&["controller", "--until-idle"]);
    }
    assert_eq!((groups(&account, "us-west-2"), groups(&account, "us-east-1")), (1, 1));

    let mut away = account.command(&["aws", "clear"]);
    away.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let ended = end(away.spawn().expect("it starts"));
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("run `dstack aws clear` again"), "{}", ended.err);
    for fault in ["credentials", "throttle"] {
        account.faults(&format!("{fault}=1"));
        let ended = account.dstack(&["aws", "clear"]);
        assert_eq!(ended.code, 1, "{fault}: {}", ended.err);
        assert!(ended.err.contains("run `dstack aws clear` again"), "{fault}: {}", ended.err);
        account.faults(&format!("{fault}=0"));
    }
    account.ok(&["aws", "info"]);

    let ended = account.dstack(&["aws", "clear"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        ended.err.contains("in us-west-2 is deleted") && ended.err.contains("in us-east-1 is deleted"),
        "{}",
        ended.err
    );
    assert_eq!((groups(&account, "us-west-2"), groups(&account, "us-east-1")), (0, 0));
    assert_eq!(account.dstack(&["aws", "info"]).code, 1, "the account is forgotten");
}
