//! Accounts and inputs out of the ordinary: what is refused says why, and what is not ours is left alone.

use std::sync::Arc;

use async_trait::async_trait;
use dstack_core::clock::{Boot, Clock, SystemClock};
use examples::ec2_sandbox::Options;

use super::account::{Account, KEY, SECRET, answer, fast};

fn keys(region: &str) -> String {
    format!("{KEY}\n{SECRET}\n{region}\n\n")
}

#[test]
fn a_type_that_another_region_has_is_refused_in_this_one_and_allowed_there() {
    let Some(account) = Account::new("workflows: []") else { return };
    let here = account.dstack(&["autoscale", "allow", "c8gb.2xlarge", "-m", "1", "-d", "--region", "eu-west-1"]);
    assert_eq!(here.code, 1);
    assert!(here.err.contains("c8gb.2xlarge") && here.err.contains("eu-west-1"), "{}", here.err);
    account.ok(&["autoscale", "allow", "c8gb.2xlarge", "-m", "1", "-d"]);
    let only_on_demand = account.dstack(&["autoscale", "allow", "hpc7g.4xlarge", "-m", "1", "-s"]);
    assert_eq!(only_on_demand.code, 1);
    assert!(only_on_demand.err.contains("not offered as spot") && only_on_demand.err.contains("on-demand"));
}

#[test]
fn arm_accelerators_and_bare_metal_are_allowed_and_run() {
    let Some(account) = Account::new("workflows: []") else { return };
    for (name, needs) in [("m7g.large", &[][..]), ("g5g.xlarge", &["--gpu", "T4g"]), ("m5.metal", &["--cpu", "90"])] {
        account.ok(&["autoscale", "allow", name, "-m", "1", "-d"]);
        let run: Vec<&str> = ["run"].iter().chain(needs).chain(&["--", "echo", "ran"]).copied().collect();
        assert_eq!(account.ok(&run), "ran\n", "{name}");
        account.ok(&["autoscale", "remove", "--all"]);
    }
    assert_eq!(account.live(), 0);
}

#[test]
fn a_quota_that_is_used_up_is_the_reason_that_a_workflow_waits_for() {
    let Some(account) = Account::new("workflows: []") else { return };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-d"]);
    account.faults("quota=1");
    let run = account.ok(&["run", "-d", "--", "true"]);
    account.bench.wait_for(|record| record["kind"] == "OfferingUnavailable");
    let row = account.bench.row(run.trim(), "true");
    let reason = row["reason"].as_str().unwrap_or_default();
    assert!(row["phase"] == "waiting" && reason.contains("VcpuLimitExceeded"), "{row}");
    assert_eq!(account.live(), 0);
}

/// A clock that is ten minutes ahead of this machine's.
struct Ahead;

#[async_trait]
impl Clock for Ahead {
    fn wall_micros(&self) -> i64 {
        SystemClock.wall_micros() + 600_000_000
    }

    fn boot(&self) -> Boot {
        SystemClock.boot()
    }

    async fn sleep_until(&self, moment: Boot) {
        SystemClock.sleep_until(moment).await;
    }

    fn entropy(&self) -> [u8; 16] {
        SystemClock.entropy()
    }
}

#[test]
fn a_clock_that_is_ten_minutes_off_is_named_as_such() {
    let options = Options { clock: Arc::new(Ahead), ..fast() };
    let Some(account) = Account::unset("workflows: []", options) else { return };
    let ended = account.configure(&keys("us-east-1"));
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("clock") && ended.err.contains("RequestExpired"), "{}", ended.err);
}

#[test]
fn without_credentials_or_with_a_sign_on_that_has_ended_the_way_to_get_some_is_named() {
    let Some(account) = Account::unset("workflows: []", fast()) else { return };
    let none = account.configure("\n\nus-east-1\n\n");
    assert_eq!(none.code, 1, "{}", none.err);
    assert!(none.err.contains("no credentials") || none.err.contains("profile"), "{}", none.err);
    let config = "[profile work]\nsso_session = work\nsso_account_id = 111122223333\nsso_role_name = dev\nregion = us-east-1\n\n\
                  [sso-session work]\nsso_start_url = https://work.awsapps.com/start\nsso_region = us-east-1\n";
    account.bench.write("aws-config", config);
    let ended = answer(account.command(&["aws", "configure", "--profile", "work"]), "us-east-1\n\n");
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("aws sso login --profile work"), "{}", ended.err);
    let missing = answer(account.command(&["aws", "configure", "--profile", "nobody"]), "us-east-1\n\n");
    assert_eq!(missing.code, 1, "{}", missing.err);
    assert!(missing.err.contains("nobody"), "{}", missing.err);
    let no_region = account.configure(&keys(""));
    assert!(no_region.code == 1 && no_region.err.contains("a region is needed"), "{}", no_region.err);
    assert_eq!(account.dstack(&["aws", "info"]).code, 1, "nothing was kept");
}

/// An empty answer means what the AWS command line would use.
#[test]
fn the_default_region_is_the_standard_chains() {
    let Some(account) = Account::unset("workflows: []", fast()) else { return };
    let key = "aws_access_key_id = AKIAPROFILEKEY000001\naws_secret_access_key = other\n";
    account
        .bench
        .write("aws-config", &format!("[default]\nregion = us-west-2\n\n[profile work]\nregion = eu-west-1\n{key}"));
    let region_after = |args: &[&str], variables: &[(&str, &str)], answers: &str| {
        let mut command = account.command(&[&["aws", "configure", "--force"], args].concat());
        command.envs(variables.iter().copied());
        let ended = answer(command, answers);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        account.json(&["aws", "info", "--json"])["region"].as_str().expect("it is kept").to_owned()
    };
    assert_eq!(region_after(&["--profile", "work"], &[], "\n\n"), "eu-west-1", "a profile's own");
    let typed = format!("{KEY}\n{SECRET}\n\n\n");
    assert_eq!(region_after(&[], &[("AWS_DEFAULT_REGION", "us-east-1")], &typed), "eu-west-1", "as it was before");
    account.ok(&["aws", "clear"]);
    assert_eq!(region_after(&[], &[("AWS_DEFAULT_REGION", "us-east-1")], &typed), "us-east-1");
    account.ok(&["aws", "clear"]);
    assert_eq!(region_after(&[], &[], &typed), "us-west-2", "the default profile's");
    assert_eq!(region_after(&["--profile", "work"], &[], "\n\n"), "eu-west-1", "a profile that is new has its own");
}

#[test]
fn what_no_proxy_names_is_reached_without_the_proxy() {
    let Some(account) = Account::unset("workflows: []", fast()) else { return };
    // Nobody is behind this port.
    let nowhere = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|it| it.local_addr()).expect("a port is free");
    let nowhere = format!("http://{nowhere}");
    let with_proxy = |excepted: &str| {
        let mut command = account.command(&["aws", "configure"]);
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            command.env(name, &nowhere);
        }
        command.env("NO_PROXY", excepted).env("no_proxy", excepted);
        answer(command, &keys("us-east-1"))
    };
    let ended = with_proxy("example.org");
    assert_eq!(ended.code, 1, "the proxy is used: {}", ended.err);
    let ended = with_proxy("localhost,127.0.0.1");
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[test]
fn machines_of_others_are_never_touched_whatever_their_tags_look_like() {
    let Some(account) = Account::of("workflows: []", Options { has_limits: false, ..fast() }) else { return };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-d"]);
    account.ok(&["run", "--name", "first", "--", "true"]);
    let own = account.sandbox.state().instances[0].clone();
    let log = own.tags["dstack:log"].clone();
    let of_type = "Owner.1=amazon&Filter.1.Name=architecture&Filter.1.Value.1=x86_64";
    let images = account.others_call(&format!("Action=DescribeImages&Version=2016-11-15&{of_type}"));
    let image = images.split("<imageId>").nth(1).and_then(|rest| rest.split('<').next()).expect("there is one");
    let look_alikes = [
        ("dstack:log", "00000000-0000-0000-0000-000000000000"),
        ("dstack:log", log.get(1..).expect("it is longer")),
        ("dstack:Log", log.as_str()),
        ("dstack-log", log.as_str()),
        ("Name", "dstack"),
        ("dstack:launch", own.tags["dstack:launch"].as_str()),
    ];
    for (key, value) in look_alikes {
        account.others_call(&format!(
            "Action=RunInstances&Version=2016-11-15&ImageId={image}&InstanceType=m5.xlarge&MinCount=1&MaxCount=1\
             &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key={}&TagSpecification.1.Tag.1.Value={value}",
            key.replace(':', "%3A")
        ));
    }
    assert_eq!(account.ok(&["run", "--name", "second", "--", "echo", "ran"]), "ran\n");
    account.ok(&["autoscale", "disable"]);
    account.ok(&["controller", "--until-idle"]);
    account.ok(&["aws", "clear"]);
    let state = account.sandbox.state();
    let alive = state.instances.iter().filter(|it| it.state == "running");
    assert_eq!(alive.count(), look_alikes.len(), "{:#?}", state.instances);
    let ours = state.instances.iter().filter(|it| it.tags.get("dstack:log") == Some(&log));
    assert!(ours.clone().count() >= 2 && ours.clone().all(|it| it.state == "terminated"), "{:#?}", state.instances);
}
