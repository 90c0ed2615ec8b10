//! What a fleet at rest costs in calls: a look a minute, whatever its size, and nothing where there is none.

use std::collections::BTreeMap;
use std::time::Duration;

use dstack_core::Controller;
use dstack_core::model::{MachineId, Purchase};

use super::world::{Fleet, count};

const HOUR: Duration = Duration::from_secs(3_600);

/// A fleet with its controller, some time after the last runner has got its work.
fn at_rest(size: u32, purchase: Purchase) -> (Fleet, Controller) {
    let fleet = Fleet::new();
    let mut controller = fleet.controller();
    fleet.allow(&mut controller, purchase, size);
    fleet.submit(&mut controller, size, "sleep 1000000");
    fleet.until(&mut controller, |records| count(records, "AttemptAssigned") == size as usize);
    fleet.live(&mut controller, Duration::from_secs(120));
    (fleet, controller)
}

/// The calls by action of a fleet at rest in that time.
fn calls_at_rest(size: u32, purchase: Purchase, length: Duration) -> BTreeMap<String, usize> {
    let (fleet, mut controller) = at_rest(size, purchase);
    let (before, appends) = (fleet.way.sent().len(), fleet.records().len());
    fleet.live(&mut controller, length);
    let mut calls = BTreeMap::new();
    for sent in &fleet.way.sent()[before..] {
        assert_eq!(sent.status, 200, "{sent:?}");
        *calls.entry(sent.action.clone()).or_default() += 1;
    }
    let is_price = |kind| kind == "PriceSeen";
    let more = fleet.records()[appends..].iter().filter(|it| !it.event().is_some_and(|it| is_price(it.kind()))).count();
    assert_eq!(more, 0, "rest leaves nothing in the log");
    println!("{size} {purchase} for {length:?}: {calls:?}");
    calls
}

#[test]
fn a_fleet_at_rest_is_looked_at_once_a_minute() {
    for (size, hours, per_runner_hour) in [(10, 24, 8), (100, 1, 1)] {
        let calls: usize = calls_at_rest(size, Purchase::OnDemand, HOUR * hours).values().sum();
        assert!(calls <= (per_runner_hour * size * hours) as usize, "{size}: {calls} calls in {hours} h");
    }
}

/// The goals for a runner-hour: 8 calls at 10 runners, 1 at 100. Spot runners hear of their end themselves, so that nobody asks
/// EC2 for it.
#[test]
fn a_spot_fleet_costs_no_more_calls_than_any_other() {
    for (size, hours, per_runner_hour) in [(10, 24, 8), (100, 1, 1)] {
        let calls = calls_at_rest(size, Purchase::Spot, HOUR * hours);
        assert_eq!(calls.get("DescribeSpotInstanceRequests"), None);
        let calls: usize = calls.values().sum();
        assert!(calls <= (per_runner_hour * size * hours) as usize, "{size}: {calls} calls in {hours} h");
    }
}

/// One question every five seconds for all that hear nothing, as long as there is one.
#[test]
fn for_runners_that_hear_nothing_ec2_is_asked_every_five_seconds() {
    for deaf in [1, 10] {
        let (fleet, mut controller) = at_rest(10, Purchase::Spot);
        for instance in fleet.sandbox.state().instances.iter().take(deaf) {
            fleet.host.deafen(&MachineId(instance.id.clone()));
        }
        fleet.live(&mut controller, Duration::from_secs(120));
        let before = fleet.way.arrivals("DescribeSpotInstanceRequests").len();
        fleet.live(&mut controller, HOUR);
        let asked = fleet.way.arrivals("DescribeSpotInstanceRequests").len() - before;
        assert!((600..=720).contains(&asked), "{deaf} deaf: {asked} questions in an hour");
        println!("{deaf} of 10 deaf: {asked} questions in an hour");
    }
}

#[test]
fn where_nothing_runs_and_nothing_waits_nobody_is_asked() {
    let fleet = Fleet::new();
    let mut controller = fleet.controller();
    fleet.allow(&mut controller, Purchase::OnDemand, 3);
    fleet.submit(&mut controller, 3, "sleep 5");
    fleet.run(controller.run_until_idle()).expect("the log can be used");
    assert_eq!(fleet.sandbox.state().live(), 0);
    let before = fleet.way.sent().len();
    fleet.live(&mut controller, HOUR * 24);
    let mut another = fleet.controller();
    fleet.live(&mut another, HOUR * 24);
    assert_eq!(fleet.way.sent().len(), before);
}
