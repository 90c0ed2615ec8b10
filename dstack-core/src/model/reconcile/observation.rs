//! What was seen outside, before it is compared with the log.

use std::collections::BTreeMap;

use super::sightings::Sighting;
use crate::cloud::{LaunchError, Look, Machine};
use crate::model::{
    At, AttemptId, BlobId, ClaimNumber, Exit, Identity, Loss, MachineId, Offering, RunnerId, Scope, Token,
};

/// What a runner answers at the first contact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Greeting {
    /// Who answers, where the host can tell.
    pub identity: Option<Identity>,
}

/// Something that was seen outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A launch was answered, under this claim of ours.
    LaunchAnswered {
        /// The runner.
        runner: RunnerId,
        /// The claim it was sent under.
        claim: ClaimNumber,
        /// The answer.
        answer: Result<Machine, LaunchError>,
        /// What the runner itself answered, if it was asked.
        greeting: Option<Greeting>,
    },
    /// Our own claim ran out, and none of its sends did anything.
    ClaimUnused {
        /// The runner.
        runner: RunnerId,
        /// The claim.
        claim: ClaimNumber,
    },
    /// A claim was watched open for its ttl and margin.
    ClaimOutwaited {
        /// The runner.
        runner: RunnerId,
        /// The claim.
        claim: ClaimNumber,
    },
    /// A complete look.
    Looked {
        /// Where it is evidence.
        scope: Scope,
        /// When it began, in log time.
        began: At,
        /// What it saw.
        look: Look,
        /// When the tokens that it did not see were seen and missed before.
        sightings: BTreeMap<Token, Sighting>,
    },
    /// The runner answered.
    Answered {
        /// The runner.
        runner: RunnerId,
        /// Its answer.
        greeting: Greeting,
    },
    /// The runner is not the machine that it should be.
    Changed {
        /// The runner.
        runner: RunnerId,
        /// What is different.
        why: String,
    },
    /// The cloud announced that it takes a machine back.
    Noticed {
        /// Which.
        machine: MachineId,
        /// When, if it said so.
        deadline: Option<At>,
    },
    /// The command ended like this, its output is kept, and it declared no artifacts.
    Finished {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
    },
    /// The command ended like this, and its output is kept.
    Exited {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
    },
    /// What the attempt leaves behind is safe.
    Kept {
        /// The attempt.
        attempt: AttemptId,
        /// List of its artifacts.
        manifest: Option<BlobId>,
        /// Declared artifacts that were not there.
        missing: Vec<String>,
    },
    /// What the attempt had made of its artifacts is safe, though it still runs.
    Saved {
        /// The attempt.
        attempt: AttemptId,
        /// List of those that were there.
        manifest: Option<BlobId>,
    },
    /// The credentials for a look were not accepted.
    Unaccepted {
        /// Where.
        scope: Scope,
        /// The provider's words.
        why: String,
    },
    /// A provider's catalogue as it is now: what it says of the prices of allowed offerings.
    Priced {
        /// When it was asked for, in log time.
        at: At,
        /// All of it.
        offerings: Vec<Offering>,
    },
    /// The attempt ended without a result that counts.
    Lost {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        loss: Loss,
    },
}
