//! The whole log, judged: its chain, its fold and the laws of states.

use crate::model::invariant::{broken, cap};
use crate::model::{Content, RecordHash, Seq, State};
use crate::store::{EventStore, StoreError};

/// Records that are read at once.
const READ_LIMIT: usize = 10_000;

/// A log that is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many records it has.
    pub records: u64,
    /// The newest record's hash: two copies of a log that agree on it are equal.
    pub hash: RecordHash,
    /// Records that the state did not allow when they came; `dstack events` shows them.
    pub faults: u64,
    /// Why this program only reads the log, if a newer one has written to it.
    pub unreadable: Option<String>,
}

/// Why a log is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It cannot be read, or a record was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is not where or when it should be.
    #[error("record {seq}: {why}")]
    Misplaced {
        /// The first such record.
        seq: Seq,
        /// What does not fit.
        why: String,
    },
    /// The record led to a state that must not be: an error of the program that wrote it, or of this one.
    #[error("record {seq} breaks the law {law}: {why}")]
    Broken {
        /// The record after which the law was first seen broken.
        seq: Seq,
        /// The law's name.
        law: &'static str,
        /// Which entity breaks it, and how.
        why: String,
    },
}

/// Reads the whole log, whatever snapshots there are: each record's place, time and hash, the caps after each append, and
/// every law of states at the end.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn check(store: &dyn EventStore) -> Result<Checked, CheckError> {
    let head = store.head().await?;
    let mut state = State::default();
    let mut append = None;
    while state.seq() < head.seq {
        let records = store.read(state.seq(), READ_LIMIT).await?;
        if records.is_empty() {
            let why = format!("it cannot be read, though the log ends at record {}", head.seq);
            return Err(CheckError::Misplaced { seq: state.seq().next(), why });
        }
        for record in &records {
            // An append is whole only at its end: in its middle a lowered maximum stands without its consequences.
            if append.is_some_and(|earlier| earlier != record.append) {
                judge_cap(&state)?;
            }
            append = Some(record.append);
            if record.seq != state.seq().next() {
                let why = format!("it stands after record {}", state.seq());
                return Err(CheckError::Misplaced { seq: record.seq, why });
            }
            if record.at < state.at() {
                let why = format!("its time {} is before the record before, {}", record.at, state.at());
                return Err(CheckError::Misplaced { seq: record.seq, why });
            }
            if let Content::Unknown(error) = &record.content {
                tracing::warn!(seq = record.seq.get(), %error, "a record that only a newer program can read");
            }
            state.apply(record);
        }
    }
    judge_cap(&state)?;
    if state.unreadable().is_none()
        && let Some((law, why)) = broken(&state)
    {
        return Err(CheckError::Broken { seq: state.seq(), law, why });
    }
    Ok(Checked {
        records: state.seq().get(),
        hash: state.hash(),
        faults: state.faults().count(),
        unreadable: state.unreadable().map(str::to_owned),
    })
}

/// A program that cannot read all records knows too little to judge.
fn judge_cap(state: &State) -> Result<(), CheckError> {
    if state.unreadable().is_some() {
        return Ok(());
    }
    cap(state).map_err(|why| CheckError::Broken { seq: state.seq(), law: "cap", why })
}
