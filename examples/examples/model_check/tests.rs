//! The model against itself: states that count as the same go on in the same way, and each law can break.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use stateright::Model;

use super::digest::digest;
use super::model::Protocol;
use super::reached::Reached;
use super::setup::{Budget, Setup};
use super::setups;
use super::world::World;

fn protocol(setup: Setup) -> Protocol {
    Protocol { setup, reached: Arc::new(Reached::default()) }
}

/// What can follow on a state, as digests, each with an act that leads there.
fn follows(protocol: &Protocol, world: &World) -> BTreeMap<u64, String> {
    let mut acts = Vec::new();
    protocol.actions(world, &mut acts);
    let next = acts.into_iter().filter_map(|act| {
        let name = format!("{act:?}");
        protocol.next_state(world, act).map(|next| (digest(&next), name))
    });
    next.collect()
}

/// Walks through the states of a configuration, at most so many; wherever two ways lead to what counts as one state, what
/// follows must be the same.
fn check_sameness(setup: Setup, most: usize) {
    let protocol = protocol(setup);
    let start = protocol.init_states().remove(0);
    let mut known: BTreeMap<u64, (World, BTreeMap<u64, String>)> = BTreeMap::new();
    let mut compared = BTreeSet::new();
    let mut queue = VecDeque::from([start]);
    while let Some(world) = queue.pop_front() {
        let name = digest(&world);
        let after = follows(&protocol, &world);
        if let Some((other, before)) = known.get(&name) {
            let differs: Vec<_> = after.iter().filter(|(next, _)| !before.contains_key(next)).collect();
            assert!(differs.is_empty(), "{differs:?} follows on\n{world:#?}\nbut not on\n{other:#?}");
            continue;
        }
        let mut acts = Vec::new();
        protocol.actions(&world, &mut acts);
        for act in acts {
            let Some(next) = protocol.next_state(&world, act) else { continue };
            // Each state is taken twice at most, by two different ways.
            let next_name = digest(&next);
            if known.len() < most && (!known.contains_key(&next_name) || compared.insert(next_name)) {
                queue.push_back(next);
            }
        }
        known.insert(name, (world, after));
    }
    assert!(compared.len() > 100, "only {} states were met by two ways", compared.len());
}

#[test]
fn states_that_count_as_the_same_go_on_in_the_same_way() {
    // With a late look in hand ages are told apart as far as they go: what counts as the same is finer there than it need be.
    for setup in setups::small().into_iter().filter(|setup| setup.budget.late_looks == 0) {
        check_sameness(setup, 2_000);
    }
}

#[test]
fn every_rule_is_needed() {
    for setup in setups::planted() {
        let name = setup.name;
        let checked = super::report::check(setup, 1, |_| {});
        assert!(checked.violation.is_some(), "{name} breaks nothing");
    }
}

#[test]
fn without_faults_the_work_is_done_and_nothing_is_left() {
    let faultless = Budget { ticks: 3, ..Budget::default() };
    let [first, ..] = &setups::small()[..] else { panic!("there is a small configuration") };
    let checked = super::report::check(Setup { budget: faultless, ..first.clone() }, 1, |_| {});
    assert!(checked.is_right(), "{checked}");
    assert!(checked.reached.contains(&"every workflow has succeeded and no machine is left"), "{:?}", checked.reached);
}
