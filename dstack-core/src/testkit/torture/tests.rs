//! A short campaign, as part of every test run.

use super::{Options, campaign};

/// Schedules of the campaign that every test run makes.
const SCHEDULES: u64 = 150;

#[test]
fn a_short_campaign_breaks_nothing_and_says_what_it_has_not_seen() {
    let report = campaign(&Options { schedules: SCHEDULES, seed: 20_261, ..Options::default() });
    assert_eq!(report.violations, 0, "{report}");
    assert!(report.faults.len() >= 60, "{} kinds", report.faults.len());
    assert!(!report.has_failed());
}

#[test]
fn equal_seeds_give_equal_campaigns_and_others_do_not() {
    let digest = |seed| campaign(&Options { schedules: 10, seed, ..Options::default() }).digest;
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}
