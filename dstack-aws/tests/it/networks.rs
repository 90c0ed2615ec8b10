//! Where machines stand and who is let in.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dstack_core::cloud::{CloudProvider, LaunchError};
use dstack_core::model::Purchase;

use crate::wire::{Answer, Bench, LOG, Sent, error, reply, request, scope};

fn launch(bench: &Bench, launch: u64) -> Result<(), LaunchError> {
    bench.run(bench.ec2.launch(&request(launch, Purchase::OnDemand))).map(|_| ())
}

fn let_in(sent: &Sent) -> (String, String, String) {
    let field = |name: &str| sent[&format!("IpPermissions.1.{name}")].clone();
    assert_eq!(field("IpProtocol"), "tcp");
    (field("FromPort"), field("ToPort"), field("IpRanges.1.CidrIp"))
}

fn is_in(sent: &Sent, cidr: &str) -> bool {
    let_in(sent).2 == cidr
}

/// A group of the log that lets these in, the second by another controller.
fn group(rules: &[(&str, &str)]) -> String {
    let rule = |(cidr, mark): &(&str, &str)| {
        format!(
            "<item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort><ipRanges><item><cidrIp>{cidr}</cidrIp><description>{mark}</description></item></ipRanges></item>"
        )
    };
    let rules: String = rules.iter().map(rule).collect();
    let tag = format!("<tagSet><item><key>dstack:log</key><value>{LOG}</value></item></tagSet>");
    reply(
        "DescribeSecurityGroups",
        &format!(
            "<securityGroupInfo><item><groupId>sg-9</groupId><groupName>dstack {LOG}</groupName><ipPermissions>{rules}</ipPermissions>{tag}</item></securityGroupInfo>"
        ),
    )
}

#[test]
fn one_group_is_made_for_a_log_with_its_tag_and_lets_in_one_address_alone() {
    let bench = Bench::new();
    for number in 1..=3 {
        launch(&bench, number).expect("it is launched");
    }
    let made = bench.wire.only("CreateSecurityGroup");
    assert_eq!((made["VpcId"].as_str(), made["TagSpecification.1.ResourceType"].as_str()), ("vpc-1", "security-group"));
    assert_eq!(made["TagSpecification.1.Tag.2.Key"], "dstack:log");
    assert_eq!(made["TagSpecification.1.Tag.2.Value"], LOG.to_string());
    let opened = bench.wire.only("AuthorizeSecurityGroupIngress");
    assert_eq!(let_in(&opened), ("22".into(), "22".into(), "198.51.100.7/32".into()));
    assert!(!opened.keys().any(|name| name.contains("Ipv6")), "and nobody by IPv6");
    assert!(bench.wire.sent("RunInstances").iter().all(|sent| sent["NetworkInterface.1.SecurityGroupId.1"] == "sg-1"));
    assert_eq!(bench.address.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_group_that_is_there_is_used_again_as_it_is() {
    let bench = Bench::new();
    bench.wire.always("DescribeSecurityGroups", 200, group(&[("198.51.100.7/32", "x"), ("192.0.2.1/32", "other")]));
    launch(&bench, 1).expect("it is launched");
    assert!(bench.wire.sent("CreateSecurityGroup").is_empty());
    assert!(bench.wire.sent("AuthorizeSecurityGroupIngress").is_empty());
    assert!(bench.wire.sent("RevokeSecurityGroupIngress").is_empty(), "what others let in is theirs");
}

#[test]
fn a_group_of_that_name_without_the_tag_is_not_ours() {
    let bench = Bench::new();
    bench.wire.always("DescribeSecurityGroups", 200, group(&[]).replace("dstack:log", "other"));
    bench.wire.answer("CreateSecurityGroup", 400, error("InvalidGroup.Duplicate", "there is one"));
    assert!(launch(&bench, 1).is_err());
    assert!(bench.wire.sent("RunInstances").is_empty() && bench.wire.sent("AuthorizeSecurityGroupIngress").is_empty());
}

#[test]
fn a_group_that_another_controller_made_meanwhile_is_used() {
    let bench = Bench::new();
    bench.wire.answer("DescribeSecurityGroups", 200, reply("DescribeSecurityGroups", "<securityGroupInfo/>"));
    bench.wire.answer("CreateSecurityGroup", 400, error("InvalidGroup.Duplicate", "there is one"));
    bench.wire.answer("DescribeSecurityGroups", 200, group(&[]));
    bench.wire.answer("AuthorizeSecurityGroupIngress", 400, error("InvalidPermission.Duplicate", "it is in"));
    launch(&bench, 1).expect("it is launched");
    assert_eq!(bench.wire.only("RunInstances")["NetworkInterface.1.SecurityGroupId.1"], "sg-9");
}

#[test]
fn what_the_user_has_set_is_let_in_and_nobody_is_asked() {
    for (from, cidr) in
        [("203.0.113.0/24", "203.0.113.0/24"), ("203.0.113.9", "203.0.113.9/32"), ("203.0.113.9/24", "203.0.113.0/24")]
    {
        let bench = Bench::new();
        let mut request = request(1, Purchase::OnDemand);
        request.options.ssh_from = Some(from.into());
        request.options.ssh_port = Some(2222);
        bench.run(bench.ec2.launch(&request)).expect("it is launched");
        let opened = bench.wire.only("AuthorizeSecurityGroupIngress");
        assert_eq!(let_in(&opened), ("2222".into(), "2222".into(), cidr.into()));
        assert_eq!(bench.address.asked.load(Ordering::SeqCst), 0);
    }
    for from in ["everywhere", "::/0", "1.2.3.4/33", "1.2.3/8", ""] {
        let bench = Bench::new();
        let mut request = request(1, Purchase::OnDemand);
        request.options.ssh_from = Some(from.into());
        let answer = bench.run(bench.ec2.launch(&request));
        assert!(
            matches!(&answer, Err(LaunchError::Invalid(words)) if words.contains("--ssh-from")),
            "{from}: {answer:?}"
        );
    }
}

#[test]
fn a_cloud_on_this_machine_is_reached_from_this_machine() {
    let bench = Bench::with(|access| access.endpoint = Some("http://127.0.0.1:4566".into()));
    launch(&bench, 1).expect("it is launched");
    assert!(is_in(&bench.wire.only("AuthorizeSecurityGroupIngress"), "127.0.0.1/32"));
    assert_eq!(bench.address.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn an_own_address_that_is_not_known_passes_and_names_the_setting() {
    let bench = Bench::new();
    *bench.address.answer.lock().expect("no test panics here") = Err("no route".into());
    let answer = launch(&bench, 1);
    let Err(LaunchError::Throttled(words)) = &answer else { panic!("{answer:?}") };
    assert!(words.contains("not sent") && words.contains("--ssh-from") && words.contains("no route"), "{words}");
    assert!(bench.wire.sent("AuthorizeSecurityGroupIngress").is_empty() && bench.wire.sent("RunInstances").is_empty());
    *bench.address.answer.lock().expect("no test panics here") = Ok(std::net::Ipv4Addr::new(198, 51, 100, 7));
    launch(&bench, 1).expect("it is launched");
}

#[test]
fn a_new_own_address_is_let_in_and_the_old_one_no_longer_while_runners_live() {
    let bench = Bench::new();
    launch(&bench, 1).expect("it is launched");
    let alive = "<instanceId>i-1</instanceId><instanceState><code>16</code></instanceState><tagSet><item><key>dstack:ssh</key><value>u:22</value></item></tagSet>";
    let listing = |inside: &str| {
        reply(
            "DescribeInstances",
            &format!(
                "<reservationSet><item><instancesSet><item>{inside}</item></instancesSet></item></reservationSet>"
            ),
        )
    };
    bench.wire.always("DescribeInstances", 200, listing(alive));
    let look = || bench.run(bench.ec2.look(&scope(), LOG, &[])).expect("it is complete");
    look();
    *bench.address.answer.lock().expect("no test panics here") = Ok(std::net::Ipv4Addr::new(203, 0, 113, 5));
    for _ in 0..10 {
        bench.clock.advance(Duration::from_secs(29));
        look();
    }
    assert_eq!(bench.address.asked.load(Ordering::SeqCst), 1, "at most every five minutes");
    bench.wire.answer("RevokeSecurityGroupIngress", 503, error("Unavailable", "later"));
    bench.clock.advance(Duration::from_secs(60));
    look();
    assert_eq!(bench.address.asked.load(Ordering::SeqCst), 2);
    let opened = bench.wire.sent("AuthorizeSecurityGroupIngress");
    assert!(opened.len() == 2 && is_in(&opened[1], "203.0.113.5/32"));
    assert!(is_in(&bench.wire.only("RevokeSecurityGroupIngress"), "198.51.100.7/32"));
    for _ in 0..2 {
        bench.clock.advance(Duration::from_secs(301));
        look();
        let taken_back = bench.wire.sent("RevokeSecurityGroupIngress");
        assert!(taken_back.len() == 2 && is_in(&taken_back[1], "198.51.100.7/32"), "what failed is tried again, once");
    }
    let asked = bench.address.asked.load(Ordering::SeqCst);
    bench.wire.always(
        "DescribeInstances",
        200,
        listing("<instanceId>i-1</instanceId><instanceState><code>48</code></instanceState>"),
    );
    bench.clock.advance(Duration::from_secs(600));
    look();
    assert_eq!(bench.address.asked.load(Ordering::SeqCst), asked, "nobody asks when nothing lives");
}

#[test]
fn a_region_without_a_default_network_says_how_to_make_one() {
    let bench = Bench::new();
    bench.wire.answer("DescribeVpcs", 200, reply("DescribeVpcs", "<vpcSet/>"));
    let answer = launch(&bench, 1);
    assert!(matches!(&answer, Err(LaunchError::Invalid(words)) if words.contains("create-default-vpc")), "{answer:?}");
}

#[test]
fn the_group_is_deleted_when_asked_and_only_ours() {
    let bench = Bench::new();
    assert_eq!(bench.run(bench.ec2.delete_group("us-east-1", LOG)), Ok(false));
    bench.wire.always("DescribeSecurityGroups", 200, group(&[]));
    assert_eq!(bench.run(bench.ec2.delete_group("us-east-1", LOG)), Ok(true));
    assert_eq!(bench.wire.only("DeleteSecurityGroup")["GroupId"], "sg-9");
    assert!(bench.wire.sent("DescribeVpcs").is_empty(), "it goes even where there is no default network any more");
}

#[test]
fn a_flood_of_looks_and_launches_never_delays_a_termination() {
    let bench = Bench::new();
    launch(&bench, 1).expect("it is launched");
    bench.run(async {
        let scope = scope();
        let requests: Vec<_> = (2..30).map(|number| request(number, Purchase::OnDemand)).collect();
        let mut looks = futures::future::join_all((0..200).map(|_| bench.ec2.look(&scope, LOG, &[])));
        let mut launches = futures::future::join_all(requests.iter().map(|request| bench.ec2.launch(request)));
        for _ in 0..50 {
            tokio::select! { biased; _ = &mut looks => panic!("there is no limit"), () = tokio::task::yield_now() => {} }
            tokio::select! { biased; _ = &mut launches => panic!("there is no limit"), () = tokio::task::yield_now() => {} }
        }
        let ended = bench.ec2.terminate(&scope, &[dstack_core::model::MachineId("i-1".into())]).await;
        assert_eq!(ended, [Ok(())]);
    });
    bench.wire.queue("DescribeInstances", Answer::Cut);
    assert!(bench.wire.sent("RunInstances").len() <= 6 && bench.wire.sent("DescribeInstances").len() <= 51);
}
