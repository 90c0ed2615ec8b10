//! The port to a provider of machines.

use async_trait::async_trait;

use super::send_permit::SendPermit;
use crate::model::{Address, At, LaunchRequest, MachineId, Offering, Purchase, Scope, Token};

/// A machine that a launch answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The provider's name of it.
    pub id: MachineId,
    /// How it is reached, if that is known yet.
    pub address: Option<Address>,
    /// How it was really bought.
    pub purchase: Purchase,
}

/// What a machine is doing, as a look saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineState {
    /// It starts.
    Pending,
    /// It runs.
    Running,
    /// It stopped but exists, and can be started again: it still takes its slot.
    Halted,
    /// It ends; it still takes its slot.
    ShuttingDown,
    /// It ended for good.
    Terminated,
}

/// A machine in a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The provider's name of it.
    pub id: MachineId,
    /// The token of its launch, where the provider still knows it; tags and attributes may be missing.
    pub token: Option<Token>,
    /// What it is doing.
    pub state: MachineState,
    /// How it is reached, if the provider says so.
    pub address: Option<Address>,
    /// The provider's reason for its state, if it gives one.
    pub reason: Option<String>,
    /// Whether the provider says that it took the machine back, or is about to: an interruption, announced or not.
    pub is_taken_back: bool,
}

/// A machine or launch that a look must answer for, by id or token, beyond the listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    /// The launch's token.
    pub token: Token,
    /// The machine, if the launch was answered.
    pub machine: Option<MachineId>,
    /// No claim is open and the runner is stopping: absence will be used as its death certificate. A provider that can
    /// fence a late launch does so now.
    pub is_final: bool,
    /// The machine itself does not tell its controller when it is to be taken back. A provider that has to ask for such
    /// announcements asks for those of these machines alone, from this look to the next.
    pub is_unheard: bool,
}

/// One [`Known`] that the provider does not have: neither in the listing, nor by id or token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Absence(pub Token);

/// One complete, error-free listing of a scope: all machines with the log's owner tag, all pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// The machines, with the known ones that only a look-up by id found.
    pub machines: Vec<Seen>,
    /// The known ones that neither the listing nor a look-up found.
    pub absent: Vec<Absence>,
}

/// Why a launch did not answer with a machine. Named by what the caller may do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// It may have launched, or may still. Nobody sends again until the claim is closed.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
    /// The call did nothing, or was not sent; the claim's holder may send again, later.
    #[error("the provider asks to go slower: {0}")]
    Throttled(String),
    /// There is none of this offering at the moment.
    #[error("no capacity: {why}")]
    Capacity {
        /// The provider's words.
        why: String,
        /// Whether all zones are meant.
        all_zones: bool,
        /// Whether this offering will never be there.
        permanent: bool,
    },
    /// The account's limit is reached.
    #[error("the account's quota is reached: {0}")]
    Quota(String),
    /// The account may not do this.
    #[error("not permitted: {0}")]
    Denied(String),
    /// The request can never succeed as it is.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// The credentials are expired, missing, or the clock is wrong. Nothing happened.
    #[error("the credentials are not accepted: {0}")]
    Credentials(String),
    /// The token was used with another request: treated as unknown.
    #[error("the token was used for another request: {0}")]
    Mismatch(String),
    /// The token's machine lived and died.
    #[error("the machine of this launch has already ended")]
    Ended,
}

impl LaunchError {
    /// It was not sent: its permit ended first.
    pub fn not_sent() -> Self {
        Self::Throttled(
            "it was not sent: while it waited for its turn it was no longer wanted, or not by this claim".to_owned(),
        )
    }
}

/// Why another call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// No answer, or one that cannot be read. Later it may go through.
    #[error("the provider did not answer: {0}")]
    Unknown(String),
    /// The provider asks to go slower.
    #[error("the provider asks to go slower: {0}")]
    Throttled(String),
    /// The account may not do this, or the machine is protected.
    #[error("not permitted: {0}")]
    Denied(String),
    /// The credentials are expired, missing, or the clock is wrong.
    #[error("the credentials are not accepted: {0}")]
    Credentials(String),
    /// The request can never succeed as it is: a region that does not exist, an id of another form.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// The provider knows no machine of this id. That alone proves nothing.
    #[error("the provider does not know this machine")]
    NotFound,
}

/// The cloud's word that it will take a machine back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The machine.
    pub machine: MachineId,
    /// When, if it said so.
    pub deadline: Option<At>,
}

/// A provider of machines.
///
/// # Contract
/// The laws in `cloud::laws` (feature `testkit`) state it; every implementation runs all of them. In short: a token makes at most
/// one machine, ever; a launch is one send without a retry below it; a look is complete or an error; a machine that was
/// once seen terminated never lives again; terminating is idempotent, and only looks say that a machine has ended.
#[async_trait]
pub trait CloudProvider: Send + Sync {
    /// Where this provider's looks of a region are evidence, for the account as it is set up now.
    async fn scope(&self, region: &str) -> Result<Scope, CloudError>;

    /// Everything that can be allowed in a region: an offering per type and purchase.
    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError>;

    /// Sends the launch once. Dropping the future means the same as [`LaunchError::Unknown`].
    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError>;

    /// The same, but for one thing: it is sent only while the permit holds, else it is answered with
    /// [`LaunchError::not_sent`]. Where a launch waits before it is sent, for a turn say, the provider asks right before that;
    /// one that sends at once needs nothing more than [`launch`](Self::launch).
    async fn launch_with(&self, request: &LaunchRequest, _permit: &SendPermit) -> Result<Machine, LaunchError> {
        self.launch(request).await
    }

    /// All pages of the listing by owner tag, and a look-up of each known one that is not in it; or an error.
    async fn look(&self, scope: &Scope, log: crate::model::LogId, known: &[Known]) -> Result<Look, CloudError>;

    /// Asks for the end of these machines: one answer each, in their order. Asking again is harmless.
    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>>;

    /// The next announcement that a machine is taken back; pending for ever where there is no push.
    async fn notice(&self) -> Notice;
}
