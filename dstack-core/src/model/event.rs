//! What happened: the only input of the fold, and all that the log holds.
//!
//! Each kind has a payload of its own. On disk an event is its kind's name, a version and the payload as JSON. A golden
//! log in the tests holds every kind ever written; it is never edited, so that old logs stay readable.

use std::borrow::Cow;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attempt::{Exit, Loss};
use super::rule::{Offering, RuleKey, Scope};
use super::runner::{Address, Certificate, ClaimEnd, ClaimNumber, Identity, LaunchRequest, MachineId, StopReason};
use super::settings::Settings;
use super::workflow::{Name, WorkflowSpec};
use super::{At, AttemptId, BlobId, ControllerId, LogId, MicroUsd, RunId, RunnerId, Span, WorkflowId};

/// The stored form of an event: what a record's hash covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Name of the event's kind: borrowed for the kinds that this program knows.
    pub kind: Cow<'static, str>,
    /// Version of the payload's form.
    pub version: u32,
    /// The payload.
    pub json: Vec<u8>,
}

impl Encoded {
    /// The same, borrowed.
    pub fn as_ref(&self) -> EncodedRef<'_> {
        EncodedRef { kind: &self.kind, version: self.version, json: &self.json }
    }
}

/// The stored form of an event where a store keeps it: nothing is copied to hash it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedRef<'a> {
    /// Name of the event's kind.
    pub kind: &'a str,
    /// Version of the payload's form.
    pub version: u32,
    /// The payload.
    pub json: &'a [u8],
}

/// A stored event that this program cannot read in full. It stays in the log; this program then only reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read an event of kind {kind} version {version}: {why}; a newer dstack wrote it")]
pub struct DecodeError {
    /// Name of the event's kind.
    pub kind: String,
    /// Version of the payload's form.
    pub version: u32,
    /// What does not fit.
    pub why: String,
}

macro_rules! events {
    ($($(#[$doc:meta])* $kind:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $kind { $($(#[$field_doc])* pub $field: $type),* }

            impl From<$kind> for Event {
                fn from(payload: $kind) -> Self {
                    Self::$kind(payload)
                }
            }
        )*

        /// Something that happened. See the payloads for what each kind means.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Event {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")] $kind($kind)),*
        }

        impl Event {
            /// Every kind there is, in the order of the declaration.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($kind)),*];

            /// The name of the event's kind.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($kind)),* }
            }

            /// The stored form.
            pub fn encode(&self) -> Encoded {
                let json = match self { $(Self::$kind(payload) => serde_json::to_vec(payload)),* };
                Encoded {
                    kind: Cow::Borrowed(self.kind()),
                    version: 1,
                    json: json.expect("payloads hold nothing that JSON cannot say"),
                }
            }

            /// The event with this stored form.
            ///
            /// # Errors
            /// When the kind, the version or a field is not known: then nothing of it is guessed.
            pub fn decode(kind: &str, version: u32, json: &[u8]) -> Result<Self, DecodeError> {
                let wrong = |why: String| DecodeError { kind: kind.to_owned(), version, why };
                match (kind, version) {
                    $((stringify!($kind), 1) => {
                        serde_json::from_slice::<$kind>(json).map(Self::$kind).map_err(|error| wrong(error.to_string()))
                    })*
                    _ => Err(wrong("unknown kind or version".to_owned())),
                }
            }
        }
    };
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over by reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

events! {
    /// The first record of every log.
    LogCreated {
        /// The log's lineage: machines are tagged with it.
        log: LogId,
    }
    /// The store's clock was far behind the log: from here on it is corrected by this much.
    ClockStepped {
        /// Microseconds to add to the store's clock.
        offset_us: i64,
    }
    /// A user allows an offering, or changes its maximum.
    RuleAllowed {
        /// The most runners of it at any one time.
        max: u32,
        /// So many are kept alive even where nothing waits.
        #[serde(default, skip_serializing_if = "is_zero")]
        min: u32,
        /// The offering's facts, frozen.
        offering: Offering,
    }
    /// A user takes a rule away.
    RuleRemoved {
        /// Which.
        rule: RuleKey,
    }
    /// A user switches autoscaling on.
    AutoscalingEnabled {}
    /// A user switches autoscaling off.
    AutoscalingDisabled {}
    /// A user changes settings.
    SettingsChanged {
        /// All of them as they are from now on.
        settings: Settings,
    }
    /// The price of an allowed offering moved.
    PriceSeen {
        /// Which offering.
        rule: RuleKey,
        /// The price an hour.
        price: MicroUsd,
    }
    /// The cloud has none of an offering at the moment.
    OfferingUnavailable {
        /// Which offering.
        rule: RuleKey,
        /// In which zone; absent when the answer is about all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<String>,
        /// For how long it is not asked again; absent means for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pause: Option<Span>,
        /// The cloud's words.
        why: String,
    }
    /// The cloud refuses a rule until a user changes something.
    RuleBlocked {
        /// Which.
        rule: RuleKey,
        /// The cloud's words.
        why: String,
    }
    /// The provider does not accept the credentials: nothing happened, and nothing is launched there for a while.
    CredentialsRefused {
        /// Where.
        scope: Scope,
        /// For how long nothing is launched.
        pause: Span,
        /// The cloud's words.
        why: String,
    }
    /// A user submits workflows; as many `WorkflowSubmitted` follow in the same append.
    RunSubmitted {
        /// The run.
        run: RunId,
        /// What people call it.
        name: Name,
        /// How many workflows it has.
        workflows: u32,
        /// The packed project folder that every attempt gets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<BlobId>,
        /// Names of the secrets in its environment.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<String>,
    }
    /// One workflow of a run.
    WorkflowSubmitted {
        /// Which.
        id: WorkflowId,
        /// What it is.
        spec: Arc<WorkflowSpec>,
    }
    /// A user wants a workflow to end.
    StopRequested {
        /// Which.
        workflow: WorkflowId,
        /// Whether its artifacts are not wanted.
        #[serde(default, skip_serializing_if = "is_false")]
        abort: bool,
    }
    /// A workflow can never run: something it depends on did not succeed.
    WorkflowSkipped {
        /// Which.
        workflow: WorkflowId,
        /// The workflow at the root of it.
        cause: WorkflowId,
    }
    /// A runner is wanted: it takes a slot of its rule from here on.
    RunnerWanted {
        /// The runner.
        runner: RunnerId,
        /// What will be sent, whoever sends it and however often.
        request: Arc<LaunchRequest>,
    }
    /// A controller process takes the right to send one launch.
    ClaimMade {
        /// The runner to launch.
        runner: RunnerId,
        /// Number of the claim on this runner, from 1.
        claim: ClaimNumber,
        /// Who may send.
        controller: ControllerId,
    }
    /// A claim's end. Time closes a claim, never a slot.
    ClaimClosed {
        /// The runner it was on.
        runner: RunnerId,
        /// Which of its claims.
        claim: ClaimNumber,
        /// How it ended.
        end: ClaimEnd,
    }
    /// The cloud has a machine for the runner.
    RunnerLaunched {
        /// The runner.
        runner: RunnerId,
        /// Its machine.
        machine: MachineId,
        /// How it is reached, if that is known yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Address>,
    }
    /// The cloud refused a launch definitely.
    LaunchFailed {
        /// The runner.
        runner: RunnerId,
        /// The claim under which it was sent.
        claim: ClaimNumber,
        /// The cloud's words.
        why: String,
    }
    /// The runner answered: it can take work.
    RunnerReady {
        /// The runner.
        runner: RunnerId,
        /// How it is reached, if that was learnt after the launch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Address>,
        /// Who answered: pinned from here on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<Identity>,
    }
    /// The cloud announced that it takes the runner back.
    RunnerNoticed {
        /// The runner.
        runner: RunnerId,
        /// When, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<At>,
    }
    /// The runner is being shut down; its slot is taken until the certificate.
    RunnerStopping {
        /// The runner.
        runner: RunnerId,
        /// Why.
        reason: StopReason,
    }
    /// The runner's machine cannot be alive: its slot is free, and what ran on it is lost.
    RunnerStopped {
        /// The runner.
        runner: RunnerId,
        /// Why.
        reason: StopReason,
        /// The proof.
        certificate: Certificate,
    }
    /// A workflow is tried on a runner.
    AttemptAssigned {
        /// The attempt.
        attempt: AttemptId,
        /// Where.
        runner: RunnerId,
    }
    /// The command ended. Not yet a success: results are still to be kept.
    AttemptExited {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
    }
    /// Everything the attempt leaves behind is safe.
    ResultsKept {
        /// The attempt.
        attempt: AttemptId,
        /// List of its artifacts, if it has any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<BlobId>,
        /// Declared artifacts that were not there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
    }
    /// What the attempt had made of its artifacts is safe, though it still runs: the cloud takes its runner back.
    ArtifactsSaved {
        /// The attempt.
        attempt: AttemptId,
        /// List of those that were there, if any were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<BlobId>,
    }
    /// The attempt ended because its user stopped the workflow.
    AttemptStopped {
        /// The attempt.
        attempt: AttemptId,
        /// List of its artifacts, if any were kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<BlobId>,
    }
    /// The attempt ended without a result that counts.
    AttemptLost {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        loss: Loss,
    }
}
