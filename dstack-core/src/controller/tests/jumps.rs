//! Clocks that are set while something is waited for.

use std::time::Duration;

use super::lives::{allow, name, script};
use crate::clock::{Boot, Clock as _};
use crate::controller::Options;
use crate::testkit::World;

const HOUR_US: i64 = 3_600_000_000;

/// Found by the simulator with these options: `cloud.new_hidden`, `engine.clock_forward`. The cloud did not list a new
/// machine yet; the clock was set an hour ahead, so that in log time two looks had missed it for long enough.
#[test]
fn a_clock_that_is_set_proves_no_machine_gone() {
    let world = World::new(1);
    world.cloud.hide_new_for(crate::model::Span::from_secs(300));
    let (_, submit) = world.submission(name("demo"), vec![script("train", &["sleep 30"])]);
    let until = |secs| Boot(Duration::from_secs(secs));
    world
        .run(async {
            let mut controller = world.controller(Options::default());
            controller.client_mut().command(allow("m7i.large", 1)).await.expect("it is allowed");
            controller.client_mut().command(submit).await.expect("it is accepted");
            for secs in [12, 24, 120] {
                controller.run_until_idle_or(world.clock.sleep_until(until(secs))).await.expect("it runs");
                world.clock.shift_wall(HOUR_US);
            }
            controller.run_until_idle_or(world.clock.sleep_until(until(200))).await.expect("it runs");
        })
        .expect("it ends");
    let lives = world.cloud.machines().iter().filter(|machine| machine.is_live()).count();
    assert_eq!(lives, 1, "the machine is there, and hidden");
    assert_eq!(world.cloud.max_live("m7i.large", crate::model::Purchase::OnDemand), 1, "one is allowed");
    let mut client = world.client();
    world.run(client.refresh()).expect("it ends").expect("the log can be read");
    assert_eq!(client.state().live_runners().count(), 1, "its slot is taken");
}
