//! What a campaign has done and seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::campaign::Outcome;
use super::fault::Kind;
use super::observer::Violation;
use super::properties;
use super::swarm::Swarm;
use super::transitions::{Seen, TRANSITIONS};
use crate::model::Event;

/// A campaign of so many schedules must have seen everything that it can; a shorter one says what it has not.
pub const FULL: u64 = 3_000;
/// Seconds of a year.
const YEAR_SECS: f64 = 365.25 * 86_400.0;

/// A schedule that broke a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its number in the campaign, from 0.
    pub number: u64,
    /// What was broken.
    pub violation: Violation,
    /// Its options: they repeat it.
    pub swarm: Swarm,
    /// Smaller options that break the same property.
    pub small: Swarm,
}

/// What a campaign has done and seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Schedules that were run.
    pub schedules: u64,
    /// What their seeds follow from.
    pub seed: u64,
    /// Choices that were made.
    pub steps: u64,
    /// Virtual time that passed, in years.
    pub virtual_years: f64,
    /// Schedules that broke a property.
    pub violations: u64,
    /// Equal for equal seeds and numbers of schedules, on any machine.
    pub digest: String,
    /// How often each kind of fault came about, every kind listed.
    pub faults: BTreeMap<String, u64>,
    /// How often each transition was seen.
    pub transitions: BTreeMap<String, u64>,
    /// How often each answer of a port was given.
    pub arms: BTreeMap<String, u64>,
    /// How often each property had something to check.
    pub properties: BTreeMap<String, u64>,
    /// Schedules in which a property had something to check after a fault came about: by fault, then by property.
    pub matrix: BTreeMap<String, BTreeMap<String, u64>>,
    /// What no schedule has seen, though the campaign can bring it about.
    pub never_hit: Vec<String>,
    /// The schedules that broke a property.
    pub failures: Vec<Failure>,
    #[serde(skip)]
    virtual_secs: u64,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            schedules: 0,
            seed,
            steps: 0,
            virtual_years: 0.0,
            violations: 0,
            digest: String::new(),
            faults: BTreeMap::new(),
            transitions: BTreeMap::new(),
            arms: BTreeMap::new(),
            properties: BTreeMap::new(),
            matrix: BTreeMap::new(),
            never_hit: Vec::new(),
            failures: Vec::new(),
            virtual_secs: 0,
        }
    }

    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.schedules += 1;
        self.steps += outcome.steps;
        self.virtual_secs += outcome.virtual_secs;
        self.violations += u64::from(outcome.violation.is_some());
        let mut seen = Seen(std::mem::take(&mut self.transitions));
        seen.merge(&outcome.seen);
        self.transitions = seen.0;
        let add = |into: &mut BTreeMap<String, u64>, name: &str, count: u64| {
            *into.entry(name.to_owned()).or_default() += count;
        };
        for (name, count) in &outcome.faults {
            add(&mut self.faults, name, *count);
        }
        for (name, count) in &outcome.arms {
            add(&mut self.arms, name, *count);
        }
        for (name, count) in &outcome.checks {
            add(&mut self.properties, name, *count);
        }
        for (fault, property) in &outcome.pairs {
            add(self.matrix.entry(fault.clone()).or_default(), property, 1);
        }
    }

    /// Lists everything that could have been seen, and what was not.
    pub(super) fn finish(&mut self, kinds: &[Kind], arms: &[&str]) {
        self.virtual_years = self.virtual_secs as f64 / YEAR_SECS;
        let mut never = BTreeSet::new();
        let mut list = |counts: &mut BTreeMap<String, u64>, name: &str| {
            if *counts.entry(name.to_owned()).or_default() == 0 {
                never.insert(name.to_owned());
            }
        };
        kinds.iter().for_each(|kind| list(&mut self.faults, kind.name));
        arms.iter().for_each(|arm| list(&mut self.arms, arm));
        TRANSITIONS.iter().for_each(|name| list(&mut self.transitions, name));
        Event::KINDS.iter().for_each(|kind| list(&mut self.transitions, &format!("event: {kind}")));
        let properties: Vec<_> = properties::all().iter().map(|property| property.name()).collect();
        properties.iter().for_each(|name| list(&mut self.properties, name));
        for kind in kinds {
            let row = self.matrix.entry(kind.name.to_owned()).or_default();
            for property in &properties {
                let count = *row.entry((*property).to_owned()).or_default();
                if count == 0 && !is_apart(kind.name, property) {
                    never.insert(format!("{} with {property}", kind.name));
                }
            }
        }
        self.never_hit = never.into_iter().collect();
    }

    /// Whether the campaign has failed: a property was broken, or a full campaign has not seen everything.
    pub fn has_failed(&self) -> bool {
        self.violations > 0 || (self.schedules >= FULL && !self.never_hit.is_empty())
    }
}

/// Pairs that never meet: after a record of a newer program nothing is appended, so that few properties have anything to
/// check; and only then is something read-only.
fn is_apart(fault: &str, property: &str) -> bool {
    if fault == "store.newer_record" {
        return property != "read-only";
    }
    property == "read-only"
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} schedules from seed {}: {} steps, {:.3} virtual years, {} violations, digest {}",
            self.schedules, self.seed, self.steps, self.virtual_years, self.violations, self.digest
        )?;
        for failure in &self.failures {
            writeln!(formatter, "{failure}")?;
        }
        if !self.never_hit.is_empty() {
            writeln!(formatter, "never hit: {}", self.never_hit.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = |swarm: &Swarm| serde_json::to_string(swarm).map_err(|_| fmt::Error);
        writeln!(
            formatter,
            "schedule {} (seed {}) breaks {} after {} steps: {}",
            self.number, self.swarm.seed, self.violation.property, self.violation.step, self.violation.why
        )?;
        writeln!(formatter, "  options: {}", options(&self.swarm)?)?;
        let command = "cargo run --release -p examples --example torture -- --replay";
        write!(formatter, "  smallest: {command} '{}'", options(&self.small)?)
    }
}
