//! What should change, each item with its reason as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::event::{AttemptAssigned, ClaimMade, RunnerStopping, RunnerWanted, WorkflowSkipped};
use super::{
    At, AttemptId, ClaimNumber, ControllerId, Event, LaunchId, LaunchRequest, Needs, RuleKey, RunnerId, Scope, State,
    StopReason, WorkflowId,
};

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
    },
    /// A new runner is wanted.
    Launch {
        /// The rule that it counts against.
        rule: RuleKey,
        /// Where.
        zone: String,
        /// The workflow that it is wanted for: the first in the queue that could not be placed.
        for_workflow: WorkflowId,
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

/// Why workflows of one shape wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitReason {
    /// Autoscaling is off.
    Disabled,
    /// No rule could ever start it.
    NoFittingRule,
    /// Every fitting rule has as many runners as it may have.
    AtMaximum(Arc<[RuleKey]>),
    /// The cloud has none at the moment.
    Unavailable {
        /// Which offering.
        rule: RuleKey,
        /// When it is asked again; absent means never.
        until: Option<At>,
        /// The cloud's words.
        why: String,
    },
    /// The cloud refuses the rule until the user changes something.
    Blocked {
        /// Which.
        rule: RuleKey,
        /// The cloud's words.
        why: String,
    },
    /// Launches of the rule pause: too many runners of it ended without having finished any work.
    Paused {
        /// Which.
        rule: RuleKey,
        /// Until when.
        until: At,
    },
    /// This machine's resources are in use.
    PoolFull(RuleKey),
    /// The limiter lets no more launches through now.
    Throttled,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => formatter.write_str("autoscaling is disabled: `dstack autoscale enable` lets it start"),
            Self::NoFittingRule => formatter.write_str("no allowed rule fits"),
            Self::AtMaximum(rules) => {
                let names: Vec<_> =
                    rules.iter().map(|rule| format!("{} {}", rule.instance_type, rule.purchase)).collect();
                write!(formatter, "all allowed runners are busy ({})", names.join(", "))
            }
            Self::Unavailable { rule, until: Some(until), why } => {
                write!(formatter, "{} is not available until {until}: {why}", rule.instance_type)
            }
            Self::Unavailable { rule, until: None, why } => {
                write!(formatter, "{} is not available: {why}", rule.instance_type)
            }
            Self::Blocked { rule, why } => {
                write!(formatter, "{} is blocked: {why}; allow it again once that is mended", rule.instance_type)
            }
            Self::Paused { rule, until } => {
                write!(
                    formatter,
                    "runners of {} keep ending without work done; the next try is at {until}",
                    rule.instance_type
                )
            }
            Self::PoolFull(_) => formatter.write_str("this machine's resources are in use"),
            Self::Throttled => formatter.write_str("launches are being paced"),
        }
    }
}

/// What should change, and why the rest waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What should change, in this order.
    pub items: Vec<Item>,
    /// Shapes of which a workflow waits that nothing is started for, each with the reason.
    pub waiting: BTreeMap<Needs, WaitReason>,
    /// Workflows that a runner is being started for.
    pub starting: BTreeMap<WorkflowId, Option<RunnerId>>,
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
        for item in self.items {
            match item {
                Item::Skip { workflow, cause } => events.push(WorkflowSkipped { workflow, cause }.into()),
                Item::Assign { attempt, runner } => events.push(AttemptAssigned { attempt, runner }.into()),
                Item::Stop { runner, reason } => events.push(RunnerStopping { runner, reason }.into()),
                Item::Claim { runner, claim } => events.push(ClaimMade { runner, claim, controller }.into()),
                Item::Launch { rule, zone, for_workflow: _ } => {
                    let (Some(log), Some(allowed)) = (state.log(), state.rules().get(&rule)) else { continue };
                    let offering = &allowed.offering;
                    let launch = LaunchId::from_entropy(mint.entropy());
                    let settings = state.settings();
                    let mut request = LaunchRequest::new(log, launch, offering, zone);
                    request.options = settings.launch.clone();
                    if let Some(image) = &settings.image {
                        request.image.clone_from(image);
                    }
                    let runner = RunnerId::from_entropy(mint.entropy());
                    events.push(RunnerWanted { runner, request: Arc::new(request) }.into());
                    events.push(ClaimMade { runner, claim: ClaimNumber(1), controller }.into());
                }
            }
        }
        events
    }
}
