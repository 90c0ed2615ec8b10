//! The configurations that are checked.

use super::setup::{Budget, Plant, Setup};

/// Far beyond any model's time.
const NEVER: u64 = 1_000;

/// Ttl, margin, settling time and distance of looks, in the fewest ticks in which their order can be told.
const SHORT: [u64; 4] = [1, 1, 1, 1];

const ONE_OF_EACH: Budget = Budget {
    ticks: 3,
    crashes: 1,
    zombies: 0,
    refusals: 1,
    throttles: 0,
    lost_answers: 1,
    lost_appends: 0,
    interruptions: 0,
    vanishings: 0,
    late_looks: 0,
    switches: 0,
};

const BASE: Setup = Setup {
    name: "base",
    processes: 2,
    workflows: 1,
    max: 1,
    timing: SHORT,
    timeouts: [NEVER, NEVER, 1],
    budget: ONE_OF_EACH,
    plant: None,
};

/// What must fail: each takes one rule of the protocol away.
pub(crate) fn planted() -> Vec<Setup> {
    let planted = |name, plant| Setup { name, plant: Some(plant), workflows: 2, ..BASE };
    vec![
        planted("no claim", Plant::NoClaim),
        planted("no send guard", Plant::NoSendGuard),
        planted("time frees a slot", Plant::TimeFreesSlot),
        planted("SDK retry under a launch", Plant::RetryUnderLaunch),
        planted("observer's clock ahead", Plant::ClockAhead),
    ]
}

/// What must hold, and is searched in seconds.
pub(crate) fn small() -> Vec<Setup> {
    vec![
        Setup { name: "one of each fault", ..BASE },
        Setup { name: "taken for dead", budget: Budget { zombies: 1, crashes: 0, ..ONE_OF_EACH }, ..BASE },
        Setup {
            name: "switched off and on",
            budget: Budget { ticks: 3, switches: 2, refusals: 0, ..ONE_OF_EACH },
            ..BASE
        },
        Setup {
            name: "runners given up",
            timeouts: [2, 2, 1],
            budget: Budget { ticks: 4, refusals: 0, ..ONE_OF_EACH },
            ..BASE
        },
        Setup {
            name: "lost appends and throttled launches",
            budget: Budget { lost_appends: 1, throttles: 1, ticks: 2, ..ONE_OF_EACH },
            ..BASE
        },
        Setup {
            name: "machines that leave the listing",
            budget: Budget { vanishings: 1, interruptions: 1, crashes: 0, refusals: 0, ..ONE_OF_EACH },
            ..BASE
        },
        Setup {
            name: "a finer clock",
            timing: [2, 2, 1, 1],
            timeouts: [NEVER, NEVER, 1],
            budget: Budget { ticks: 5, ..ONE_OF_EACH },
            ..BASE
        },
        Setup {
            name: "two machines",
            workflows: 2,
            max: 2,
            budget: Budget { ticks: 1, crashes: 0, ..ONE_OF_EACH },
            ..BASE
        },
    ]
}

/// What must hold, and is searched in half an hour at most.
pub(crate) fn large() -> Vec<Setup> {
    let all_at_once = Budget { crashes: 2, zombies: 1, interruptions: 1, ticks: 2, ..ONE_OF_EACH };
    vec![
        Setup {
            name: "late looks, and machines that leave the listing",
            budget: Budget { late_looks: 1, vanishings: 1, interruptions: 1, crashes: 0, refusals: 0, ..ONE_OF_EACH },
            ..BASE
        },
        Setup { name: "three processes, two workflows", processes: 3, workflows: 2, budget: all_at_once, ..BASE },
    ]
}
