//! From options that break a property to the smallest that still break it.

use super::campaign::run;
use super::observer::Violation;
use super::swarm::Swarm;

/// Most schedules that are tried.
const MAX_TRIES: u32 = 400;

/// The smallest options found that break the same property.
pub(super) fn shrink(swarm: &Swarm, violation: &Violation) -> Swarm {
    let mut best = swarm.clone();
    let mut tries = 0;
    let mut breaks = |candidate: &Swarm| {
        tries += 1;
        tries <= MAX_TRIES && run(candidate).violation.is_some_and(|found| found.property == violation.property)
    };
    let mut is_smaller = true;
    while is_smaller {
        is_smaller = false;
        for candidate in smaller(&best) {
            if breaks(&candidate) {
                best = candidate;
                is_smaller = true;
                break;
            }
        }
    }
    best
}

/// Options that are a bit smaller, the boldest first.
fn smaller(swarm: &Swarm) -> Vec<Swarm> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Swarm)| {
        let mut candidate = swarm.clone();
        change(&mut candidate);
        if candidate != *swarm {
            all.push(candidate);
        }
    };
    let names: Vec<String> = swarm.rates.keys().cloned().collect();
    let half = names.len() / 2;
    if half > 1 {
        with(&|candidate| candidate.rates.retain(|name, _| names[..half].contains(name)));
        with(&|candidate| candidate.rates.retain(|name, _| names[half..].contains(name)));
    }
    with(&|candidate| candidate.chaos_secs /= 2);
    with(&|candidate| candidate.controllers = 1);
    with(&|candidate| candidate.controllers = (candidate.controllers - 1).max(1));
    with(&|candidate| candidate.commands = 0);
    with(&|candidate| candidate.commands /= 2);
    with(&|candidate| candidate.runs = 1);
    with(&|candidate| candidate.rules.truncate(1));
    with(&|candidate| candidate.lag = 0);
    with(&|candidate| candidate.quick = 0);
    for name in &names {
        with(&|candidate| {
            candidate.rates.remove(name);
        });
    }
    all
}
