//! Boundaries of reference scenarios, with each fault that can happen there. All of them, and pairs, are told by
//! `cargo run --release -p examples --example crash_points`.

use std::collections::BTreeMap;

use dstack_core::testkit::scenario::{Fault, stories, tell};

/// Tells every story with single faults of this kind, at one of so many boundaries in turn; returns how many lives that were.
fn single(kind: Fault, step: usize) -> usize {
    let (mut lives, mut wrong) = (0, Vec::new());
    for story in stories() {
        let plain = tell(story, BTreeMap::new());
        assert_eq!(plain.wrong, None, "{} without any fault", story.name);
        let places = plain.points.iter().enumerate().filter(|(_, point)| point.boundary.faults().contains(&kind));
        // Another boundary in each story: equal stories pass equal ones.
        let skip = usize::try_from(story.seed() % 1_000).expect("it is small") % step;
        for (place, point) in places.skip(skip).step_by(step) {
            lives += 1;
            if let Some(why) = tell(story, BTreeMap::from([(place, kind)])).wrong {
                wrong.push(format!("{}: {kind:?} at {place}, {point:?}: {why}", story.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {lives} lives:\n{}", wrong.len(), wrong.join("\n"));
    lives
}

#[test]
fn a_conflict_at_any_append_changes_no_outcome() {
    assert!(single(Fault::Conflict, 1) > 300);
}

#[test]
fn a_crash_changes_no_outcome() {
    assert!(single(Fault::Crash, 5) > 200);
}

#[test]
fn a_long_pause_changes_no_outcome() {
    assert!(single(Fault::Pause, 5) > 200);
}

#[test]
fn a_lost_reply_changes_no_outcome() {
    assert!(single(Fault::LoseReply, 5) > 100);
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
