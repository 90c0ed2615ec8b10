//! What a launch sends and what its answers mean: the facts about EC2 by their numbers.

use std::time::Duration;

use dstack_core::clock::Clock as _;
use dstack_core::cloud::{CloudError, CloudProvider, LaunchError, SendPermit};
use dstack_core::model::{MachineId, Purchase};

use crate::wire::{Answer, Bench, IMAGE, LOG, REGION, Sent, error, file, reply, request, token, user_data};

fn launched(purchase: Purchase) -> Sent {
    let bench = Bench::new();
    bench.run(bench.ec2.launch(&request(1, purchase))).expect("it is launched");
    bench.wire.only("RunInstances")
}

fn refused(status: u16, body: &str) -> LaunchError {
    let bench = Bench::new();
    bench.wire.answer("RunInstances", status, body);
    let error = bench.run(bench.ec2.launch(&request(1, Purchase::Spot))).expect_err("it is refused");
    assert_eq!(bench.wire.sent("RunInstances").len(), 1, "nothing is sent again below the controller");
    error
}

#[test]
fn e01_a_launch_sends_the_same_request_each_time_under_its_own_token() {
    let (first, second) = (launched(Purchase::Spot), launched(Purchase::Spot));
    assert_eq!(first, second, "another process sends the same");
    assert_eq!(first["ClientToken"], token(1).0);
    assert!(first["ClientToken"].len() <= 64 && first["ClientToken"].is_ascii());
    assert_eq!((first["ImageId"].as_str(), first["InstanceType"].as_str()), (IMAGE, "m5.xlarge"));
    let mismatch = refused(400, &file("error_IdempotentParameterMismatch.xml"));
    assert!(matches!(mismatch, LaunchError::Mismatch(_)), "{mismatch:?}");
}

/// Sessions, images and networks are asked for first, and a turn is waited for: the claim may run out under all that.
#[test]
fn what_did_not_get_its_turn_in_time_is_never_sent() {
    let bench = Bench::new();
    let now = bench.clock.boot();
    let error = bench
        .run(bench.ec2.launch_with(&request(1, Purchase::Spot), &SendPermit::until(now)))
        .expect_err("it is too late");
    assert!(matches!(error, LaunchError::Throttled(_)), "{error:?}");
    assert_eq!(bench.wire.sent("RunInstances").len(), 0);
    let in_time = now.plus(Duration::from_nanos(1));
    bench.run(bench.ec2.launch_with(&request(1, Purchase::Spot), &SendPermit::until(in_time))).expect("it is launched");
    assert_eq!(bench.wire.sent("RunInstances").len(), 1);
}

#[test]
fn e01_a_replayed_answer_is_the_same_machine() {
    let bench = Bench::new();
    let request = request(1, Purchase::OnDemand);
    bench.wire.file("RunInstances", 200, "run_instances_on_demand.xml");
    bench.wire.file("RunInstances", 200, "run_instances_replayed.xml");
    let first = bench.run(bench.ec2.launch(&request)).expect("launched");
    assert_eq!(bench.run(bench.ec2.launch(&request)), Ok(first));
}

#[test]
fn e02_the_zone_of_the_launch_decides_the_subnet() {
    assert_eq!(launched(Purchase::OnDemand)["NetworkInterface.1.SubnetId"], "subnet-a");
    let bench = Bench::new();
    let mut other = request(1, Purchase::OnDemand);
    other.zone = "us-east-1b".into();
    bench.run(bench.ec2.launch(&other)).expect("it is launched");
    assert_eq!(bench.wire.only("RunInstances")["NetworkInterface.1.SubnetId"], "subnet-b");
}

/// The rule is not to blame: another zone may have what this one has not.
#[test]
fn e02_a_zone_without_a_default_subnet_has_no_capacity_until_somebody_makes_one() {
    let bench = Bench::new();
    let mut other = request(1, Purchase::OnDemand);
    other.zone = "us-east-1f".into();
    let answer = bench.run(bench.ec2.launch(&other));
    let Err(LaunchError::Capacity { why, all_zones: false, permanent: false }) = &answer else { panic!("{answer:?}") };
    assert!(why.contains("create-default-subnet --availability-zone us-east-1f"), "{why}");
    assert!(bench.wire.sent("RunInstances").is_empty());
    let made = "<subnetSet><item><subnetId>subnet-f</subnetId><availabilityZone>us-east-1f</availabilityZone></item></subnetSet>";
    bench.wire.always("DescribeSubnets", 200, reply("DescribeSubnets", made));
    bench.run(bench.ec2.launch(&other)).expect("it is launched");
    assert_eq!(bench.wire.only("RunInstances")["NetworkInterface.1.SubnetId"], "subnet-f");
}

#[test]
fn e02_a_network_without_any_default_subnet_is_the_regions_fault() {
    let bench = Bench::new();
    bench.wire.always("DescribeSubnets", 200, reply("DescribeSubnets", "<subnetSet/>"));
    let answer = bench.run(bench.ec2.launch(&request(1, Purchase::OnDemand)));
    assert!(
        matches!(&answer, Err(LaunchError::Invalid(words)) if words.contains("create-default-subnet")),
        "{answer:?}"
    );
}

#[test]
fn e03_a_token_whose_machine_has_ended_says_so_in_both_ways() {
    assert_eq!(refused(400, &file("error_IdempotentInstanceTerminated.xml")), LaunchError::Ended);
    let reply = file("run_instances_on_demand.xml");
    let ended = reply.replacen("<code>0</code>", "<code>48</code>", 1).replacen("<name>pending", "<name>terminated", 1);
    assert_ne!(ended, reply);
    let bench = Bench::new();
    bench.wire.answer("RunInstances", 200, ended);
    assert_eq!(bench.run(bench.ec2.launch(&request(1, Purchase::OnDemand))), Err(LaunchError::Ended));
}

#[test]
fn e04_another_launch_has_another_token() {
    let bench = Bench::new();
    for launch in 1..=3 {
        bench.run(bench.ec2.launch(&request(launch, Purchase::OnDemand))).expect("it is launched");
    }
    let tokens: Vec<String> =
        bench.wire.sent("RunInstances").into_iter().map(|sent| sent["ClientToken"].clone()).collect();
    assert_eq!(tokens, [token(1).0, token(2).0, token(3).0]);
}

#[test]
fn e05_no_launch_goes_out_with_a_token_that_is_not_ours() {
    for purchase in [Purchase::Spot, Purchase::OnDemand] {
        assert_eq!(launched(purchase)["ClientToken"], token(1).0);
    }
}

#[test]
fn e09_a_throttled_launch_did_nothing() {
    let throttled = refused(503, &file("error_RequestLimitExceeded.xml"));
    assert!(matches!(throttled, LaunchError::Throttled(_)), "{throttled:?}");
}

#[test]
fn e10_no_capacity_says_how_far_it_reaches() {
    let capacity = |status, body: &str| match refused(status, body) {
        LaunchError::Capacity { all_zones, permanent, .. } => (all_zones, permanent),
        other => panic!("{other:?}"),
    };
    assert_eq!(capacity(500, &file("error_InsufficientInstanceCapacity.xml")), (false, false));
    assert_eq!(capacity(500, &file("error_InsufficientInstanceCapacity_spot.xml")), (false, false));
    assert_eq!(capacity(400, &file("error_Unsupported.xml")), (false, true));
    assert_eq!(capacity(400, &file("error_SpotMaxPriceTooLow.xml")), (false, false));
    assert_eq!(capacity(400, &error("InsufficientFreeAddressesInSubnet", "full")), (false, false));
    assert_eq!(capacity(400, &error("UnfulfillableCapacity", "none")), (false, false));
    assert_eq!(capacity(500, &error("InsufficientAddressCapacity", "none")), (true, false));
    for name in ["error_VcpuLimitExceeded.xml", "error_MaxSpotInstanceCountExceeded.xml"] {
        assert!(matches!(refused(400, &file(name)), LaunchError::Quota(_)), "{name}");
    }
    assert!(matches!(refused(400, &error("InstanceLimitExceeded", "")), LaunchError::Quota(_)));
}

#[test]
fn e11_what_needs_a_person_is_denied_and_names_no_resources() {
    let denied = refused(403, &file("error_UnauthorizedOperation.xml"));
    let LaunchError::Denied(words) = &denied else { panic!("{denied:?}") };
    assert!(words.starts_with("UnauthorizedOperation") && !words.contains("Encoded"), "{words}");
    for name in ["error_AuthFailure.ServiceLinkedRoleCreationNotPermitted.xml", "error_PendingVerification.xml"] {
        assert!(matches!(refused(403, &file(name)), LaunchError::Denied(_)), "{name}");
    }
    assert!(matches!(refused(400, &error("OptInRequired", "")), LaunchError::Denied(_)));
    assert!(matches!(refused(400, &file("error_InvalidParameterValue.xml")), LaunchError::Invalid(_)));
    assert!(matches!(refused(400, &error("InvalidAMIID.NotFound", "")), LaunchError::Invalid(_)));
}

#[test]
fn e12_a_readable_code_decides_and_everything_else_is_unknown() {
    for (status, body) in [
        (500, file("error_InternalError.xml")),
        (503, file("error_Unavailable.xml")),
        (503, file("error_html_503.html")),
        (500, file("error_cut_off.xml")),
        (500, file("error_code_only_in_message.xml")),
        (400, file("error_unknown_code.xml")),
        (503, String::new()),
        (200, "<RunInstancesResponse>".into()),
        (200, crate::wire::reply("RunInstances", "<instancesSet/>")),
    ] {
        let answer = refused(status, &body);
        assert!(matches!(answer, LaunchError::Unknown(_)), "{status} {body}: {answer:?}");
    }
    assert!(matches!(refused(429, ""), LaunchError::Throttled(_)));
    let bench = Bench::new();
    bench.wire.queue("RunInstances", Answer::Cut);
    let answer = bench.run(bench.ec2.launch(&request(1, Purchase::OnDemand)));
    assert!(matches!(answer, Err(LaunchError::Unknown(_))), "{answer:?}");
    assert_eq!(bench.wire.sent("RunInstances").len(), 1);
}

#[test]
fn e12_an_answer_that_does_not_come_is_unknown_within_the_bound() {
    let bench = Bench::with(|access| access.timeout = Some(std::time::Duration::from_millis(20)));
    bench.wire.queue("RunInstances", Answer::Silence);
    let answer = bench.run(bench.ec2.launch(&request(1, Purchase::OnDemand)));
    assert!(matches!(answer, Err(LaunchError::Unknown(_))), "{answer:?}");
}

#[test]
fn e15_spot_is_asked_for_once_and_the_answer_is_believed() {
    let sent = launched(Purchase::Spot);
    assert_eq!(sent["InstanceMarketOptions.MarketType"], "spot");
    assert_eq!(sent["InstanceMarketOptions.SpotOptions.SpotInstanceType"], "one-time");
    assert_eq!(sent["InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"], "terminate");
    assert!(!sent.keys().any(|name| name.contains("MaxPrice")));
    assert!(!launched(Purchase::OnDemand).keys().any(|name| name.starts_with("InstanceMarketOptions")));
    for (name, bought) in
        [("run_instances_spot.xml", Purchase::Spot), ("run_instances_on_demand.xml", Purchase::OnDemand)]
    {
        let bench = Bench::new();
        bench.wire.file("RunInstances", 200, name);
        let machine = bench.run(bench.ec2.launch(&request(1, Purchase::Spot))).expect("it is launched");
        assert_eq!(machine.purchase, bought, "{name}");
        assert!(machine.id.0.starts_with("i-"));
    }
}

#[test]
fn e16_a_shutdown_from_inside_ends_the_machine() {
    assert_eq!(launched(Purchase::OnDemand)["InstanceInitiatedShutdownBehavior"], "terminate");
}

#[test]
fn e17_nothing_protects_or_outlives_the_machine() {
    let sent = launched(Purchase::OnDemand);
    assert_eq!(sent["DisableApiTermination"], "false");
    assert_eq!(sent["BlockDeviceMapping.1.DeviceName"], "/dev/xvda");
    assert_eq!(sent["BlockDeviceMapping.1.Ebs.VolumeSize"], "58");
    assert_eq!(sent["BlockDeviceMapping.2.DeviceName"], "/dev/sdb");
    for disk in ["BlockDeviceMapping.1.Ebs", "BlockDeviceMapping.2.Ebs", "NetworkInterface.1"] {
        assert_eq!(sent[&format!("{disk}.DeleteOnTermination")], "true");
    }
    assert!(!sent.contains_key("BlockDeviceMapping.3.DeviceName"), "a disk of the host goes by itself");
}

#[test]
fn e20_the_tags_are_in_the_launch_itself_on_machine_and_disks() {
    let sent = launched(Purchase::OnDemand);
    for (place, kind) in [(1, "instance"), (2, "volume")] {
        let tag = |key: &str| {
            let at = |field: &str, number: usize| format!("TagSpecification.{place}.Tag.{number}.{field}");
            let number = (1..9).find(|number| sent.get(&at("Key", *number)).is_some_and(|name| name == key))?;
            sent.get(&at("Value", number)).cloned()
        };
        assert_eq!(sent[&format!("TagSpecification.{place}.ResourceType")], kind);
        assert_eq!(tag("dstack:log"), Some(request(1, Purchase::OnDemand).log.to_string()));
        assert_eq!(tag("dstack:launch"), Some(request(1, Purchase::OnDemand).launch.to_string()));
        assert!(tag("Name").is_some_and(|name| name.starts_with("dstack")));
        assert_eq!(tag("dstack:ssh"), (kind == "instance").then(|| "ec2-user:22".to_owned()));
    }
}

#[test]
fn e21_a_group_that_is_not_seen_yet_is_tried_again_within_a_bound() {
    let bench = Bench::new();
    let request = request(1, Purchase::OnDemand);
    bench.wire.always("RunInstances", 400, error("InvalidGroup.NotFound", "sg-1 does not exist"));
    for _ in 0..4 {
        let answer = bench.run(bench.ec2.launch(&request));
        assert!(matches!(answer, Err(LaunchError::Throttled(_))), "{answer:?}");
    }
    let answer = bench.run(bench.ec2.launch(&request));
    assert!(matches!(answer, Err(LaunchError::Invalid(_))), "{answer:?}");
}

/// Deletes the log's group while time goes by.
fn deleted(bench: &Bench) -> Result<bool, CloudError> {
    let ours = format!("<tagSet><item><key>dstack:log</key><value>{LOG}</value></item></tagSet>");
    let group = format!("<securityGroupInfo><item><groupId>sg-1</groupId>{ours}</item></securityGroupInfo>");
    bench.wire.always("DescribeSecurityGroups", 200, reply("DescribeSecurityGroups", &group));
    bench.run(async {
        let time = async {
            for _ in 0..100_000 {
                bench.clock.advance(Duration::from_millis(100));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { biased; answer = bench.ec2.delete_group(REGION, LOG) => answer, () = time => panic!("no bound") }
    })
}

#[test]
fn e21_a_group_that_an_ending_instance_still_has_is_deleted_a_little_later_within_a_bound() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.wire.answer("DeleteSecurityGroup", 400, error("DependencyViolation", "sg-1 has a dependent object"));
    }
    assert_eq!(deleted(&bench), Ok(true));
    assert_eq!(bench.wire.sent("DeleteSecurityGroup").len(), 4);
    assert!(bench.clock.boot().0 >= Duration::from_secs(15), "it is given time");

    let bench = Bench::new();
    bench.wire.always("DeleteSecurityGroup", 400, error("DependencyViolation", "sg-1 has a dependent object"));
    let answer = deleted(&bench);
    assert!(matches!(&answer, Err(error) if error.to_string().contains("DependencyViolation")), "{answer:?}");
    assert!(bench.clock.boot().0 < Duration::from_secs(90), "a user waits for it");

    let bench = Bench::new();
    bench.wire.answer("DeleteSecurityGroup", 400, error("UnauthorizedOperation", "no"));
    assert!(matches!(deleted(&bench), Err(CloudError::Denied(_))));
    assert_eq!(bench.wire.sent("DeleteSecurityGroup").len(), 1, "nothing else passes by waiting");
}

#[test]
fn e22_user_data_is_what_was_given_and_within_its_bound() {
    let sent = launched(Purchase::OnDemand);
    let data = aws_smithy_types::base64::decode(&sent["UserData"]).expect("it is base64");
    assert_eq!(String::from_utf8(data).expect("it is text"), user_data(&request(1, Purchase::OnDemand)));
    let bench = Bench::new();
    let mut large = request(1, Purchase::OnDemand);
    large.options.ssh_user = Some("u".repeat(16_384));
    let answer = bench.run(bench.ec2.launch(&large));
    assert!(matches!(&answer, Err(LaunchError::Invalid(words)) if words.contains("16384")), "{answer:?}");
    assert!(!bench.wire.actions().iter().any(|action| action == "RunInstances"), "what cannot be is not launched");
}

#[test]
fn e23_metadata_needs_a_session_and_no_role_is_given() {
    let sent = launched(Purchase::OnDemand);
    assert_eq!(sent["MetadataOptions.HttpTokens"], "required");
    assert_eq!(sent["MetadataOptions.HttpPutResponseHopLimit"], "1");
    assert!(!sent.keys().any(|name| name.contains("IamInstanceProfile") || name.contains("KeyName")));
}

#[test]
fn one_machine_is_asked_for_and_two_in_the_answer_are_unknown() {
    let sent = launched(Purchase::OnDemand);
    assert_eq!((sent["MinCount"].as_str(), sent["MaxCount"].as_str()), ("1", "1"));
    let bench = Bench::new();
    bench.wire.file("RunInstances", 200, "run_instances_two_of_three.xml");
    let answer = bench.run(bench.ec2.launch(&request(1, Purchase::OnDemand)));
    assert!(matches!(answer, Err(LaunchError::Unknown(_))), "{answer:?}");
}

#[test]
fn the_machine_of_an_answer_is_named_by_it() {
    let bench = Bench::new();
    let machine = bench.run(bench.ec2.launch(&request(1, Purchase::OnDemand))).expect("it is launched");
    assert_eq!((machine.id, machine.address), (MachineId("i-0aaaaaaaaaaaaa001".into()), None));
}
