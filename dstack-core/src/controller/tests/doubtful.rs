//! Appends whose outcome is not known, and others that are faster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lives::{allow, name, outcomes, script};
use crate::Client;
use crate::clock::{Boot, Clock as _};
use crate::controller::{Controller, Options};
use crate::model::state::{Outcome, Phase};
use crate::model::{AppendId, Event, Record, RunId, Seq};
use crate::store::{CommitFate as Fate, EventStore as _, FaultyStore, StoreFaults};
use crate::testkit::World;

/// A world with a run of this many workflows in its log, one runner allowed, and a controller whose store meets this fate.
fn world_with(
    workflows: u32,
    fate: impl FnMut(&[AppendId]) -> Fate + Send + 'static,
) -> (World, Controller, Client, RunId) {
    let world = World::new(7);
    let store = FaultyStore::new(Arc::clone(&world.store) as _, Arc::clone(&world.clock) as _, 7).with_fates(fate);
    let specs = (0..workflows).map(|number| script(&format!("w{number}"), &["sleep 30", "exit 0"])).collect();
    let (run, submit) = world.submission(name("demo"), specs);
    let mut client = world.client();
    let given = async {
        client.command(allow("m7i.large", 1)).await.expect("it is allowed");
        client.command(submit).await.expect("it is accepted");
    };
    world.run(given).expect("it ends");
    let own = Client::new(Arc::new(store), Arc::clone(&world.clock) as _);
    let controller = Controller::new(own, world.ports(), Options::default());
    (world, controller, client, run)
}

/// All records, by the append that they came with, in the log's order.
fn appends(world: &World) -> Vec<(AppendId, Vec<&'static str>)> {
    let records = world.run(world.store.read(Seq::START, usize::MAX)).expect("it ends").expect("it can be read");
    let mut appends: Vec<(AppendId, Vec<&'static str>)> = Vec::new();
    for record in &records {
        let kind = record.event().map_or("unknown", Event::kind);
        match appends.last_mut().filter(|(id, _)| *id == record.append) {
            Some((_, kinds)) => kinds.push(kind),
            None => appends.push((record.append, vec![kind])),
        }
    }
    appends
}

/// One life with this fate; returns how many appends each commit had.
fn live(fate: impl Fn(usize) -> Fate + Send + 'static) -> (World, Vec<Vec<AppendId>>) {
    let commits = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&commits);
    let (world, mut controller, _, run) = world_with(3, move |ids| {
        let mut seen = seen.lock().expect("nobody panics with it");
        seen.push(ids.to_vec());
        fate(seen.len())
    });
    world.run(controller.run_until_idle()).expect("it ends").expect("the log can be used");
    assert_eq!(outcomes(&world, run), vec![Phase::Over(Outcome::Succeeded); 3]);
    assert_eq!(controller.client().state().faults().iter().count(), 0, "every event fits");
    for number in 0..3 {
        let workflow = crate::model::WorkflowId { run, index: number };
        let attempt = crate::model::AttemptId { workflow, number: 1 };
        assert_eq!(world.host.starts(attempt), 1, "workflow {number} was started once");
    }
    let commits = commits.lock().expect("nobody panics with it").clone();
    (world, commits)
}

#[test]
fn facts_and_the_decisions_on_them_cost_one_commit_and_keep_their_own_ids() {
    let (world, commits) = live(|_| Fate::Done);
    let appends: BTreeMap<_, _> = appends(&world).into_iter().collect();
    let kinds = |id: &AppendId| appends[id].clone();
    let ends = commits.iter().filter(|ids| kinds(&ids[0]).contains(&"ResultsKept"));
    let pairs: Vec<_> = ends.map(|ids| ids.iter().map(kinds).collect::<Vec<_>>()).collect();
    let end = vec!["AttemptExited", "ResultsKept"];
    let next = vec![end.clone(), vec!["AttemptAssigned"]];
    assert_eq!(pairs, [next.clone(), next, vec![end]]);
}

#[test]
fn whatever_commit_is_in_doubt_nothing_is_lost_or_done_twice() {
    let (world, commits) = live(|_| Fate::Done);
    let count = appends(&world).len();
    for fate in [Fate::Lost, Fate::InDoubt] {
        for bad in 1..=commits.len() {
            let (world, _) = live(move |number| if number == bad { fate } else { Fate::Done });
            let ids: Vec<_> = appends(&world).into_iter().map(|(id, _)| id).collect();
            let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{fate:?} at {bad}: an append stands twice");
            assert!(ids.len() <= count + 2, "{fate:?} at {bad}: {} appends instead of {count}", ids.len());
        }
    }
}

#[test]
fn every_other_commit_in_doubt_costs_time_alone() {
    for fate in [Fate::Lost, Fate::InDoubt] {
        live(move |number| if number % 2 == 0 { fate } else { Fate::Done });
    }
}

/// A decision that was lost is never put where it was not decided: not even where others have filled the place of the
/// facts before it.
#[test]
fn a_lost_decision_is_not_put_on_another_state() {
    let mut number = 0;
    let (world, mut controller, mut client, run) = world_with(2, move |ids: &[AppendId]| {
        number += usize::from(ids.len() == 2);
        if number == 1 && ids.len() == 2 { Fate::Lost } else { Fate::Done }
    });
    world
        .run(async {
            let pending = loop {
                match controller.step().await {
                    Ok(step) => controller.wait(step.next_wake).await,
                    Err(_) => break controller.pending.clone(),
                }
            };
            assert_eq!(pending.len(), 2, "facts and decisions are in doubt");
            let facts = u32::try_from(pending[0].events.len()).expect("few");
            // As many records as the facts have.
            for number in 0..facts {
                let max = 2 + number % 2;
                client.command(allow("m7i.large", max)).await.expect("it is allowed");
            }
            let lost = pending[1].id;
            controller.run_until_idle_or(world.clock.sleep_until(Boot::default())).await.expect("it goes on");
            controller.run_until_idle().await.expect("it goes on");
            let records = world.store.read(Seq::START, usize::MAX).await.expect("it can be read");
            assert!(!records.iter().any(|record: &Record| record.append == lost), "it was decided anew");
        })
        .expect("it ends");
    assert_eq!(outcomes(&world, run), vec![Phase::Over(Outcome::Succeeded); 2]);
    assert_eq!(controller.client().state().faults().iter().count(), 0, "every event fits");
}

/// Nobody else is there to end what costs money, however long that lasts.
#[test]
fn a_controller_outlasts_a_log_that_is_full_or_out_of_reach() {
    for faults in [
        StoreFaults { full: 1_000, ..StoreFaults::default() },
        StoreFaults { unreachable: 1_000, ..StoreFaults::default() },
    ] {
        let world = World::new(7);
        let store = FaultyStore::new(Arc::clone(&world.store) as _, Arc::clone(&world.clock) as _, 7);
        let (run, submit) = world.submission(name("demo"), vec![script("train", &["sleep 30"])]);
        let store = Arc::new(store);
        let own = Client::new(Arc::clone(&store) as _, Arc::clone(&world.clock) as _);
        let mut controller = Controller::new(own, world.ports(), Options::default());
        world
            .run(async {
                let mut client = world.client();
                client.command(allow("m7i.large", 1)).await.expect("it is allowed");
                client.command(submit).await.expect("it is accepted");
                store.set_faults(faults.clone());
                let heals = async {
                    world.clock.sleep_until(Boot(Duration::from_secs(3_600))).await;
                    store.set_faults(StoreFaults::default());
                };
                let (ended, ()) = futures::future::join(controller.run_until_idle(), heals).await;
                ended.expect("it waits for the log");
            })
            .expect("it ends");
        assert_eq!(outcomes(&world, run), [Phase::Over(Outcome::Succeeded)], "{faults:?}");
        assert!(store.hits().values().sum::<u64>() < 400, "it does not hammer the log: {:?}", store.hits());
    }
}
