//! Looks and terminations: the facts about EC2 by their numbers.

use dstack_core::cloud::{Absence, CloudError, CloudProvider, Known, Look, MachineState, Seen};
use dstack_core::model::{Address, MachineId, Token};

use crate::wire::{Bench, LOG, error, file, reply, scope, token};

fn look(bench: &Bench, known: &[Known]) -> Result<Look, CloudError> {
    bench.run(bench.ec2.look(&scope(), LOG, known))
}

fn seen(look: &Look, id: &str) -> Seen {
    look.machines.iter().find(|seen| seen.id.0 == id).unwrap_or_else(|| panic!("{id} is not in {look:?}")).clone()
}

fn known(launch: u64, machine: Option<&str>) -> Known {
    Known { token: token(launch), machine: machine.map(|id| MachineId(id.into())), is_final: false, is_unheard: false }
}

fn machine(id: &str) -> MachineId {
    MachineId(id.into())
}

/// A listing with one machine.
fn one(inside: &str) -> String {
    reply(
        "DescribeInstances",
        &format!("<reservationSet><item><instancesSet><item>{inside}</item></instancesSet></item></reservationSet>"),
    )
}

#[test]
fn a_look_asks_for_the_tag_of_the_log_and_nothing_else() {
    let bench = Bench::new();
    assert_eq!(look(&bench, &[]), Ok(Look::default()));
    let sent = bench.wire.only("DescribeInstances");
    assert_eq!(sent["Filter.1.Name"], "tag:dstack:log");
    assert_eq!(sent["Filter.1.Value.1"], LOG.to_string());
    assert!(!sent.contains_key("Filter.2.Name"));
}

#[test]
fn e06_not_found_proves_nothing_and_look_ups_never_fail_for_an_id() {
    let bench = Bench::new();
    let look = look(&bench, &[known(1, Some("i-0000")), known(2, None)]).expect("it is complete");
    assert_eq!(look.absent, [Absence(token(1)), Absence(token(2))]);
    let sent = bench.wire.sent("DescribeInstances");
    let filters: Vec<(&str, &str)> =
        sent.iter().map(|sent| (sent["Filter.1.Name"].as_str(), sent["Filter.1.Value.1"].as_str())).collect();
    assert_eq!(filters[1..], [("instance-id", "i-0000"), ("client-token", token(1).0.as_str())]);
    assert_eq!(sent[2]["Filter.1.Value.2"], token(2).0);
    assert!(sent.iter().all(|sent| !sent.contains_key("InstanceId.1")), "an unknown id would fail the call");
    bench.wire.file("TerminateInstances", 400, "error_InvalidInstanceID.NotFound.xml");
    assert_eq!(bench.run(bench.ec2.terminate(&scope(), &[machine("i-0000")])), [Err(CloudError::NotFound)]);
}

#[test]
fn e07_missing_attributes_are_unknown() {
    let bench = Bench::new();
    bench.wire.answer("DescribeInstances", 200, one("<instanceId>i-1</instanceId>"));
    let bare = seen(&look(&bench, &[]).expect("complete"), "i-1");
    assert_eq!((bare.token, bare.state, bare.address), (None, MachineState::Pending, None));
    bench.wire.answer("DescribeInstances", 200, one("<instanceId>i-1</instanceId>"));
    let by_id = seen(&look(&bench, &[known(1, Some("i-1"))]).expect("complete"), "i-1");
    assert_eq!(by_id.token, Some(token(1)), "the log knows whose it is");
    bench.wire.answer("DescribeInstances", 200, one("<instanceState><code>16</code></instanceState>"));
    assert!(look(&bench, &[]).is_err(), "a row without an id is no complete listing");
}

#[test]
fn e08_a_listing_is_complete_or_an_error() {
    let bench = Bench::new();
    bench.wire.file("DescribeInstances", 200, "describe_instances_page1.xml");
    bench.wire.file("DescribeInstances", 200, "describe_instances_page2.xml");
    let both = look(&bench, &[]).expect("complete");
    let first = file("describe_instances_page1.xml").matches("<instanceId>").count();
    let second = file("describe_instances_page2.xml").matches("<instanceId>").count();
    assert_eq!(both.machines.len(), first + second);
    let sent = bench.wire.sent("DescribeInstances");
    assert_eq!(sent[1]["NextToken"], "eyJ2IjoiMSIsInMiOiJtYWRlLXVwIn0=");
    for (status, name) in
        [(500, "error_InternalError.xml"), (503, "error_html_503.html"), (503, "error_RequestLimitExceeded.xml")]
    {
        bench.wire.file("DescribeInstances", 200, "describe_instances_page1.xml");
        bench.wire.file("DescribeInstances", status, name);
        assert!(look(&bench, &[]).is_err(), "half a listing is none: {name}");
        bench.clock.advance(std::time::Duration::from_secs(1));
    }
    bench.wire.file("DescribeInstances", 200, "describe_instances_empty_page_with_token.xml");
    bench.wire.file("DescribeInstances", 200, "describe_instances_page2.xml");
    assert_eq!(look(&bench, &[]).expect("complete").machines.len(), second, "an empty page is not the last");
}

#[test]
fn e09_a_throttled_look_is_an_error_and_its_bucket_is_emptied() {
    let bench = Bench::new();
    bench.wire.file("DescribeInstances", 503, "error_RequestLimitExceeded.xml");
    assert!(matches!(look(&bench, &[]), Err(CloudError::Throttled(_))));
    bench.run(async {
        let scope = scope();
        let mut next = Box::pin(bench.ec2.look(&scope, LOG, &[]));
        let waits = tokio::select! { biased; _ = &mut next => false, () = tokio::task::yield_now() => true };
        assert!(waits, "it waits for its turn");
        bench.clock.advance(std::time::Duration::from_secs(1));
        assert!(next.await.is_ok());
    });
}

#[test]
fn e13_a_machine_that_never_ran_says_why() {
    let bench = Bench::new();
    bench.wire.file("DescribeInstances", 200, "describe_instances_page2.xml");
    let look = look(&bench, &[]).expect("complete");
    let reasons: Vec<(MachineState, Option<String>)> =
        look.machines.iter().map(|seen| (seen.state, seen.reason.clone())).collect();
    for code in [
        "Client.UserInitiatedShutdown",
        "Server.SpotInstanceTermination",
        "Client.InternalError",
        "Client.InstanceInitiatedShutdown",
    ] {
        assert!(reasons.contains(&(MachineState::Terminated, Some(code.to_owned()))), "{code}: {reasons:?}");
    }
    assert!(
        look.machines.iter().filter(|seen| seen.state == MachineState::Terminated).all(|seen| seen.address.is_none())
    );
    for seen in &look.machines {
        let is_spot = seen.reason.as_deref() == Some("Server.SpotInstanceTermination");
        assert_eq!(seen.is_taken_back, is_spot, "{:?}", seen.reason);
    }
}

#[test]
fn e18_shutting_down_and_stopped_are_not_terminated() {
    let bench = Bench::new();
    bench.wire.file("DescribeInstances", 200, "describe_instances_stopped.xml");
    assert_eq!(seen(&look(&bench, &[]).expect("complete"), "i-0aaaaaaaaaaaaa00a").state, MachineState::Halted);
    for (code, state) in [
        (0, MachineState::Pending),
        (16, MachineState::Running),
        (272, MachineState::Running),
        (32, MachineState::ShuttingDown),
        (48, MachineState::Terminated),
        (64, MachineState::Halted),
        (80, MachineState::Halted),
    ] {
        let inside = format!("<instanceId>i-1</instanceId><instanceState><code>{code}</code></instanceState>");
        bench.wire.answer("DescribeInstances", 200, one(&inside));
        assert_eq!(seen(&look(&bench, &[]).expect("complete"), "i-1").state, state, "{code}");
    }
}

#[test]
fn e19_a_machine_that_lost_its_tags_is_found_by_id_and_by_token() {
    let bench = Bench::new();
    let ended = "<instanceState><code>48</code></instanceState>";
    bench.wire.file("DescribeInstances", 200, "describe_instances_empty.xml");
    bench.wire.answer("DescribeInstances", 200, one(&format!("<instanceId>i-1</instanceId>{ended}")));
    bench.wire.answer(
        "DescribeInstances",
        200,
        one(&format!("<instanceId>i-2</instanceId><clientToken>{}</clientToken>{ended}", token(2))),
    );
    let look = look(&bench, &[known(1, Some("i-1")), known(2, None), known(3, None)]).expect("complete");
    let tokens: Vec<Option<Token>> = look.machines.iter().map(|seen| seen.token.clone()).collect();
    assert_eq!(tokens, [Some(token(1)), Some(token(2))]);
    assert!(look.machines.iter().all(|seen| seen.state == MachineState::Terminated));
    assert_eq!(look.absent, [Absence(token(3))]);
}

#[test]
fn a_machine_with_the_tag_of_another_log_is_never_in_a_look() {
    let bench = Bench::new();
    let foreign = "<instanceId>i-1</instanceId><tagSet><item><key>dstack:log</key><value>other</value></item></tagSet>";
    bench.wire.always("DescribeInstances", 200, one(foreign));
    let look = look(&bench, &[known(1, Some("i-1"))]).expect("complete");
    assert_eq!((look.machines, look.absent), (vec![], vec![Absence(token(1))]));
}

#[test]
fn an_address_is_made_of_the_machine_and_its_tag() {
    let bench = Bench::new();
    let row = |tag: &str| {
        one(&format!(
            "<instanceId>i-1</instanceId><instanceState><code>16</code></instanceState><ipAddress>203.0.113.1</ipAddress>\
             <tagSet><item><key>dstack:ssh</key><value>{tag}</value></item></tagSet>"
        ))
    };
    for (tag, address) in [
        ("ec2-user:22", Some("ec2-user@203.0.113.1:22")),
        ("me:2222", Some("me@203.0.113.1:2222")),
        ("-oProxyCommand=x:22", None),
        ("a b:22", None),
        ("me:0", None),
        ("me:x", None),
    ] {
        bench.wire.answer("DescribeInstances", 200, row(tag));
        let seen = seen(&look(&bench, &[]).expect("complete"), "i-1");
        assert_eq!(seen.address, address.map(|text| Address(text.into())), "{tag}");
    }
}

#[test]
fn e17_a_protected_machine_is_denied_and_not_ended() {
    let bench = Bench::new();
    bench.wire.file("TerminateInstances", 400, "error_OperationNotPermitted.xml");
    let answers = bench.run(bench.ec2.terminate(&scope(), &[machine("i-1")]));
    assert!(matches!(&answers[..], [Err(CloudError::Denied(_))]), "{answers:?}");
}

#[test]
fn e25_a_batch_that_fails_is_sent_one_by_one() {
    let bench = Bench::new();
    bench.wire.file("TerminateInstances", 400, "error_InvalidInstanceID.NotFound_two.xml");
    bench.wire.file("TerminateInstances", 200, "terminate_instances.xml");
    bench.wire.file("TerminateInstances", 400, "error_InvalidInstanceID.NotFound.xml");
    bench.wire.file("TerminateInstances", 200, "terminate_instances_again.xml");
    let machines = [machine("i-1"), machine("i-2"), machine("i-3")];
    let answers = bench.run(bench.ec2.terminate(&scope(), &machines));
    assert_eq!(answers, [Ok(()), Err(CloudError::NotFound), Ok(())]);
    let sent = bench.wire.sent("TerminateInstances");
    assert_eq!((sent[0]["InstanceId.3"].as_str(), sent[2]["InstanceId.1"].as_str()), ("i-3", "i-2"));
    for (status, body) in [(503, file("error_RequestLimitExceeded.xml")), (500, error("InternalError", ""))] {
        let before = bench.wire.sent("TerminateInstances").len();
        bench.clock.advance(std::time::Duration::from_secs(10));
        bench.wire.answer("TerminateInstances", status, body);
        assert!(bench.run(bench.ec2.terminate(&scope(), &machines)).iter().all(Result::is_err));
        assert_eq!(
            bench.wire.sent("TerminateInstances").len(),
            before + 1,
            "what is of no one machine is not sent again"
        );
    }
    assert_eq!(bench.run(bench.ec2.terminate(&scope(), &[])), []);
}
