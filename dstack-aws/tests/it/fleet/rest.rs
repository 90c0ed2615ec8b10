//! What a fleet at rest costs in calls: a look a minute, whatever its size, and nothing where there is none.

use std::collections::BTreeMap;
use std::time::Duration;

use dstack_core::model::Purchase;

use super::world::{Fleet, count};

const HOUR: Duration = Duration::from_secs(3_600);

/// The calls by action of a fleet at rest in that time.
fn calls_at_rest(size: u32, purchase: Purchase, length: Duration) -> BTreeMap<String, usize> {
    let fleet = Fleet::new();
    let mut controller = fleet.controller();
    fleet.allow(&mut controller, purchase, size);
    fleet.submit(&mut controller, size, "sleep 1000000");
    fleet.until(&mut controller, |records| count(records, "AttemptAssigned") == size as usize);
    fleet.live(&mut controller, Duration::from_secs(120));
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

/// A question every five seconds for announcements, whatever the size of the fleet, besides.
#[test]
fn spot_costs_one_more_question_every_five_seconds() {
    let minutes = 20;
    let calls = calls_at_rest(250, Purchase::Spot, Duration::from_secs(60 * minutes));
    assert!(calls["DescribeInstances"] <= minutes as usize, "{calls:?}");
    assert!(calls["DescribeSpotInstanceRequests"] <= 12 * minutes as usize, "{calls:?}");
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
