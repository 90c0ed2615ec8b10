//! What a configuration of the model holds: how many of everything, and how often each thing may go wrong.

use dstack_core::model::{LaunchTiming, Offering, Purchase, Settings, Span};
use dstack_core::testkit::samples;

/// The length of one tick. All pauses of the shipping policy (capacity: 3 minutes) end within a tick.
pub(crate) const TICK: Span = Span::from_mins(120);

/// How often each thing may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    /// Time passes by a tick.
    pub(crate) ticks: u32,
    /// A process ends, and another takes its place.
    pub(crate) crashes: u32,
    /// A process is taken for dead and replaced, but goes on later.
    pub(crate) zombies: u32,
    /// The cloud has no capacity.
    pub(crate) refusals: u32,
    /// The cloud asks to go slower.
    pub(crate) throttles: u32,
    /// A launch's answer is not waited for any more; the launch may still land.
    pub(crate) lost_answers: u32,
    /// An append is in the log, but its process does not learn so.
    pub(crate) lost_appends: u32,
    /// The cloud takes a machine back.
    pub(crate) interruptions: u32,
    /// An ended machine leaves the listing.
    pub(crate) vanishings: u32,
    /// A complete look is taken in later than it was made.
    pub(crate) late_looks: u32,
    /// The user switches autoscaling off, or on again.
    pub(crate) switches: u32,
}

/// One rule of the protocol that the model's controllers break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plant {
    /// Whoever reads that a launch is owed sends it.
    NoClaim,
    /// The time under a claim is not looked at before the send.
    NoSendGuard,
    /// Who has watched a claim run out gives the slot back.
    TimeFreesSlot,
    /// A launch that was not answered in time is sent again below it.
    RetryUnderLaunch,
    /// Claims are closed by a clock that runs ahead.
    ClockAhead,
}

/// A configuration.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Controller processes that live at once.
    pub(crate) processes: u32,
    /// Workflows that wait at the beginning; each needs a machine for itself.
    pub(crate) workflows: u32,
    /// The most machines of the one rule.
    pub(crate) max: u32,
    /// A claim's ttl, its margin, the settling time and the distance of looks, in ticks.
    pub(crate) timing: [u64; 4],
    /// After so many ticks runners are given up that are not launched, not ready, or idle.
    pub(crate) timeouts: [u64; 3],
    /// How often each thing may happen.
    pub(crate) budget: Budget,
    /// The rule that is broken, if one is.
    pub(crate) plant: Option<Plant>,
}

/// That many ticks.
pub(crate) fn ticks(count: u64) -> Span {
    Span::from_secs(TICK.as_secs() * count)
}

impl Setup {
    /// The one offering that is allowed.
    pub(crate) fn offering(&self) -> Offering {
        let [claim_ttl, claim_margin, settle, looks_apart] = self.timing.map(ticks);
        let timing = LaunchTiming { claim_ttl, claim_margin, settle, looks_apart };
        Offering { timing, ..samples::offering("small", Purchase::Spot, 2) }
    }

    /// The timeouts as a user sets them.
    pub(crate) fn settings(&self) -> Settings {
        let [launch_timeout, boot_timeout, idle_timeout] = self.timeouts.map(ticks);
        Settings { launch_timeout, boot_timeout, idle_timeout, ..Settings::default() }
    }
}
