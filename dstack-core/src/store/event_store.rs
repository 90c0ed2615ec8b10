//! The port to the log.

use async_trait::async_trait;

use crate::model::{AppendId, At, Batch, Name, Record, RecordHash, RunId, RunnerId, Seq};

/// The end of a log and the time there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest record, or [`Seq::START`] of an empty log.
    pub seq: Seq,
    /// Its hash, or [`RecordHash::START`] of an empty log.
    pub hash: RecordHash,
    /// Log time now: what a record appended at this moment would be stamped with.
    pub now: At,
}

/// What became of an append that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Place of the batch's first record.
    pub first: Seq,
    /// Place of its last record, with its time and hash.
    pub head: Head,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A stored record is not what was appended.
    #[error("record {seq}: {why}")]
    Corrupt {
        /// The first bad record.
        seq: Seq,
        /// What does not fit.
        why: String,
    },
    /// The store cannot be used where it is or as it is; the text says what to do.
    #[error("{0}")]
    Unusable(String),
    /// The store does not answer; later it may.
    #[error("the log cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why an append is not in the log, or may not be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The log has grown beyond the expected place. Nothing was appended.
    #[error("the log has moved on to record {}", .head.seq)]
    Conflict {
        /// Where it ends now.
        head: Head,
    },
    /// It may or may not be in the log: send the same batch again to learn it.
    #[error("the outcome of an append is not known: {0}")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The id was used for other bytes.
    #[error("the append id {0} was used for other events")]
    IdReused(AppendId),
    /// Beyond the bounds of one append, or empty. Nothing was appended.
    #[error("an append holds 1 to 100001 records of at most 256 KiB and 64 MiB together")]
    TooLarge,
    /// No room left. Nothing was appended.
    #[error("no space is left for the log: free some, then go on")]
    Full,
    /// The store refuses. Nothing was appended.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A fold's state at a place of the log: a cache, never a truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Version of the state's form; another version is ignored.
    pub version: u32,
    /// The last record that is in it.
    pub seq: Seq,
    /// That record's hash; a snapshot whose hash the log does not have is ignored.
    pub hash: RecordHash,
    /// The state.
    pub bytes: Vec<u8>,
}

/// Something that has left the state, kept so that the log need not be folded again to show it: a cache, never a truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// What it is.
    pub id: PastId,
    /// The thing itself, in the form of the snapshot's version.
    pub bytes: Vec<u8>,
}

/// Names something that has left the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PastId {
    /// A run that is over.
    Run(RunId),
    /// A runner that is over.
    Runner(RunnerId),
}

/// Where a run stands in the log, for reading runs that the state no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// What people call it.
    pub name: Name,
    /// Its `RunSubmitted` record.
    pub submitted: Seq,
}

/// The append-only log. Any number of processes may use one at once.
///
/// # Contract
/// The laws in `store::laws` (feature `testkit`) state it; every implementation runs all of them. In short: places are gapless
/// from 1; an acknowledged append is in every later read of every process and survives a power cut; of two appends at one
/// expected place one succeeds; an append sent again is recognised by its id; log time never runs backwards; a record that
/// was changed is never returned.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// The newest record's place and hash, and log time now.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Appends the batch right after `expected`, all of it or nothing.
    ///
    /// The id is looked for before `expected` is compared: a batch that is in the log already is `Appended`, wherever it
    /// stands. Dropping the future leaves the outcome unknown.
    async fn append(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError>;

    /// Appends like [`append`](Self::append), but may put off making it durable until the next call on this store: whoever
    /// appends again right away pays for both with one sync.
    ///
    /// Before [`settle`](Self::settle), or an append that follows, has succeeded, nothing may be done because of it: until
    /// then a crash takes it away. Others may have to wait meanwhile, so nothing slow may come in between.
    async fn append_held(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.append(expected, batch).await
    }

    /// Makes durable what was held, if anything was. When this fails, or an append that follows on what was held does so
    /// otherwise than by a conflict, all that was held may or may not be in the log.
    async fn settle(&self) -> Result<(), AppendError> {
        Ok(())
    }

    /// Up to `limit` records after `after`, in order, each checked against the chain.
    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Returns when there may be records after `after`; possibly early. Dropping it loses nothing.
    async fn wait(&self, after: Seq);

    /// The newest snapshot whose hash the log has, if there is one.
    async fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError>;

    /// Keeps a snapshot in the place of older ones, and beside it what has left the state since. Losing it costs time only.
    async fn save_snapshot(&self, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError>;

    /// What was kept of this beside a snapshot of this version whose hash the log has, if anything was.
    async fn load_past(&self, version: u32, id: PastId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Runners that were kept beside snapshots of this version, the last to be kept first, at most `limit`.
    async fn past_runners(&self, version: u32, limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError>;

    /// The runs of this name, newest first, at most `limit`; all runs when no name is given.
    async fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError>;
}
