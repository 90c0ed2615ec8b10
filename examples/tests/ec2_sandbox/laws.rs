//! What a token means, what a listing shows, and what is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dstack_core::clock::VirtualClock;
use examples::ec2_sandbox::{Options, Sandbox};
use proptest::prelude::*;

use super::client::{Client, quick, started, state_of};

#[derive(Debug, Clone)]
enum Op {
    Launch { token: u8, zone: Option<char>, spot: bool },
    Terminate { which: prop::sample::Index },
}

fn op() -> impl Strategy<Value = Op> {
    let launch = (0..3_u8, prop::option::of(prop::char::range('a', 'b')), any::<bool>())
        .prop_map(|(token, zone, spot)| Op::Launch { token, zone, spot });
    let terminate = any::<prop::sample::Index>().prop_map(|which| Op::Terminate { which });
    prop_oneof![4 => launch, 1 => terminate]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_token_makes_one_machine_in_its_zone_or_region_and_never_another(ops in prop::collection::vec(op(), 1..25)) {
        let (sandbox, client) = started(quick());
        // By zone and token: the machine, whether it was spot, and whether it was ended.
        let mut made: BTreeMap<(Option<char>, u8), (String, bool, bool)> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Launch { token, zone, spot } => {
                    let (name, place) = (format!("token-{token}"), zone.map(|zone| format!("us-east-1{zone}")));
                    let mut more = vec![("ClientToken", name.as_str())];
                    more.extend(place.as_deref().map(|place| ("Placement.AvailabilityZone", place)));
                    if spot {
                        more.push(("InstanceMarketOptions.MarketType", "spot"));
                    }
                    let answer = client.launch(&more).expect("the call is answered");
                    match made.get(&(zone, token)) {
                        None => {
                            let id = answer.text("instanceId").expect("it is new");
                            made.insert((zone, token), (id, spot, false));
                        }
                        Some((_, was_spot, _)) if *was_spot != spot => {
                            prop_assert_eq!(answer.refusal(), (400, "IdempotentParameterMismatch".to_owned()));
                        }
                        Some((_, _, true)) => {
                            prop_assert_eq!(answer.refusal(), (400, "IdempotentInstanceTerminated".to_owned()));
                        }
                        Some((id, ..)) => prop_assert_eq!(answer.text("instanceId"), Some(id.clone())),
                    }
                }
                Op::Terminate { which } => {
                    if made.is_empty() {
                        continue;
                    }
                    let place = which.index(made.len());
                    let machine = made.values_mut().nth(place).expect("the index is below the length");
                    prop_assert_eq!(client.asked("TerminateInstances", &[("InstanceId.1", &machine.0)]).status, 200);
                    machine.2 = true;
                }
            }
        }
        let state = sandbox.state();
        prop_assert_eq!(state.instances.len(), made.len());
        prop_assert_eq!(state.live(), made.values().filter(|(_, _, is_over)| !is_over).count());
    }
}

#[test]
fn any_other_parameter_under_the_same_token_is_a_mismatch() {
    let (_sandbox, client) = started(quick());
    let id = client.launched(&[("ClientToken", "t"), ("UserData", "I2E=")]);
    for other in [
        ("InstanceType", "m5.xlarge"),
        ("UserData", "I2I="),
        ("MaxCount", "2"),
        ("TagSpecification.1.ResourceType", "instance"),
    ] {
        let mut more = vec![("ClientToken", "t"), ("UserData", "I2E=")];
        more.retain(|(name, _)| *name != other.0);
        more.push(other);
        let answer = client.launch(&more).expect("the call is answered");
        assert_eq!(answer.refusal(), (400, "IdempotentParameterMismatch".into()), "{other:?}");
    }
    assert_eq!(client.launched(&[("ClientToken", "t"), ("UserData", "I2E=")]), id);
}

#[test]
fn a_dry_run_makes_nothing() {
    let (sandbox, client) = started(quick());
    let answer = client.launch(&[("ClientToken", "t"), ("DryRun", "true")]).expect("the call is answered");
    assert_eq!(answer.refusal(), (412, "DryRunOperation".into()));
    assert!(sandbox.state().instances.is_empty());
}

#[test]
fn one_unknown_id_keeps_all_the_others_alive() {
    let (sandbox, client) = started(quick());
    let id = client.launched(&[]);
    let answer = client.asked("TerminateInstances", &[("InstanceId.1", &id), ("InstanceId.2", "i-0123456789abcdef0")]);
    assert_eq!(answer.refusal(), (400, "InvalidInstanceID.NotFound".into()));
    assert_eq!(state_of(&sandbox.state(), &id), "running");
}

#[test]
fn a_protected_instance_saves_those_of_its_zone_only() {
    let (sandbox, client) = started(quick());
    let in_zone = |zone, protected| {
        client.launched(&[("Placement.AvailabilityZone", zone), ("DisableApiTermination", protected)])
    };
    let ids = [in_zone("us-east-1a", "true"), in_zone("us-east-1a", "false"), in_zone("us-east-1b", "false")];
    let named: Vec<(&str, &str)> =
        ["InstanceId.1", "InstanceId.2", "InstanceId.3"].into_iter().zip(ids.iter().map(String::as_str)).collect();
    assert_eq!(client.asked("TerminateInstances", &named).refusal(), (400, "OperationNotPermitted".into()));
    let states: Vec<String> = ids.iter().map(|id| state_of(&sandbox.state(), id)).collect();
    assert_eq!(states, ["running", "running", "terminated"]);
}

#[test]
fn the_most_at_once_is_counted_by_type_and_purchase_as_it_was_asked_for() {
    let (sandbox, client) = started(quick());
    let ids = [client.launched(&[]), client.launched(&[]), client.launched(&[])];
    for id in &ids[..2] {
        client.asked("TerminateInstances", &[("InstanceId.1", id)]);
    }
    client.launched(&[]);
    client.launched(&[("InstanceMarketOptions.MarketType", "spot")]);
    let state = sandbox.state();
    assert_eq!(state.max_live["m5.large/on-demand"], 3);
    assert_eq!(state.max_live["m5.large/spot"], 1);
    assert_eq!((state.live(), state.calls["RunInstances"], state.calls["TerminateInstances"]), (3, 5, 2));
    let shown = client.http("GET", "/sandbox/state", "").expect("it is answered");
    let shown: serde_json::Value = serde_json::from_str(&shown.body).expect("it is JSON");
    assert_eq!(shown["max_live"]["m5.large/on-demand"], 3);
    assert_eq!(shown["instances"][0]["type"], "m5.large");
}

fn on_virtual_time(options: Options) -> (Sandbox, Client, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(1));
    let (sandbox, client) = started(Options { clock: clock.clone(), ..options });
    (sandbox, client, clock)
}

#[test]
fn an_ended_instance_is_listed_for_an_hour_and_loses_its_tags_before() {
    let (_sandbox, client, clock) = on_virtual_time(quick());
    let tag = [
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "k"),
        ("TagSpecification.1.Tag.1.Value", "v"),
    ];
    let id = client.launched(&tag);
    client.asked("TerminateInstances", &[("InstanceId.1", &id)]);
    let tagged = || {
        client.asked("DescribeInstances", &[("Filter.1.Name", "tag:k"), ("Filter.1.Value.1", "v")]).texts("instanceId")
    };
    assert_eq!(tagged(), std::slice::from_ref(&id));
    clock.advance(Duration::from_secs(40 * 60));
    assert_eq!(tagged(), Vec::<String>::new());
    assert_eq!(client.seen(&id).0, "terminated");
    clock.advance(Duration::from_secs(21 * 60));
    let answer = client.asked("DescribeInstances", &[("InstanceId.1", &id)]);
    assert_eq!(answer.refusal(), (400, "InvalidInstanceID.NotFound".into()));
}

#[test]
fn an_instance_is_pending_while_it_boots_and_shuts_down_before_it_is_over() {
    let boot = Duration::from_secs(2);
    let (sandbox, client, clock) = on_virtual_time(Options { boot, shutdown: Duration::from_secs(1), ..quick() });
    let id = client.launched(&[]);
    assert_eq!(client.seen(&id), ("pending".into(), None));
    clock.advance(boot);
    assert_eq!(client.seen(&id), ("running".into(), Some("127.0.0.2".into())));
    client.asked("TerminateInstances", &[("InstanceId.1", &id)]);
    assert_eq!((client.seen(&id).0.as_str(), sandbox.state().live()), ("shutting-down", 1));
    clock.advance(Duration::from_secs(1));
    assert_eq!((client.seen(&id).0.as_str(), sandbox.state().live()), ("terminated", 0));
}

#[test]
fn accounts_and_regions_do_not_see_each_other() {
    let (_sandbox, client) = started(quick());
    let id = client.launched(&[]);
    let of = |other: &Client| other.asked("DescribeInstances", &[]).texts("instanceId");
    assert_eq!(of(&client), [id]);
    assert!(of(&client.clone().with_key("AKIA111122223333")).is_empty());
    assert!(of(&client.clone().in_region("eu-west-1")).is_empty());
    let nowhere = client.in_region("mars-1").asked("DescribeInstances", &[]);
    assert_eq!(nowhere.status, 400);
}

#[test]
fn keys_that_are_over_are_refused() {
    let (_sandbox, client) = started(quick());
    let answer = client.with_key("EXPIREDKEY").asked("DescribeInstances", &[]);
    assert_eq!(answer.refusal(), (400, "RequestExpired".into()));
}
