//! The port to a runner.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use crate::blob::Payload;
use crate::model::{At, AttemptId, Exit, Greeting, Place, Program, Shell, Span};
use crate::secret::Secret;

/// What an attempt runs, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Script or program.
    pub program: Program,
    /// Which shell reads a script.
    pub shell: Shell,
    /// The script's positional parameters.
    pub args: Vec<String>,
    /// Environment, with dstack's own variables.
    pub env: BTreeMap<String, String>,
    /// Folder below the staged one in which it is run.
    pub working_dir: Option<String>,
    /// Longest running time.
    pub timeout: Option<Span>,
}

/// What is laid into an attempt's folder before it starts, in this order.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Packed folders (zstd-compressed tar archives): the project's, then those with dependencies' artifacts.
    pub archives: Vec<Payload>,
}

/// Answer to [`RunnerHost::start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Begun {
    /// The supervisor took the attempt and starts its command, or did so before.
    Started,
    /// A verdict came first: the command was not started and never will be.
    Closed,
}

/// How an attempt is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closing {
    /// A user wants it to end: asked first, killed after the grace. If it was not begun, it never will be.
    Stop {
        /// How long it may take to end by itself.
        grace: Span,
    },
    /// It is given up: killed at once. If it was not begun, it never will be.
    Lost,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing has begun, and nothing forbids it.
    Staged,
    /// The command runs, or what becomes of it is not yet known.
    Running,
    /// The command ended like this, and all of its output is written.
    Exited(Exit),
    /// A verdict came before the command: it was never begun and never will be.
    NeverBegun,
    /// It was begun, its process is gone (what was left of it is killed), and there is no exit record.
    Lost,
}

/// What a poll says of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// The attempt.
    pub attempt: AttemptId,
    /// How far it is.
    pub progress: Progress,
    /// Output from the asked offset on, at most [`MAX_CHUNK`](Self::MAX_CHUNK) bytes.
    pub output: Buffer,
    /// Whether more output than that is there already.
    pub has_more: bool,
}

impl Polled {
    /// Most bytes of one attempt's output in one poll.
    pub const MAX_CHUNK: usize = 1024 * 1024;
}

/// A declared artifact as it came home.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// The artifact's files as one packed archive (zstd-compressed tar) with paths below the attempt's folder; absent when
    /// the path is not there.
    pub archive: Option<Payload>,
    /// Links that lead out of the artifact or nowhere: left behind.
    pub left_behind: Vec<String>,
    /// Why the runner cannot read all of it, where it cannot: what came is what it could read, and asking again changes nothing.
    pub unreadable: Option<String>,
}

/// What a runner hears of its own end from the cloud that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hearing {
    /// Nothing, whatever happens: nobody tells it, or it has nothing to ask with. Only the cloud itself can be asked.
    Deaf,
    /// It would be told, and was told nothing yet.
    Listens,
    /// It is taken back.
    Noticed {
        /// When, if that was said.
        deadline: Option<At>,
    },
}

/// Why a call to a runner failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// It cannot be reached now, or did not answer: nothing is known, and it may be tried again.
    #[error("the runner cannot be reached: {0}")]
    Unreachable(String),
    /// It is not the machine that it should be.
    #[error("the runner is not the machine that it was: {0}")]
    Changed(String),
    /// It has no such attempt, or has it no more: its runner's end has taken it away.
    #[error("the runner does not know attempt {0}")]
    UnknownAttempt(AttemptId),
    /// It cannot do this: its disk is full, say. The text says what.
    #[error("the runner refuses: {0}")]
    Refused(String),
}

/// Work on a runner.
///
/// # Contract
/// The laws in `host::laws` (feature `testkit`) state it; every implementation runs all of them. In short: an attempt's command
/// is started at most once, whoever asks and however often; a verdict that came first forbids it for ever; output is bytes
/// by offset; an exit is reported only with its complete record, and is the same for ever; a command outlives the loss of
/// every caller. Dropping any future leaves what it did unknown and harms nothing.
#[async_trait]
pub trait RunnerHost: Send + Sync {
    /// The first contact, and every later one that wants to know who answers. Where an identity is pinned, another one is
    /// [`HostError::Changed`].
    async fn greet(&self, place: &Place) -> Result<Greeting, HostError>;

    /// Lays the contents into the attempt's folder. Doing it again is harmless, also once the attempt has begun.
    async fn stage(&self, place: &Place, attempt: AttemptId, contents: &Contents) -> Result<(), HostError>;

    /// Starts the staged attempt, unless it was started or closed before. Secrets are environment variables; they travel
    /// with this call alone.
    async fn start(
        &self,
        place: &Place,
        attempt: AttemptId,
        job: &Job,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Begun, HostError>;

    /// Progress and output of these attempts from these offsets on: one trip for all of them.
    async fn poll(&self, place: &Place, attempts: &[(AttemptId, u64)]) -> Result<Vec<Polled>, HostError>;

    /// Ends an attempt or forbids its start. `Staged` is never the answer of a later poll.
    async fn close(&self, place: &Place, attempt: AttemptId, closing: Closing) -> Result<(), HostError>;

    /// A declared artifact's files. Where nothing is left of the attempt, that is [`HostError::UnknownAttempt`], and never a
    /// missing artifact.
    async fn fetch(&self, place: &Place, attempt: AttemptId, path: &str) -> Result<Fetched, HostError>;

    /// The attempt's results are safe elsewhere: its folder may be emptied.
    async fn release(&self, place: &Place, attempt: AttemptId) -> Result<(), HostError>;

    /// Returns when a poll may say something new; possibly early. Pending while nothing changes. Dropping it loses nothing.
    async fn wait(&self, place: &Place) -> Result<(), HostError>;

    /// What the runner hears of its own end, as soon as that is something else than `last`, what the caller knows. Pending
    /// until then; it fails when the runner cannot be reached any more, since then nothing would be heard. Dropping it loses
    /// nothing.
    async fn listen(&self, place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError>;
}
