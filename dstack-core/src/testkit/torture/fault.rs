//! Every kind of fault that a campaign can inject, with its number in the catalogue of faults.

/// What a fault befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The provider of machines, or a machine.
    Cloud,
    /// The log.
    Store,
    /// A controller's process, or its machine.
    Engine,
    /// A runner, the way to it, or the job on it.
    Link,
}

/// How a kind comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chance {
    /// A rate of calls, rows, machines or jobs: per mille, at most this.
    PerMille(u16),
    /// A rate of the scheduler's choices: per million, at most this.
    PerMillion(u16),
    /// It comes of other faults and of what controllers do at the same time.
    ByItself,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name: the part it befalls, a dot, and what goes wrong.
    pub name: &'static str,
    /// What it befalls.
    pub part: Part,
    /// How it comes about.
    pub chance: Chance,
}

const fn rate(part: Part, name: &'static str, most: u16) -> Kind {
    Kind { name, part, chance: Chance::PerMille(most) }
}

const fn pick(part: Part, name: &'static str, most: u16) -> Kind {
    Kind { name, part, chance: Chance::PerMillion(most) }
}

const fn natural(part: Part, name: &'static str) -> Kind {
    Kind { name, part, chance: Chance::ByItself }
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    rate(Part::Cloud, "cloud.answer_delayed", 120),
    rate(Part::Cloud, "cloud.answer_lost", 120),
    rate(Part::Cloud, "cloud.boot_fails", 200),
    rate(Part::Cloud, "cloud.buckets", 300),
    rate(Part::Cloud, "cloud.call_doubled", 200),
    rate(Part::Cloud, "cloud.call_late", 150),
    rate(Part::Cloud, "cloud.call_lost", 120),
    rate(Part::Cloud, "cloud.capacity", 200),
    rate(Part::Cloud, "cloud.credentials", 60),
    rate(Part::Cloud, "cloud.denied", 100),
    rate(Part::Cloud, "cloud.error_after", 100),
    rate(Part::Cloud, "cloud.error_before", 100),
    rate(Part::Cloud, "cloud.forgotten_early", 300),
    rate(Part::Cloud, "cloud.interrupted", 400),
    rate(Part::Cloud, "cloud.interrupted_unannounced", 300),
    rate(Part::Cloud, "cloud.invalid", 100),
    rate(Part::Cloud, "cloud.mismatch", 100),
    rate(Part::Cloud, "cloud.network_lost", 300),
    rate(Part::Cloud, "cloud.never_reachable", 150),
    rate(Part::Cloud, "cloud.new_hidden", 400),
    rate(Part::Cloud, "cloud.notice_only", 300),
    rate(Part::Cloud, "cloud.on_demand_for_spot", 150),
    rate(Part::Cloud, "cloud.outsider_halts", 150),
    rate(Part::Cloud, "cloud.outsider_reboots", 300),
    rate(Part::Cloud, "cloud.outsider_terminates", 200),
    rate(Part::Cloud, "cloud.page_fails", 120),
    rate(Part::Cloud, "cloud.price_too_low", 150),
    rate(Part::Cloud, "cloud.quota", 100),
    rate(Part::Cloud, "cloud.rebalance", 300),
    rate(Part::Cloud, "cloud.row_missing", 400),
    rate(Part::Cloud, "cloud.row_stale", 200),
    rate(Part::Cloud, "cloud.row_without_address", 200),
    rate(Part::Cloud, "cloud.row_without_token", 200),
    rate(Part::Cloud, "cloud.terminate_refused", 200),
    rate(Part::Cloud, "cloud.terminate_stuck", 250),
    rate(Part::Cloud, "cloud.throttled", 150),
    rate(Part::Cloud, "cloud.told_inside", 500),
    rate(Part::Cloud, "cloud.unsupported", 80),
    pick(Part::Cloud, "cloud.account_changed", 1_500),
    pick(Part::Cloud, "cloud.price_moved", 3_000),
    pick(Part::Cloud, "cloud.quota_lowered", 2_000),
    pick(Part::Cloud, "cloud.region_outage", 1_500),
    pick(Part::Cloud, "cloud.stranger", 2_000),
    pick(Part::Cloud, "cloud.stranger_of_ours", 800),
    natural(Part::Cloud, "cloud.address_reused"),
    natural(Part::Cloud, "cloud.bucket_empty"),
    natural(Part::Cloud, "cloud.not_found_alive"),
    natural(Part::Cloud, "cloud.quota_full"),
    natural(Part::Cloud, "cloud.refused_then_launched"),
    natural(Part::Cloud, "cloud.region_down"),
    natural(Part::Cloud, "cloud.terminate_answer_lost"),
    natural(Part::Cloud, "cloud.token_ended"),
    natural(Part::Cloud, "cloud.token_seen_again"),
    rate(Part::Store, "store.ack_lost", 80),
    rate(Part::Store, "store.append_lost", 80),
    rate(Part::Store, "store.busy", 10),
    rate(Part::Store, "store.corrupt", 5),
    rate(Part::Store, "store.full", 8),
    rate(Part::Store, "store.slow", 30),
    rate(Part::Store, "store.stale", 150),
    rate(Part::Store, "store.unreachable", 40),
    rate(Part::Store, "store.unusable", 5),
    rate(Part::Store, "store.wait_early", 30),
    pick(Part::Store, "store.newer_record", 200),
    natural(Part::Store, "store.conflict"),
    natural(Part::Store, "store.found_busy"),
    natural(Part::Store, "store.held_lost"),
    rate(Part::Engine, "engine.clock_drift", 500),
    rate(Part::Engine, "engine.crash_of_user", 100),
    rate(Part::Engine, "engine.entropy_repeated", 100),
    rate(Part::Engine, "engine.other_options", 500),
    rate(Part::Engine, "engine.pause_of_send", 300),
    rate(Part::Engine, "engine.pause_of_start", 300),
    pick(Part::Engine, "engine.clock_back", 1_500),
    pick(Part::Engine, "engine.clock_far", 800),
    pick(Part::Engine, "engine.clock_forward", 1_500),
    pick(Part::Engine, "engine.clock_frozen", 1_200),
    pick(Part::Engine, "engine.crash", 15_000),
    pick(Part::Engine, "engine.crash_of_all", 1_500),
    pick(Part::Engine, "engine.panic", 2_000),
    pick(Part::Engine, "engine.pause", 4_000),
    pick(Part::Engine, "engine.pause_long", 1_200),
    pick(Part::Engine, "engine.terminated", 2_500),
    rate(Part::Link, "link.answer_delayed", 100),
    rate(Part::Link, "link.answer_lost", 100),
    rate(Part::Link, "link.deaf", 300),
    rate(Part::Link, "link.disk_full", 80),
    rate(Part::Link, "link.process_lost", 200),
    rate(Part::Link, "link.unreachable", 100),
    rate(Part::Link, "link.wait_breaks", 100),
    rate(Part::Link, "job.artifact_changes", 300),
    rate(Part::Link, "job.artifact_missing", 150),
    rate(Part::Link, "job.fails", 300),
    rate(Part::Link, "job.garbage_output", 300),
    rate(Part::Link, "job.ignores_stop", 300),
    rate(Part::Link, "job.killed_by_signal", 150),
    rate(Part::Link, "job.large_output", 100),
    pick(Part::Link, "link.cut", 4_000),
    pick(Part::Link, "link.disk_filled", 2_000),
    pick(Part::Link, "link.folder_wiped", 2_000),
    pick(Part::Link, "link.host_changed", 1_500),
    pick(Part::Link, "link.process_killed", 2_500),
    natural(Part::Link, "link.start_refused"),
    natural(Part::Link, "link.started_twice"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn kinds_are_many_and_each_has_its_name_for_itself() {
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        assert!(KINDS.len() >= 60, "{}", KINDS.len());
    }
}
