//! Many schedules, and what they have seen together.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::fault::KINDS;
use super::observer::Violation;
use super::report::{Failure, Report};
use super::schedule::Schedule;
use super::shrink::shrink;
use super::swarm::Swarm;
use super::transitions::Seen;
use super::watched::ARMS;
use crate::clock::Boot;
use crate::cloud::Draw;

/// What a campaign is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many schedules.
    pub schedules: u64,
    /// What their seeds follow from.
    pub seed: u64,
    /// Go on after a schedule that breaks a property.
    pub keep_going: bool,
    /// Look for the smallest options that still break the property.
    pub shrinks: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { schedules: 1_000, seed: 1, keep_going: false, shrinks: true }
    }
}

/// What came of one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The property that was broken, if one was.
    pub violation: Option<Violation>,
    /// Choices that were made.
    pub steps: u64,
    /// Virtual time that passed.
    pub virtual_secs: u64,
    /// Depends on every record of the log and on the number of choices.
    pub digest: [u8; 32],
    /// How often each fault came about.
    pub faults: BTreeMap<String, u64>,
    pub(super) seen: Seen,
    pub(super) arms: BTreeMap<&'static str, u64>,
    /// Of each fault, the properties that had something to check after it came about.
    pub(super) pairs: Vec<(String, &'static str)>,
    pub(super) checks: BTreeMap<&'static str, u64>,
}

/// The seed of a campaign's schedule of this number.
pub fn seed_of(seed: u64, number: u64) -> u64 {
    Draw::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits()
}

/// Runs the schedule with these options, to its end or to the first property that it breaks.
pub fn run(swarm: &Swarm) -> Outcome {
    let mut schedule = Schedule::new(swarm);
    let violation = schedule.run().err();
    schedule.note_hits();
    let checks = &schedule.observer.checks;
    let pairs = schedule.first_hits.iter().flat_map(|(fault, first)| {
        let later = checks.iter().filter(move |(_, checks)| checks.last_step >= *first);
        later.map(move |(property, _)| (fault.clone(), *property))
    });
    let pairs = pairs.collect();
    let checks = checks.iter().map(|(property, checks)| (*property, checks.count)).collect();
    let digest = Sha256::new()
        .chain_update(schedule.observer.state.hash().0)
        .chain_update(schedule.observer.step.to_be_bytes())
        .chain_update(schedule.now().0.as_micros().to_be_bytes())
        .finalize();
    Outcome {
        violation,
        steps: schedule.observer.step,
        virtual_secs: schedule.now().since(Boot::default()).as_secs(),
        digest: digest.into(),
        faults: schedule.all_hits(),
        seen: schedule.observer.seen.clone(),
        arms: schedule.arms.counts(),
        pairs,
        checks,
    }
}

/// Runs a campaign. It ends at the first schedule that breaks a property, unless told to go on.
pub fn campaign(options: &Options) -> Report {
    campaign_with(options, |_| {})
}

/// As [`campaign`], and tells how many schedules are done after each.
pub fn campaign_with(options: &Options, mut progress: impl FnMut(u64)) -> Report {
    let mut report = Report::new(options.seed);
    let mut digest = Sha256::new();
    for number in 0..options.schedules {
        let swarm = Swarm::derive(seed_of(options.seed, number));
        let outcome = run(&swarm);
        digest.update(outcome.digest);
        report.add(&outcome);
        if let Some(violation) = outcome.violation {
            let small = if options.shrinks { shrink(&swarm, &violation) } else { swarm.clone() };
            report.failures.push(Failure { number, violation, swarm, small });
            if !options.keep_going {
                break;
            }
        }
        progress(number + 1);
    }
    report.digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    report.finish(KINDS, ARMS);
    report
}
