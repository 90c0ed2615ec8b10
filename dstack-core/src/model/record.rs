//! An event at its place in the log, chained to the one before it.

use sha2::{Digest, Sha256};

use super::event::{DecodeError, Encoded, EncodedRef, Event};
use super::{AppendId, At, Seq};

/// Largest payload of one record, in bytes.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// Most records of one append: a run of 100,000 workflows and its head.
pub const MAX_BATCH_RECORDS: usize = 100_001;
/// Largest append, in bytes of payload.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// SHA-256 over a record and the hash before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordHash(pub [u8; 32]);

impl std::fmt::Debug for RecordHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl RecordHash {
    /// What stands before the first record: zeros.
    pub const START: Self = Self([0; 32]);

    /// The hash of a record that stands after a record with this hash.
    ///
    /// SHA-256 of: previous hash (32 bytes), seq (u64), at in microseconds (i64), append id (16 bytes), place in the append
    /// (u32), length of the kind (u32) and the kind, version (u32), length of the payload (u32) and the payload. Numbers are
    /// little-endian.
    #[must_use]
    pub fn next(&self, seq: Seq, at: At, append: AppendId, index: u32, event: &Encoded) -> Self {
        self.next_of(seq, at, append, index, event.as_ref())
    }

    /// The same for an event whose stored form is borrowed.
    #[must_use]
    pub fn next_of(&self, seq: Seq, at: At, append: AppendId, index: u32, event: EncodedRef<'_>) -> Self {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut fixed = [0; 68];
        fixed[..32].copy_from_slice(&self.0);
        fixed[32..40].copy_from_slice(&seq.get().to_le_bytes());
        fixed[40..48].copy_from_slice(&at.as_micros().to_le_bytes());
        fixed[48..64].copy_from_slice(append.as_bytes());
        fixed[64..].copy_from_slice(&index.to_le_bytes());
        let digest = Sha256::new()
            .chain_update(fixed)
            .chain_update(length(event.kind.as_bytes()))
            .chain_update(event.kind.as_bytes())
            .chain_update(event.version.to_le_bytes())
            .chain_update(length(event.json))
            .chain_update(event.json)
            .finalize();
        Self(digest.into())
    }
}

/// What a record holds.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every record is of the large kind: a box would cost each an allocation"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An event that this program knows.
    Known(Event),
    /// An event of a newer program: while one is in the log, this program only reads.
    Unknown(DecodeError),
}

/// An event at its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place, from 1 and without gaps.
    pub seq: Seq,
    /// When it was appended; never earlier than the record before.
    pub at: At,
    /// The append that it came with.
    pub append: AppendId,
    /// The chained hash.
    pub hash: RecordHash,
    /// The event.
    pub content: Content,
}

impl Record {
    /// The event, if this program can read it.
    pub const fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Known(event) => Some(event),
            Content::Unknown(_) => None,
        }
    }
}

/// Events that are appended together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Identity of the append: sent again, it is recognised and not doubled.
    pub append: AppendId,
    /// The events in their stored form.
    pub events: Vec<Encoded>,
}

impl Batch {
    /// A batch of these events.
    pub fn new<'a>(append: AppendId, events: impl IntoIterator<Item = &'a Event>) -> Self {
        Self { append, events: events.into_iter().map(Event::encode).collect() }
    }

    /// Whether the batch is within the bounds of one append.
    pub fn is_within_bounds(&self) -> bool {
        let bytes: usize = self.events.iter().map(|event| event.json.len()).sum();
        self.events.len() <= MAX_BATCH_RECORDS
            && bytes <= MAX_BATCH_BYTES
            && self.events.iter().all(|event| event.json.len() <= MAX_RECORD_BYTES)
    }
}
