//! What goes wrong in the fake cloud: by chance, and to order.

use std::collections::VecDeque;

use super::super::LaunchError;
use crate::model::Span;

/// Faults by chance. Every rate is per mille: of calls, of rows in a look, or of machines, as its name says.
///
/// All rates are 0 by default. They compose: a launch can be late, find on-demand where spot was asked for, and its machine
/// can die while it boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Calls that take effect and whose answer is lost.
    pub answer_lost: u16,
    /// Calls that are lost before they take effect; their caller is told as little.
    pub call_lost: u16,
    /// Launches and terminations that take effect only after their caller was told "unknown".
    pub call_late: u16,
    /// Launches and terminations that the network delivers twice.
    pub call_doubled: u16,
    /// Calls whose answer takes up to [`delay_most`](Self::delay_most).
    pub answer_delayed: u16,
    /// Calls that are told to go slower.
    pub throttled: u16,
    /// Calls whose credentials are not accepted.
    pub credentials: u16,
    /// Launches that find no capacity; that (type, zone, purchase) then has none for up to
    /// [`outage_most`](Self::outage_most).
    pub capacity: u16,
    /// Launches that are over a quota.
    pub quota: u16,
    /// Launches that are not permitted.
    pub denied: u16,
    /// Launches that are called invalid.
    pub invalid: u16,
    /// Calls that are answered with an internal error of the cloud, and did nothing.
    pub error_before: u16,
    /// Calls that are answered with an internal error of the cloud, and took effect all the same.
    pub error_after: u16,
    /// Launches of a type that the zone never has.
    pub unsupported: u16,
    /// Spot launches whose price is too low at the moment.
    pub price_too_low: u16,
    /// Launches whose token is said to have been used for another request.
    pub mismatch: u16,
    /// Machines that no look and no look-up by id knows for up to [`missing_most`](Self::missing_most), some time in their
    /// life.
    pub row_missing: u16,
    /// Spot machines of which the cloud says, without a deadline, that it might take them back, and does not.
    pub rebalance: u16,
    /// Machines that somebody else reboots: what runs on them is lost.
    pub outsider_reboots: u16,
    /// Machines that are off the network for up to [`outage_most`](Self::outage_most).
    pub network_lost: u16,
    /// New machines that looks do not show for up to [`hide_most`](Self::hide_most).
    pub new_hidden: u16,
    /// Rows of a look whose state is up to [`stale_most`](Self::stale_most) old.
    pub row_stale: u16,
    /// Rows of a look without their token.
    pub row_without_token: u16,
    /// Rows of a look without their address.
    pub row_without_address: u16,
    /// Pages of a look that fail, and so the look.
    pub page_fails: u16,
    /// Terminations of one machine that are refused as protected.
    pub terminate_refused: u16,
    /// Terminated machines that hang in shutting down for up to [`stuck_most`](Self::stuck_most).
    pub terminate_stuck: u16,
    /// Terminated machines that looks never show as such: they are forgotten at once.
    pub forgotten_early: u16,
    /// Spot machines that are on-demand in truth.
    pub on_demand_for_spot: u16,
    /// Machines that end while they boot, with a reason of the cloud.
    pub boot_fails: u16,
    /// Machines that run and that no host ever reaches.
    pub never_reachable: u16,
    /// Spot machines that the cloud takes back, within [`life_most`](Self::life_most), two minutes after a notice.
    pub interrupted: u16,
    /// Spot machines that the cloud takes back without a word.
    pub interrupted_unannounced: u16,
    /// Spot machines that get a notice and live on.
    pub notice_only: u16,
    /// Announcements that only the machine itself is told of.
    pub told_inside: u16,
    /// Machines that somebody else terminates.
    pub outsider_terminates: u16,
    /// Machines that somebody else stops without terminating them.
    pub outsider_halts: u16,
    /// Longest time between an "unknown" and the late effect.
    pub late_most: Span,
    /// Longest time an answer takes.
    pub delay_most: Span,
    /// Longest lack of capacity.
    pub outage_most: Span,
    /// Longest time a new machine is not shown.
    pub hide_most: Span,
    /// Oldest state that a look shows.
    pub stale_most: Span,
    /// Longest time a machine hangs in shutting down.
    pub stuck_most: Span,
    /// Longest time until something befalls a machine.
    pub life_most: Span,
    /// Longest time a living machine is missing from looks. A provider for which this is no less than
    /// [`LaunchTiming::looks_apart`](crate::model::LaunchTiming::looks_apart) cannot be used safely.
    pub missing_most: Span,
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

impl Faults {
    /// Nothing goes wrong by chance.
    pub const fn none() -> Self {
        Self {
            answer_lost: 0,
            call_lost: 0,
            call_late: 0,
            call_doubled: 0,
            answer_delayed: 0,
            throttled: 0,
            credentials: 0,
            capacity: 0,
            quota: 0,
            denied: 0,
            invalid: 0,
            error_before: 0,
            error_after: 0,
            unsupported: 0,
            price_too_low: 0,
            mismatch: 0,
            row_missing: 0,
            rebalance: 0,
            outsider_reboots: 0,
            network_lost: 0,
            new_hidden: 0,
            row_stale: 0,
            row_without_token: 0,
            row_without_address: 0,
            page_fails: 0,
            terminate_refused: 0,
            terminate_stuck: 0,
            forgotten_early: 0,
            on_demand_for_spot: 0,
            boot_fails: 0,
            never_reachable: 0,
            interrupted: 0,
            interrupted_unannounced: 0,
            notice_only: 0,
            told_inside: 0,
            outsider_terminates: 0,
            outsider_halts: 0,
            late_most: Span::from_secs(90),
            delay_most: Span::from_secs(20),
            outage_most: Span::from_mins(10),
            hide_most: Span::from_mins(5),
            stale_most: Span::from_mins(1),
            stuck_most: Span::from_mins(240),
            life_most: Span::from_mins(60),
            missing_most: Span::from_secs(50),
        }
    }

    /// Everything that passes by itself goes wrong at this rate. Faults that wait for a person (denied,
    /// invalid, unsupported) do not.
    pub const fn everything(per_mille: u16) -> Self {
        Self {
            answer_lost: per_mille,
            call_lost: per_mille,
            call_late: per_mille,
            call_doubled: per_mille,
            answer_delayed: per_mille,
            throttled: per_mille,
            credentials: per_mille,
            capacity: per_mille,
            quota: per_mille,
            error_before: per_mille,
            error_after: per_mille,
            price_too_low: per_mille,
            mismatch: per_mille,
            row_missing: per_mille,
            rebalance: per_mille,
            outsider_reboots: per_mille,
            network_lost: per_mille,
            new_hidden: per_mille,
            row_stale: per_mille,
            row_without_token: per_mille,
            row_without_address: per_mille,
            page_fails: per_mille,
            terminate_refused: per_mille,
            terminate_stuck: per_mille,
            forgotten_early: per_mille,
            on_demand_for_spot: per_mille,
            boot_fails: per_mille,
            never_reachable: per_mille,
            interrupted: per_mille,
            interrupted_unannounced: per_mille,
            notice_only: per_mille,
            told_inside: per_mille,
            outsider_terminates: per_mille,
            outsider_halts: per_mille,
            ..Self::none()
        }
    }
}

/// One fault to order. Each is used up by the first call that it fits; they are tried in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// The next launch does nothing and answers with this.
    FailLaunch(LaunchError),
    /// The next call takes effect, and its answer is lost.
    LoseAnswer,
    /// The next call is lost before it takes effect.
    LoseCall,
    /// The answer of the next call comes that much after its effect.
    DelayAnswer(Span),
    /// The next launch or termination is answered "unknown" at once and takes effect that much later.
    RunLate(Span),
    /// The next launch or termination is delivered twice.
    DoubleCall,
    /// The next look fails on its page of this number, from 1; a look with fewer pages goes through.
    FailPage(u32),
    /// The next machine is given on-demand, whatever was asked for.
    GiveOnDemand,
    /// The next machine ends instead of running, with this reason.
    FailBoot(String),
    /// The next machine runs and is never reachable.
    NeverReachable,
    /// The next machine that is terminated hangs in shutting down for that long.
    StickTerminate(Span),
    /// The next termination is refused as protected, for its first machine.
    RefuseTerminate,
}

/// Faults to order that are not used up yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Scripted(VecDeque<Script>);

impl Scripted {
    pub(super) fn push(&mut self, script: Script) {
        self.0.push_back(script);
    }

    /// Takes out the first that fits.
    pub(super) fn take<R>(&mut self, fits: impl Fn(&Script) -> Option<R>) -> Option<R> {
        let (index, found) = self.0.iter().enumerate().find_map(|(index, script)| Some((index, fits(script)?)))?;
        self.0.remove(index);
        Some(found)
    }

    /// Takes out the first that is equal to this one.
    pub(super) fn take_equal(&mut self, wanted: &Script) -> bool {
        self.take(|script| (script == wanted).then_some(())).is_some()
    }
}

/// The account's limits on calls: token buckets as (burst, refill a second).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttling {
    /// Launches.
    pub launch: (u32, u32),
    /// Pages of looks, and look-ups.
    pub look: (u32, u32),
    /// Termination calls.
    pub terminate: (u32, u32),
    /// Machines terminated.
    pub terminate_machines: (u32, u32),
}

impl Throttling {
    /// What EC2 documents for one account and region: RunInstances 5 and 2 a second, filtered descriptions 100 and 20,
    /// TerminateInstances 100 and 5 with 1000 instances and 20.
    pub const EC2: Self =
        Self { launch: (5, 2), look: (100, 20), terminate: (100, 5), terminate_machines: (1_000, 20) };
}
