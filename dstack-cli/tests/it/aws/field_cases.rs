//! Cases from the field that are about accounts: what other tools' users met, and what is right.

use super::account::{Account, KEY, SECRET, answer, fast};

/// A type that only one zone has is asked for in that zone alone.
#[test]
fn case_12_a_type_that_one_zone_has_is_launched_there_in_one_call() {
    let Some(account) = Account::new("workflows: []") else { return };
    account.ok(&["autoscale", "allow", "trn1n.32xlarge", "-m", "1", "-s"]);
    assert_eq!(account.ok(&["run", "--", "echo", "ran"]), "ran\n");
    let state = account.sandbox.state();
    assert_eq!((state.instances.len(), state.calls["RunInstances"]), (1, 1));
}

/// Names of GPUs match whole, letter case aside; near names are proposed; what would start it is named.
#[test]
fn case_13_a_gpu_name_that_is_almost_right_is_refused_with_what_would_do() {
    let Some(account) = Account::new("workflows: []") else { return };
    account.ok(&["autoscale", "allow", "g5.xlarge", "-m", "1", "-d"]);
    let almost = account.dstack(&["run", "--gpu", "A10", "--", "true"]);
    assert_eq!(almost.code, 1, "{}", almost.err);
    assert!(almost.err.contains("A10G"), "{}", almost.err);
    assert_eq!(account.ok(&["run", "--gpu", "a10g", "--", "echo", "fits"]), "fits\n");
    assert_eq!(account.ok(&["run", "--", "echo", "no gpu wanted"]), "no gpu wanted\n");
    account.ok(&["autoscale", "remove", "--all"]);
    account.ok(&["autoscale", "allow", "g5g.xlarge", "-m", "1", "-d"]);
    let other = account.dstack(&["run", "--gpu", "T4", "--", "true"]);
    assert_eq!(other.code, 1, "{}", other.err);
    assert!(other.err.contains("autoscale allow"), "{}", other.err);
    let run = account.ok(&["run", "-d", "--queue", "--gpu", "T4", "--", "true"]);
    let row = account.bench.row(run.trim(), "true");
    let reason = row["reason"].as_str().unwrap_or_default();
    assert!(row["phase"] == "waiting" && reason.contains("no allowed instance type fits (1 T4 GPU)"), "{row}");
    assert_eq!(account.live(), 0, "T4g is not T4");
}

/// Listings come from the log and call nobody; an end of a sign-on is no lost runner and no missing permission.
#[test]
fn case_14_listings_need_no_cloud_and_expired_credentials_are_named_as_such() {
    let Some(account) = Account::unset("workflows: []", fast()) else { return };
    let keyed = |args: &[&str], key: &str| {
        let mut command = account.command(args);
        command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    };
    let ended = answer(keyed(&["aws", "configure"], KEY), "\n\nus-east-1\n\n");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let ended = answer(keyed(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-d"], KEY), "");
    assert_eq!(ended.code, 0, "{}", ended.err);

    let ended = answer(keyed(&["run", "-d", "--name", "r", "--", "true"], "EXPIREDKEY"), "");
    assert_eq!(ended.code, 0, "it is accepted: {}", ended.err);
    let log = account.bench.home().join("controller.log");
    let is_refused = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("RequestExpired"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_refused() && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    assert!(is_refused(), "the controller says why nothing starts");
    let is_told = |listed: &str| listed.contains("waiting") && listed.contains("credentials of aws are not accepted");
    let mut listed = account.ok(&["ps"]);
    while !is_told(&listed) && std::time::Instant::now() < end {
        listed = account.ok(&["ps"]);
    }
    assert!(is_told(&listed), "{listed}");
    assert_eq!(account.sandbox.state().instances.len(), 0);

    account.faults("credentials=1");
    for listing in [
        &["ps"][..],
        &["ps", "-a", "--json"],
        &["logs", "r"],
        &["artifacts", "list", "r"],
        &["autoscale", "info"],
        &["events"],
        &["runners", "-a"],
    ] {
        // The background controller asks now and then: a listing must not be the one that does.
        let mut command = account.command(listing);
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        let ended = answer(command, "");
        assert_eq!(ended.code, 0, "{listing:?}: {}", ended.err);
        assert!(!format!("{}{}", ended.out, ended.err).contains("permission"), "{listing:?}");
    }

    account.bench.write(
        "aws-credentials",
        "[default]\naws_access_key_id = AKIAPROFILEKEY000001\naws_secret_access_key = other\n",
    );
    account.faults("credentials=0");
    let info = answer(keyed(&["aws", "info", "--json"], KEY), "").out;
    assert!(info.to_lowercase().contains("environment") && info.contains("AKIA…MPLE"), "{info}");
    let info = answer(account.command(&["aws", "info", "--json"]), "").out;
    assert!(info.to_lowercase().contains("profile") && info.contains("AKIA…0001"), "{info}");
}
