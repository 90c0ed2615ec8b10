//! The options of one schedule, all drawn from its seed: which faults, how often, how many controllers, how much work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::{Chance, KINDS};
use crate::cloud::{Draw, Faults};
use crate::host::HostFaults;
use crate::model::{Purchase, Span};
use crate::store::StoreFaults;

/// Types that are allowed in schedules; all are in the fake cloud's built-in list.
pub const TYPES: [&str; 4] = ["t3.medium", "m7i.large", "c7i.xlarge", "g4dn.xlarge"];

/// Faults that do their worst together: a launched machine that dies before anybody knows of it, and a refusal that the
/// network's second delivery overtakes.
const TOGETHER: [&[(&str, u16)]; 2] = [
    &[("cloud.answer_lost", 300), ("cloud.boot_fails", 700), ("cloud.forgotten_early", 950), ("cloud.new_hidden", 950)],
    &[("cloud.call_doubled", 500), ("cloud.quota", 300), ("cloud.price_too_low", 300)],
];

/// A rule that a schedule's user begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmRule {
    /// The type.
    pub instance_type: String,
    /// How it is bought.
    pub purchase: Purchase,
    /// The most runners of it that the user ever allows.
    pub max: u32,
}

/// Everything that decides a schedule. Equal options give equal schedules, on any machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swarm {
    /// Decides all choices that the rest leaves open.
    pub seed: u64,
    /// How many controllers work on the log.
    pub controllers: u32,
    /// The rules.
    pub rules: Vec<SwarmRule>,
    /// How many runs the user submits.
    pub runs: u32,
    /// How many commands the user gives besides.
    pub commands: u32,
    /// How long faults go on, in seconds of virtual time.
    pub chaos_secs: u64,
    /// Most choices while faults go on.
    pub picks: u32,
    /// Time passes while calls are under way, in per mille of choices.
    pub lag: u16,
    /// Calls that go straight through, in per mille.
    pub quick: u16,
    /// Rates of the faults that are on, by name; per mille or per million, as the kind says.
    pub rates: BTreeMap<String, u16>,
}

impl Swarm {
    /// The options that follow from this seed.
    pub fn derive(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let mut rules = Vec::new();
        for _ in 0..=draw.below(3) {
            let name = TYPES[usize::try_from(draw.below(TYPES.len() as u64)).unwrap_or(0)];
            let purchase = if draw.chance(600) { Purchase::Spot } else { Purchase::OnDemand };
            let rule = SwarmRule { instance_type: name.to_owned(), purchase, max: 1 + small(&mut draw, 3) };
            if !rules
                .iter()
                .any(|known: &SwarmRule| (&known.instance_type, known.purchase) == (&rule.instance_type, purchase))
            {
                rules.push(rule);
            }
        }
        // Some schedules know few faults and some many: few let each of them do its worst.
        let share = [0, 60, 150, 300, 500][usize::try_from(draw.below(5)).unwrap_or(0)];
        let mut rates = BTreeMap::new();
        for kind in KINDS {
            let most = match kind.chance {
                Chance::PerMille(most) | Chance::PerMillion(most) => most,
                Chance::ByItself => continue,
            };
            if draw.chance(share) {
                rates.insert(kind.name.to_owned(), 1 + u16::try_from(draw.below(u64::from(most))).unwrap_or(0));
            }
        }
        // What needs several faults at once is seldom met by chance.
        if draw.chance(100) {
            let together = TOGETHER[usize::try_from(draw.below(TOGETHER.len() as u64)).unwrap_or(0)];
            rates.extend(together.iter().map(|(name, rate)| ((*name).to_owned(), *rate)));
        }
        Self {
            seed,
            controllers: 1 + small(&mut draw, 4),
            rules,
            runs: 1 + small(&mut draw, 6),
            commands: small(&mut draw, 16),
            chaos_secs: 300 + draw.below(9_000),
            picks: 3_000,
            lag: u16::try_from(draw.below(4) * 60).unwrap_or(0),
            quick: u16::try_from(draw.below(3) * 400).unwrap_or(0),
            rates,
        }
    }

    /// The rate of this fault; 0 if it is off.
    pub fn rate(&self, name: &str) -> u16 {
        self.rates.get(name).copied().unwrap_or(0)
    }

    /// The cloud's faults by chance.
    pub fn cloud_faults(&self) -> Faults {
        let rate = |name: &str| self.rates.get(&format!("cloud.{name}")).copied().unwrap_or(0);
        // A send that is held back with its process must not be late on its way, too: each may take what the margin allows.
        let late_most = if self.rate("engine.pause_of_send") > 0 { Span::from_secs(5) } else { Span::from_secs(55) };
        Faults {
            answer_lost: rate("answer_lost"),
            call_lost: rate("call_lost"),
            call_late: rate("call_late"),
            call_doubled: rate("call_doubled"),
            answer_delayed: rate("answer_delayed"),
            throttled: rate("throttled"),
            credentials: rate("credentials"),
            capacity: rate("capacity"),
            quota: rate("quota"),
            denied: rate("denied"),
            invalid: rate("invalid"),
            error_before: rate("error_before"),
            error_after: rate("error_after"),
            unsupported: rate("unsupported"),
            price_too_low: rate("price_too_low"),
            mismatch: rate("mismatch"),
            row_missing: rate("row_missing"),
            rebalance: rate("rebalance"),
            outsider_reboots: rate("outsider_reboots"),
            network_lost: rate("network_lost"),
            new_hidden: rate("new_hidden"),
            row_stale: rate("row_stale"),
            row_without_token: rate("row_without_token"),
            row_without_address: rate("row_without_address"),
            page_fails: rate("page_fails"),
            terminate_refused: rate("terminate_refused"),
            terminate_stuck: rate("terminate_stuck"),
            forgotten_early: rate("forgotten_early"),
            on_demand_for_spot: rate("on_demand_for_spot"),
            boot_fails: rate("boot_fails"),
            never_reachable: rate("never_reachable"),
            interrupted: rate("interrupted"),
            interrupted_unannounced: rate("interrupted_unannounced"),
            notice_only: rate("notice_only"),
            told_inside: rate("told_inside"),
            outsider_terminates: rate("outsider_terminates"),
            outsider_halts: rate("outsider_halts"),
            late_most,
            stuck_most: Span::from_mins(30),
            life_most: Span::from_mins(20),
            ..Faults::none()
        }
    }

    /// The runners' faults by chance.
    pub fn host_faults(&self) -> HostFaults {
        let rate = |name: &str| self.rates.get(&format!("link.{name}")).copied().unwrap_or(0);
        HostFaults {
            unreachable: rate("unreachable"),
            answer_lost: rate("answer_lost"),
            answer_delayed: rate("answer_delayed"),
            wait_breaks: rate("wait_breaks"),
            disk_full: rate("disk_full"),
            process_lost: rate("process_lost"),
            deaf: rate("deaf"),
            ..HostFaults::default()
        }
    }

    /// The log's faults by chance.
    pub fn store_faults(&self) -> StoreFaults {
        let rate = |name: &str| self.rates.get(&format!("store.{name}")).copied().unwrap_or(0);
        StoreFaults {
            ack_lost: rate("ack_lost"),
            append_lost: rate("append_lost"),
            unreachable: rate("unreachable"),
            busy: rate("busy"),
            full: rate("full"),
            unusable: rate("unusable"),
            corrupt: rate("corrupt"),
            stale: rate("stale"),
            slow: rate("slow"),
            wait_early: rate("wait_early"),
            ..StoreFaults::default()
        }
    }
}

/// A number below this bound.
pub(super) fn small(draw: &mut Draw, bound: u32) -> u32 {
    u32::try_from(draw.below(u64::from(bound))).unwrap_or(0)
}
