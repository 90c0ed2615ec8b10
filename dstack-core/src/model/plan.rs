//! What should change, each item with its reason as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use super::wait::{RuleList, WaitReason, Waiting};

use super::event::{AttemptAssigned, ClaimMade, RunnerStopping, RunnerWanted, WorkflowSkipped};
use super::{
    At, AttemptId, ClaimNumber, ControllerId, Event, LaunchId, LaunchRequest, RuleKey, RunnerId, Scope, State,
    StopReason, WorkflowId,
};
use crate::planted::{self, Bug};

/// All that comes into a decision from outside the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tick {
    /// Log time now.
    pub at: At,
    /// What is known of the scopes.
    pub scopes: BTreeMap<Scope, ScopeTick>,
    /// Runners that may be gone: they get no new work until a look that begins later has shown them.
    pub suspects: BTreeSet<RunnerId>,
}

/// What is known of a scope besides the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScopeTick {
    /// When the newest complete look of it began, in log time.
    pub last_look: Option<At>,
    /// How many claims may be open at once: no more than the limiter lets through within a claim's ttl.
    pub allowance: u32,
}

/// One thing that should change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A workflow can never run.
    Skip {
        /// Which.
        workflow: WorkflowId,
        /// The workflow at the root of it.
        cause: WorkflowId,
    },
    /// A waiting workflow goes onto a runner.
    Assign {
        /// The attempt to be.
        attempt: AttemptId,
        /// Where.
        runner: RunnerId,
        /// Why there.
        why: Fit,
    },
    /// A new runner is wanted.
    Launch {
        /// The rule that it counts against.
        rule: RuleKey,
        /// Where.
        zone: String,
        /// What for.
        why: LaunchReason,
    },
    /// A runner whose claims are closed is still wanted: it is sent again, under a new claim.
    Claim {
        /// Which.
        runner: RunnerId,
        /// The new claim's number.
        claim: ClaimNumber,
    },
    /// A runner is shut down.
    Stop {
        /// Which.
        runner: RunnerId,
        /// Why.
        reason: StopReason,
    },
}

/// Why a workflow goes onto this runner and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Others run there; of the cheapest machines with room for it this one has the least left.
    Beside,
    /// Nothing runs there; neither there is room on a cheaper machine, nor beside others on one of that price.
    Alone,
}

impl fmt::Display for Fit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Beside => "there is room beside what runs there, and on no cheaper machine",
            Self::Alone => "nothing runs there, and no cheaper machine has room",
        })
    }
}

/// Why a runner is wanted. Its rule is the first, in their total order, that could start one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaunchReason {
    /// For this workflow: the first in the queue that neither a running nor a starting runner has room for.
    For(WorkflowId),
    /// Fewer than the rule's minimum are alive.
    Warm,
}

impl fmt::Display for LaunchReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(workflow) => write!(formatter, "no runner has room for {workflow}"),
            Self::Warm => formatter.write_str("the rule's minimum is to be kept alive"),
        }
    }
}

/// What should change, and why the rest waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What should change, in this order.
    pub items: Vec<Item>,
    /// Shapes of which a workflow waits that nothing is started for, each with the reason.
    pub waiting: Waiting,
    /// Workflows that a runner is being started for.
    pub starting: BTreeMap<WorkflowId, Option<RunnerId>>,
    /// Runners that are kept free for workflows that were overtaken too often: no later one goes there.
    pub kept: BTreeMap<RunnerId, WorkflowId>,
    /// Rules of which fewer are alive than their minimum, and why no more can be started.
    pub unfilled: BTreeMap<RuleKey, WaitReason>,
    /// When a timer runs out next, whatever else happens; in log time. Those that have run out are not among them.
    pub next_wake: Option<At>,
    /// Scopes where timers have run out that need a look which begins after that, with the newest such moment.
    pub overdue: BTreeMap<Scope, At>,
}

/// Mints what a plan's events need: the core itself has no entropy.
pub trait Mint {
    /// Sixteen bytes that nobody can foretell.
    fn entropy(&mut self) -> [u8; 16];
}

/// How often an id is drawn anew because the state knows it.
const MAX_DRAWS: u32 = 100;

/// An id that the state does not know; none where entropy gives nothing new. A machine that was restored from a snapshot may
/// draw what it drew before, and two runners with one token would be one machine.
fn fresh<T: Copy>(mint: &mut impl Mint, make: fn([u8; 16]) -> T, is_known: impl Fn(T) -> bool) -> Option<T> {
    (0..MAX_DRAWS).map(|_| make(mint.entropy())).find(|id| !is_known(*id))
}

impl<F: FnMut() -> [u8; 16]> Mint for F {
    fn entropy(&mut self) -> [u8; 16] {
        self()
    }
}

impl Plan {
    /// Whether nothing should change.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The events that carry the plan out: `controller` is who claims, `mint` gives new runners and launches their ids.
    ///
    /// `state` is the state that was planned on.
    pub fn into_events(self, state: &State, controller: ControllerId, mint: &mut impl Mint) -> Vec<Event> {
        let mut events = Vec::with_capacity(self.items.len());
        let (mut launches, mut runners) = (None, BTreeSet::new());
        for item in self.items {
            match item {
                Item::Skip { workflow, cause } => events.push(WorkflowSkipped { workflow, cause }.into()),
                Item::Assign { attempt, runner, why: _ } => events.push(AttemptAssigned { attempt, runner }.into()),
                Item::Stop { runner, reason } => events.push(RunnerStopping { runner, reason }.into()),
                Item::Claim { runner, claim } => events.push(ClaimMade { runner, claim, controller }.into()),
                Item::Launch { rule, zone, why: _ } => {
                    let (Some(log), Some(allowed)) = (state.log(), state.rules().get(&rule)) else { continue };
                    let offering = &allowed.offering;
                    // Gathered once, and only by a plan that launches.
                    let spent = launches.get_or_insert_with(|| {
                        state.runners().values().map(|runner| runner.request.launch).collect::<BTreeSet<_>>()
                    });
                    let is_taken = |id: RunnerId| runners.contains(&id) || state.knows_runner(id);
                    let launch = fresh(mint, LaunchId::from_entropy, |id| {
                        spent.contains(&id) && !planted::is(Bug::KnownIdDrawn)
                    });
                    let launch = if planted::is(Bug::TokenReused) { Some(LaunchId::from_bits(7)) } else { launch };
                    let runner = fresh(mint, RunnerId::from_entropy, is_taken);
                    let (Some(launch), Some(runner)) = (launch, runner) else { continue };
                    spent.insert(launch);
                    runners.insert(runner);
                    let settings = state.settings();
                    let mut request = LaunchRequest::new(log, launch, offering, zone);
                    request.options = settings.launch.clone();
                    if let Some(image) = &settings.image {
                        request.image.clone_from(image);
                    }
                    events.push(RunnerWanted { runner, request: Arc::new(request) }.into());
                    events.push(ClaimMade { runner, claim: ClaimNumber(1), controller }.into());
                }
            }
        }
        events
    }
}
