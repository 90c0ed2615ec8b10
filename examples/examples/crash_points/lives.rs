//! Which faults befall which lives.

use std::collections::BTreeMap;

use dstack_core::testkit::scenario::{Fault, Point, Story, tell};

/// Each single fault; or each pair, the second at one of so many boundaries that are passed after the first has happened.
pub(crate) fn of(story: &Story, points: &[Point], pairs: Option<usize>) -> Vec<BTreeMap<usize, Fault>> {
    let mut lives = Vec::new();
    for (place, first) in single(points, 0..points.len()) {
        let Some(reach) = pairs else {
            lives.push(BTreeMap::from([(place, first)]));
            continue;
        };
        // After the first fault the life is another one, with other boundaries.
        let then = tell(story, BTreeMap::from([(place, first)])).points;
        let end = then.len().min(place + 1 + reach);
        let seconds = single(&then, (place + 1).min(end)..end);
        lives.extend(seconds.into_iter().map(|(later, second)| BTreeMap::from([(place, first), (later, second)])));
    }
    lives
}

fn single(points: &[Point], places: std::ops::Range<usize>) -> Vec<(usize, Fault)> {
    let faults = |place: usize| points[place].boundary.faults().iter().map(move |fault| (place, *fault));
    places.flat_map(faults).collect()
}
