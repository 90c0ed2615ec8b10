//! The checks, checked: campaigns with a bug planted, which must find it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use super::campaign::{Options, campaign};
use super::report::FULL;
use crate::planted::{Bug, plant};

/// What a campaign made of a planted bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hunt {
    /// The bug's name.
    pub name: &'static str,
    /// What is wrong with it.
    pub about: &'static str,
    /// Whether the campaign failed.
    pub found: bool,
    /// What failed: a property, or what a full campaign must see and did not; empty if nothing did.
    pub by: String,
    /// The words of that property.
    pub why: String,
    /// Schedules that were run.
    pub schedules: u64,
}

/// Runs a campaign of at most [`FULL`] schedules with this bug planted, until something fails.
pub fn hunt(bug: Bug, seed: u64) -> Hunt {
    let planted = plant(bug);
    let options = Options { schedules: FULL, seed, keep_going: false, shrinks: false };
    let ran = catch_unwind(AssertUnwindSafe(|| campaign(&options)));
    drop(planted);
    let told = |by: String, why: String, schedules| Hunt {
        name: bug.name(),
        about: bug.about(),
        found: !by.is_empty(),
        by,
        why,
        schedules,
    };
    let Ok(report) = ran else {
        return told("panic".to_owned(), "the world itself cannot go on".to_owned(), 1);
    };
    match report.failures.first() {
        Some(failure) => told(failure.violation.property.clone(), failure.violation.why.clone(), report.schedules),
        None if report.has_failed() => told("never hit".to_owned(), report.never_hit.join(", "), report.schedules),
        None => told(String::new(), String::new(), report.schedules),
    }
}
