//! Machines that an old copy of the log does not know.

use super::lives::{allow, name, script};
use crate::cloud::CloudProvider as _;
use crate::controller::{Options, Stray, end_stray, find_strays};
use crate::model::{LaunchId, LaunchRequest, Purchase};
use crate::testkit::World;

#[test]
fn a_machine_that_the_log_does_not_know_stops_launches_until_a_person_ends_it() {
    let world = World::new(11);
    let (run, submit) = world.submission(name("late"), vec![script("a", &["true"])]);
    let mut controller = world.controller(Options::default());
    let providers = world.ports().providers;
    world
        .run(async {
            controller.client_mut().command(allow("m7i.xlarge", 1)).await.expect("it is allowed");
            let log = controller.client_mut().state().log().expect("it has begun");
            // What the newer copy of this log launched.
            let offering = World::offering("m7i.xlarge", Purchase::OnDemand).expect("it is in the built-in list");
            let request = LaunchRequest::new(log, LaunchId::from_bits(77), &offering, offering.zones[0].clone());
            let stranger = world.cloud.launch(&request).await.expect("there is capacity").id;
            controller.client_mut().command(submit).await.expect("it is accepted");
            for _ in 0..20 {
                let step = controller.step().await.expect("the log can be used");
                controller.wait(step.next_wake).await;
            }
            assert_eq!(world.cloud.machines().len(), 1, "nothing is launched beside what this log does not know");

            let state = controller.client_mut().state().clone();
            let strays = find_strays(&providers, &state).await;
            let stray = Stray { scope: offering.scope.clone(), machine: stranger };
            assert_eq!((&strays.found, strays.unseen.len()), (&vec![stray.clone()], 0));
            end_stray(&providers, &stray).await.expect("the cloud takes it");
            controller.run_until_idle().await.expect("the log can be used");
        })
        .expect("it ends");
    assert!(controller.client_mut().state().runs()[&run].is_over());
    assert_eq!(world.cloud.max_live("m7i.xlarge", Purchase::OnDemand), 1, "the slot was never taken twice");
}

#[test]
fn a_scope_that_cannot_be_looked_at_is_told() {
    let world = World::new(12);
    let mut client = world.client();
    let strays = world
        .run(async {
            client.command(allow("m7i.xlarge", 1)).await.expect("it is allowed");
            find_strays(&std::collections::BTreeMap::new(), client.state()).await
        })
        .expect("it ends");
    assert_eq!((strays.found.len(), strays.unseen.len()), (0, 1));
}
