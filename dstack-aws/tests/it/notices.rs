//! Announcements that a spot machine is taken back, and what is left of its request.

use std::sync::Arc;
use std::time::Duration;

use dstack_core::cloud::{CloudProvider, Known};
use dstack_core::model::{At, LaunchId, MachineId, Purchase};
use futures::FutureExt as _;

use crate::laws::Account;
use crate::wire::{Bench, LOG, REGION, error, file, reply, run, scope, token};

const SPOT: &str = "i-0aaaaaaaaaaaaa002";

/// A machine of which its controller says this.
fn known(machine: &str, is_unheard: bool) -> Known {
    Known { token: token(2), machine: Some(MachineId(machine.into())), is_final: false, is_unheard }
}

fn look_knowing(bench: &Bench, known: &[Known]) {
    bench.wire.file("DescribeInstances", 200, "describe_instances_page1.xml");
    bench.wire.file("DescribeInstances", 200, "describe_instances_empty.xml");
    bench.run(bench.ec2.look(&scope(), LOG, known)).expect("it is complete");
}

/// The spot machine hears nothing itself.
fn look(bench: &Bench) {
    look_knowing(bench, &[known(SPOT, true)]);
}

fn announced(ids: &[&str]) -> String {
    let row = |id: &&str| {
        format!(
            "<item><spotInstanceRequestId>sir-1</spotInstanceRequestId><instanceId>{id}</instanceId><status><code>marked-for-termination</code><updateTime>2026-08-01T10:00:00.000Z</updateTime></status></item>"
        )
    };
    reply(
        "DescribeSpotInstanceRequests",
        &format!("<spotInstanceRequestSet>{}</spotInstanceRequestSet>", ids.iter().map(row).collect::<String>()),
    )
}

#[test]
fn e14_an_announcement_comes_once_with_its_deadline() {
    let bench = Bench::new();
    look(&bench);
    bench.wire.always("DescribeSpotInstanceRequests", 200, announced(&[SPOT]));
    let notice = bench.run(bench.ec2.notice());
    assert_eq!(notice.machine, MachineId(SPOT.into()));
    let said_micros = 1_785_578_400_000_000;
    assert_eq!(notice.deadline, Some(At::from_micros(said_micros + 120_000_000)));
    let asked = bench.wire.sent("DescribeSpotInstanceRequests");
    assert_eq!(asked[0]["Filter.1.Name"], "status-code");
    assert_eq!(asked[0]["Filter.1.Value.1"], "marked-for-termination");
    assert!(!asked[0].contains_key("Filter.2.Name"), "one question, however many machines there are");
    bench.run(async {
        let mut next = Box::pin(bench.ec2.notice());
        for _ in 0..20 {
            bench.clock.advance(Duration::from_secs(5));
            assert!((&mut next).now_or_never().is_none(), "the same is not announced twice");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn e14_what_is_announced_to_others_in_the_account_is_not_ours() {
    let bench = Bench::new();
    look(&bench);
    bench.wire.answer("DescribeSpotInstanceRequests", 200, announced(&["i-0bbbbbbbbbbbbbbbb", SPOT]));
    assert_eq!(bench.run(bench.ec2.notice()).machine, MachineId(SPOT.into()));
    bench.run(async {
        assert!(bench.ec2.notice().now_or_never().is_none(), "there is no second one");
    });
}

#[test]
fn e14_nothing_is_asked_while_no_spot_machine_lives() {
    let bench = Bench::new();
    bench.run(async {
        let mut next = Box::pin(bench.ec2.notice());
        for _ in 0..20 {
            bench.clock.advance(Duration::from_secs(60));
            assert!((&mut next).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    });
    assert!(bench.wire.sent("DescribeSpotInstanceRequests").is_empty());
}

/// Lets a minute pass; returns how often EC2 was asked for announcements in it.
fn asked_in_a_minute(bench: &Bench) -> usize {
    let before = bench.wire.sent("DescribeSpotInstanceRequests").len();
    bench.run(async {
        let mut next = Box::pin(bench.ec2.notice());
        for _ in 0..60 {
            bench.clock.advance(Duration::from_secs(1));
            assert!((&mut next).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    });
    bench.wire.sent("DescribeSpotInstanceRequests").len() - before
}

#[test]
fn e14_a_spot_machine_that_hears_of_its_end_itself_is_not_asked_about() {
    let bench = Bench::new();
    look_knowing(&bench, &[known(SPOT, false)]);
    assert_eq!(asked_in_a_minute(&bench), 0);
    look_knowing(&bench, &[]);
    assert_eq!(asked_in_a_minute(&bench), 0, "nor one that nobody knows yet: nothing runs there");
    look_knowing(&bench, &[known("i-0aaaaaaaaaaaaa001", true)]);
    assert_eq!(asked_in_a_minute(&bench), 0, "nor one that is not for sale");
}

#[test]
fn e14_as_long_as_it_hears_nothing_it_is_asked_about_every_five_seconds() {
    let bench = Bench::new();
    look(&bench);
    let asked = asked_in_a_minute(&bench);
    assert!((12..=13).contains(&asked), "{asked}");
    look_knowing(&bench, &[known(SPOT, false)]);
    assert!(asked_in_a_minute(&bench) <= 1);
    assert_eq!(asked_in_a_minute(&bench), 0, "it is heard again");
}

#[test]
fn e14_a_question_that_fails_is_asked_again_later() {
    let bench = Bench::new();
    look(&bench);
    bench.wire.answer("DescribeSpotInstanceRequests", 500, error("InternalError", ""));
    bench.wire.answer("DescribeSpotInstanceRequests", 200, announced(&[SPOT]));
    bench.run(async {
        let mut next = Box::pin(bench.ec2.notice());
        let mut got = None;
        for _ in 0..20 {
            tokio::task::yield_now().await;
            got = got.or_else(|| (&mut next).now_or_never());
            if got.is_some() {
                break;
            }
            bench.clock.advance(Duration::from_secs(5));
        }
        assert_eq!(got.expect("it came").machine, MachineId(SPOT.into()));
    });
}

#[test]
fn e15_what_is_left_of_a_spot_request_is_cancelled_with_its_machine() {
    let bench = Bench::new();
    look(&bench);
    let ended =
        bench.run(bench.ec2.terminate(&scope(), &[MachineId("i-0aaaaaaaaaaaaa001".into()), MachineId(SPOT.into())]));
    assert_eq!(ended, [Ok(()), Ok(())]);
    let cancelled = bench.wire.only("CancelSpotInstanceRequests");
    assert_eq!(cancelled["SpotInstanceRequestId.1"], "sir-aaaaaaaa");
    assert!(!cancelled.contains_key("SpotInstanceRequestId.2"), "the other was bought on demand");
    bench.wire.answer("TerminateInstances", 500, file("error_InternalError.xml"));
    assert!(bench.run(bench.ec2.terminate(&scope(), &[MachineId(SPOT.into())]))[0].is_err());
    assert_eq!(bench.wire.sent("CancelSpotInstanceRequests").len(), 1, "a machine that may live keeps its request");
}

#[test]
fn a_machine_of_the_sandbox_is_announced_before_it_is_taken_back() {
    let account = Account::new();
    let ec2 = Arc::new(account.ec2());
    run(async {
        let scope = ec2.scope(REGION).await.expect("it is there");
        let offerings = ec2.catalogue(REGION).await.expect("it is complete");
        let offering = offerings.iter().find(|row| row.purchase == Purchase::Spot).expect("spot is sold");
        let mut request = crate::wire::request(1, Purchase::Spot);
        request.rule = offering.rule_key();
        request.scope = scope.clone();
        request.zone = offering.zones[0].clone();
        request.image = offering.image.clone();
        request.details = offering.details.clone();
        request.launch = LaunchId::from_bits(5);
        let machine = ec2.launch(&request).await.expect("it is launched");
        assert_eq!(machine.purchase, Purchase::Spot);
        let known =
            Known { token: request.token(), machine: Some(machine.id.clone()), is_final: false, is_unheard: true };
        ec2.look(&scope, LOG, &[known]).await.expect("it is complete");
        account.sandbox.interrupt(&machine.id.0, Some(Duration::from_secs(120))).expect("it lives");
        let notice = ec2.notice().await;
        assert_eq!(notice.machine, machine.id);
        assert!(notice.deadline.is_some());
    });
}
