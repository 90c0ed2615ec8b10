//! The policy, the check and the calls are of one list; the codes of failures are of another.

use std::collections::BTreeSet;
use std::time::Duration;

use dstack_aws::{Api, BESIDE_CALLS, BUCKET_ACTIONS, CheckRow, Outcome, policy};
use dstack_core::cloud::{CloudProvider, Known, LaunchError};
use dstack_core::model::{MachineId, Purchase};

use crate::laws::Account;
use crate::wire::{Answer, Bench, LOG, REGION, error, file, reply, request, run, scope, token};

fn actions(policy: &str) -> BTreeSet<String> {
    let policy: serde_json::Value = serde_json::from_str(policy).expect("it is JSON");
    let statements = policy["Statement"].as_array().expect("it has statements");
    let action = |statement: &serde_json::Value| statement["Action"].as_array().expect("a list").clone();
    statements.iter().flat_map(action).map(|action| action.as_str().expect("a text").to_owned()).collect()
}

/// Makes the provider do everything that it can.
fn everything(bench: &Bench) {
    let ours = format!("<tagSet><item><key>dstack:log</key><value>{LOG}</value></item></tagSet>");
    let group = reply(
        "DescribeSecurityGroups",
        &format!("<securityGroupInfo><item><groupId>sg-1</groupId>{ours}</item></securityGroupInfo>"),
    );
    bench.run(bench.ec2.catalogue(REGION)).expect("it is complete");
    bench.run(bench.ec2.launch(&request(1, Purchase::Spot))).expect("it is launched");
    bench.wire.file("DescribeInstances", 200, "describe_instances_page2.xml");
    let spot = file("run_instances_spot.xml");
    let row = spot.split("<instancesSet>").nth(1).and_then(|rest| rest.split("</instancesSet>").next()).expect("a row");
    let listing = reply(
        "DescribeInstances",
        &format!("<reservationSet><item><instancesSet>{row}</instancesSet></item></reservationSet>"),
    );
    bench.wire.always("DescribeInstances", 200, listing);
    let spot = MachineId("i-0aaaaaaaaaaaaa002".into());
    let unheard = Known { token: token(1), machine: Some(spot), is_final: false, is_unheard: true };
    bench.run(bench.ec2.look(&scope(), LOG, &[])).expect("it is complete");
    bench.run(bench.ec2.look(&scope(), LOG, &[unheard])).expect("it is complete");
    bench.wire.answer("DescribeSpotInstanceRequests", 200, announced("i-0aaaaaaaaaaaaa002"));
    bench.run(bench.ec2.notice());
    let ended = bench.run(bench.ec2.terminate(&scope(), &[MachineId("i-0aaaaaaaaaaaaa002".into())]));
    assert_eq!(ended, [Ok(())]);
    *bench.address.answer.lock().expect("no test panics here") = Ok(std::net::Ipv4Addr::new(203, 0, 113, 5));
    bench.clock.advance(Duration::from_secs(600));
    bench.run(bench.ec2.launch(&request(2, Purchase::Spot))).expect("it is launched");
    bench.wire.always("DescribeSecurityGroups", 200, group);
    bench.run(bench.ec2.delete_group(REGION, LOG)).expect("it is deleted");
}

fn announced(id: &str) -> String {
    reply(
        "DescribeSpotInstanceRequests",
        &format!(
            "<spotInstanceRequestSet><item><spotInstanceRequestId>sir-1</spotInstanceRequestId><state>active</state><instanceId>{id}</instanceId><status><code>marked-for-termination</code><updateTime>2026-08-01T10:00:00.000Z</updateTime></status></item></spotInstanceRequestSet>"
        ),
    )
}

#[test]
fn the_policy_allows_exactly_the_calls_that_the_provider_makes() {
    let bench = Bench::new();
    everything(&bench);
    let made: BTreeSet<String> = bench.wire.actions().into_iter().collect();
    let listed: BTreeSet<String> = Api::ALL.into_iter().map(|api| api.name().to_owned()).collect();
    assert_eq!(made, listed, "the list is what is really called");
    let beside: BTreeSet<String> = BESIDE_CALLS.into_iter().map(str::to_owned).collect();
    let called: BTreeSet<String> = Api::ALL.into_iter().map(Api::action).collect();
    assert_eq!(actions(&policy(None)), called.union(&beside).cloned().collect());
    let with_bucket = actions(&policy(Some("results")));
    let more: BTreeSet<&str> =
        with_bucket.iter().map(String::as_str).filter(|action| action.starts_with("s3:")).collect();
    assert_eq!(more, BTreeSet::from(BUCKET_ACTIONS));
    assert!(!policy(Some("results")).contains("iam:PassRole"));
    let signs = policy(Some(&"b".repeat(63))).bytes().filter(|byte| !byte.is_ascii_whitespace()).count();
    assert!(signs < 6_144, "IAM takes no longer one, and this has {signs}");
}

#[test]
fn what_ends_or_changes_things_is_allowed_on_our_own_alone() {
    let policy: serde_json::Value = serde_json::from_str(&policy(None)).expect("it is JSON");
    for statement in policy["Statement"].as_array().expect("it has statements") {
        let actions = statement["Action"].to_string();
        let changes = ["Terminate", "Authorize", "Revoke", "Delete"].iter().any(|word| actions.contains(word));
        if changes {
            assert_eq!(statement["Condition"]["Null"]["aws:ResourceTag/dstack:log"], "false", "{statement}");
        }
        assert!(!actions.contains('*'), "{statement}");
    }
}

#[test]
fn the_check_tries_every_call_and_starts_nothing() {
    let bench = Bench::new();
    for api in Api::ALL {
        if !matches!(api, Api::GetCallerIdentity | Api::DescribeRegions) {
            bench.wire.answer(api.name(), 412, error("DryRunOperation", "Request would have succeeded"));
        }
    }
    bench.wire.answer("RunInstances", 412, error("DryRunOperation", "Request would have succeeded"));
    bench.run(bench.ec2.scope(REGION)).expect("it is there");
    bench.wire.answer("DescribeRegions", 412, error("DryRunOperation", "Request would have succeeded"));
    let group = "<securityGroupInfo><item><groupId>sg-default</groupId><groupName>default</groupName></item></securityGroupInfo>";
    bench.wire.always("DescribeSecurityGroups", 200, reply("DescribeSecurityGroups", group));
    let rows = bench.run(bench.ec2.check(REGION, LOG, None, None));
    let failed: Vec<&CheckRow> = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed { .. })).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for api in Api::ALL.into_iter().filter(|api| *api != Api::GetCallerIdentity) {
        assert!(rows.iter().any(|row| row.subject.starts_with(&api.action())), "{} is tried", api.action());
    }
    for action in [
        "RunInstances",
        "TerminateInstances",
        "CancelSpotInstanceRequests",
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupIngress",
        "DeleteSecurityGroup",
    ] {
        let sent = bench.wire.sent(action);
        assert!(!sent.is_empty() && sent.iter().all(|sent| sent["DryRun"] == "true"), "{action}");
    }
}

#[test]
fn the_check_names_what_is_missing_and_how_to_mend_it() {
    let bench = Bench::new();
    bench.wire.always("RunInstances", 403, file("error_UnauthorizedOperation.xml"));
    bench.wire.always("TerminateInstances", 403, file("error_UnauthorizedOperation.xml"));
    let group = "<securityGroupInfo><item><groupId>sg-default</groupId><groupName>default</groupName></item></securityGroupInfo>";
    bench.wire.always("DescribeSecurityGroups", 200, reply("DescribeSecurityGroups", group));
    let rows = bench.run(bench.ec2.check(REGION, LOG, None, None));
    let row = |subject: &str| rows.iter().find(|row| row.subject.starts_with(subject)).expect("it is tried").clone();
    assert!(matches!(row("ec2:RunInstances").outcome, Outcome::Failed { fix } if fix.contains("ec2:RunInstances")));
    assert!(matches!(row("ec2:TerminateInstances").outcome, Outcome::Undecided { .. }), "a tag may be asked for");
    bench.keys.store("AKIAOTHEROTHEROTHER1", &dstack_core::secret::Secret::new("x".into())).expect("it is a key");
    bench.wire.always(
        "GetCallerIdentity",
        403,
        "<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>",
    );
    let rows = bench.run(bench.ec2.check(REGION, LOG, None, None));
    assert_eq!(rows.len(), 1, "without an identity nothing else is tried: {rows:?}");
    assert_eq!(rows[0].subject, "credentials");
}

/// New keys would mend nothing where nobody answers.
#[test]
fn the_check_tells_an_account_that_cannot_be_reached_from_credentials_that_are_refused() {
    let bench = Bench::new();
    bench.wire.queue("GetCallerIdentity", Answer::Cut);
    let rows = bench.run(bench.ec2.check(REGION, LOG, None, None));
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].subject, "connection");
    assert!(matches!(&rows[0].outcome, Outcome::Failed { fix } if fix.contains("AWS_ENDPOINT_URL")), "{rows:?}");
}

#[test]
fn the_check_names_zones_of_the_catalogue_that_have_no_default_subnet() {
    let bench = Bench::new();
    let found = |bench: &Bench| {
        let rows = bench.run(bench.ec2.check(REGION, LOG, None, None));
        let row = rows.into_iter().find(|row| row.subject == "default network").expect("it is tried");
        assert_eq!(row.outcome, Outcome::Passed);
        row.words
    };
    let zones = ["us-east-1a", "us-east-1f"].map(|zone| {
        format!("<item><instanceType>g5.12xlarge</instanceType><locationType>availability-zone</locationType><location>{zone}</location></item>")
    });
    let offered = format!("<instanceTypeOfferingSet>{}</instanceTypeOfferingSet>", zones.concat());
    bench.wire.always("DescribeInstanceTypeOfferings", 200, reply("DescribeInstanceTypeOfferings", &offered));
    assert_eq!(found(&bench), "vpc-1 in us-east-1a, us-east-1b", "nothing is remembered yet");
    bench.run(bench.ec2.catalogue(REGION)).expect("it is complete");
    let words = found(&bench);
    assert!(
        words.contains("nothing is launched in us-east-1f, ") && words.contains("create-default-subnet"),
        "{words}"
    );
}

#[test]
fn the_check_passes_in_a_sandbox() {
    let account = Account::new();
    account.make_bucket("results");
    let rows = run(account.ec2().check(REGION, LOG, None, Some("results")));
    let failed: Vec<&CheckRow> = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed { .. })).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(account.sandbox.state().instances.is_empty());
}

/// What the docs say that only an account can show is what the check tries there, row for row.
#[test]
fn the_docs_name_what_the_check_tries_and_nothing_else() {
    let docs = include_str!("../../../docs/aws.md");
    let table = docs.split("| what | row of `dstack aws check` |").nth(1).expect("the docs have the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let named: BTreeSet<String> = rows
        .map(|row| row.rsplit('|').nth(1).and_then(|cell| cell.split('`').nth(1)).expect("each names a row").to_owned())
        .collect();
    let account = Account::new();
    account.make_bucket("results");
    let tried = run(account.ec2().check(REGION, LOG, None, Some("results"))).into_iter().map(|row| row.subject);
    let general = |subject: String| match subject.split([':', ' ']).next() {
        Some("ec2") => "ec2:…".to_owned(),
        Some("image") => "image for …".to_owned(),
        Some("bucket") => "bucket NAME".to_owned(),
        _ => subject,
    };
    assert_eq!(named, tried.map(general).collect());
}

/// Codes that speak of the credentials, not of what they may do: nothing happened, and new ones mend it.
const REFUSED_CREDENTIALS: [&str; 7] = [
    "AuthFailure",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSecurity.RequestHasExpired",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
];

#[test]
fn every_code_of_the_table_has_its_class_on_the_wire() {
    let table = include_str!("../../data/error_codes.csv");
    let bench = Bench::new();
    let mut walked = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (code, api, class, scope, status) = (fields[0], fields[1], fields[2], fields[3], fields[4]);
        let is_launch = api == "*" || api == "RunInstances";
        if code.starts_with('(') || !is_launch {
            continue;
        }
        let status = status.parse().unwrap_or_else(|_| if status.starts_with('5') { 500 } else { 400 });
        bench.clock.advance(Duration::from_secs(60));
        bench.wire.answer("RunInstances", status, error(code, "words"));
        let answer = bench.run(bench.ec2.launch(&request(1, Purchase::Spot))).expect_err("it is refused");
        let is_right = match class {
            "throttled" => matches!(answer, LaunchError::Throttled(_)),
            "capacity" => matches!(answer, LaunchError::Capacity { all_zones, .. } if all_zones == (scope == "region")),
            "quota" => matches!(answer, LaunchError::Quota(_)),
            "denied" if REFUSED_CREDENTIALS.contains(&code) => matches!(answer, LaunchError::Credentials(_)),
            "denied" => matches!(answer, LaunchError::Denied(_)),
            // One that was just made may not be seen everywhere yet.
            "invalid"
                if code.starts_with("InvalidSubnetI")
                    || code.contains("Group") && code.ends_with(".NotFound") && !code.contains("Placement") =>
            {
                matches!(answer, LaunchError::Throttled(_) | LaunchError::Invalid(_))
            }
            "invalid" => matches!(answer, LaunchError::Invalid(_)),
            "terminated" => answer == LaunchError::Ended,
            "unknown" if code == "IdempotentParameterMismatch" => matches!(answer, LaunchError::Mismatch(_)),
            "unknown" => matches!(answer, LaunchError::Unknown(_)),
            other => panic!("{other} is no class"),
        };
        assert!(is_right, "{code} is {class}, and was {answer:?}");
        walked += 1;
    }
    assert!(walked > 130, "{walked} codes were tried");
}

#[test]
fn a_code_that_nobody_knows_is_unknown_at_any_status() {
    for status in [400, 403, 409, 412, 500, 503] {
        let bench = Bench::new();
        bench.wire.answer("RunInstances", status, error("Brand.NewCode", "InsufficientInstanceCapacity"));
        let answer = bench.run(bench.ec2.launch(&request(1, Purchase::Spot)));
        assert!(matches!(answer, Err(LaunchError::Unknown(_))), "{status}: {answer:?}");
    }
}
