//! Every boundary of every reference scenario, with each fault that can happen there.

use std::collections::BTreeMap;

use dstack_core::testkit::scenario::{Fault, stories, tell};

/// Tells every story with each single fault of this kind; returns how many lives that were.
fn every_single(kind: Fault) -> usize {
    let mut lives = 0;
    for story in stories() {
        let plain = tell(story, BTreeMap::new());
        assert_eq!(plain.wrong, None, "{} without any fault", story.name);
        for (place, point) in plain.points.iter().enumerate() {
            if point.boundary.faults().contains(&kind) {
                let told = tell(story, BTreeMap::from([(place, kind)]));
                assert_eq!(told.wrong, None, "{}: {kind:?} at {place}, {point:?}", story.name);
                lives += 1;
            }
        }
    }
    lives
}

#[test]
fn a_conflict_at_any_append_changes_no_outcome() {
    assert!(every_single(Fault::Conflict) > 300);
}

#[test]
fn there_are_thirty_stories_and_each_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = stories().map(|story| story.name).collect();
    assert_eq!(names.len(), stories().count());
    assert!(names.len() >= 30, "{}", names.len());
    for number in 1..=17 {
        let is_told = stories().any(|story| story.about.starts_with(&format!("R{number}:")));
        assert!(is_told, "no story repeats R{number}");
    }
}
