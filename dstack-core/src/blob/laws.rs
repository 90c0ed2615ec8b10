//! What every [`BlobStore`] and every [`OutputStore`] holds to. [`blob_laws!`](crate::blob_laws) and
//! [`output_laws!`](crate::output_laws) make a test of each law; each wants a store with nothing in it.

use bytes::Bytes as Buffer;
use futures::future::{BoxFuture, join_all};

use super::{BlobError, BlobStore, OutputStore, blob_id};
use crate::model::{At, AttemptId, BlobId, RunId, WorkflowId};

/// A law of blob stores as a value.
pub type BlobLaw = for<'a> fn(&'a dyn BlobStore) -> BoxFuture<'a, ()>;
/// A law of output stores as a value.
pub type OutputLaw = for<'a> fn(&'a dyn OutputStore) -> BoxFuture<'a, ()>;

/// Makes one test of each law of blob stores. The argument is a `fn(BlobLaw)` that drives a law on an empty store.
#[macro_export]
macro_rules! blob_laws {
    ($drive:path) => {
        $crate::blob_laws!($drive;
            what_was_put_comes_back,
            equal_bytes_have_one_address,
            what_was_not_put_is_missing,
            puts_at_once_all_succeed,
        );
    };
    ($drive:path; $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                $drive(|store| ::std::boxed::Box::pin($crate::blob::laws::$law(store)));
            }
        )*
    };
}

/// Makes one test of each law of output stores. The argument is a `fn(OutputLaw)` that drives a law on an empty store.
#[macro_export]
macro_rules! output_laws {
    ($drive:path) => {
        $crate::output_laws!($drive;
            an_attempt_that_printed_nothing_has_no_bytes,
            output_reads_the_same_from_any_offset,
            writing_again_changes_nothing,
            output_never_has_a_hole,
            what_had_come_by_a_moment_is_the_newest_note_up_to_it,
            attempts_have_their_own_output,
        );
    };
    ($drive:path; $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                $drive(|store| ::std::boxed::Box::pin($crate::blob::laws::$law(store)));
            }
        )*
    };
}

/// Bytes of this length that repeat late.
fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

async fn read(store: &dyn BlobStore, id: BlobId) -> Buffer {
    store.get(id).await.expect("it is there").bytes().expect("it can be read")
}

fn attempt(index: u32, number: u32) -> AttemptId {
    AttemptId { workflow: WorkflowId { run: RunId::from_bits(1), index }, number }
}

/// Any bytes, none and many, come back as they were.
pub async fn what_was_put_comes_back(store: &dyn BlobStore) {
    for length in [0, 1, 4096, 3_000_001] {
        let content = Buffer::from(bytes(length));
        let id = store.put(content.clone().into()).await.expect("the store takes it");
        assert_eq!(id, blob_id(&content), "the address is the hash");
        assert_eq!(read(store, id).await, content);
    }
}

/// Putting the same bytes again gives the same address, and other bytes another.
pub async fn equal_bytes_have_one_address(store: &dyn BlobStore) {
    let one = store.put(Buffer::from_static(b"one").into()).await.expect("the store takes it");
    let other = store.put(Buffer::from_static(b"other").into()).await.expect("the store takes it");
    assert_eq!(store.put(Buffer::from_static(b"one").into()).await.expect("the store takes it again"), one);
    assert_ne!(one, other);
    assert_eq!(read(store, one).await, Buffer::from_static(b"one"));
}

/// An address without bytes is an answer of its own.
pub async fn what_was_not_put_is_missing(store: &dyn BlobStore) {
    store.put(Buffer::from_static(b"one").into()).await.expect("the store takes it");
    let id = blob_id(b"never put");
    assert!(matches!(store.get(id).await, Err(BlobError::Missing(missing)) if missing == id));
}

/// Equal and different bytes, put at the same time, are all there.
pub async fn puts_at_once_all_succeed(store: &dyn BlobStore) {
    let contents: Vec<Buffer> = (0..20).map(|number| Buffer::from(bytes(1000 + number % 5))).collect();
    let ids = join_all(contents.iter().map(|content| store.put(content.clone().into()))).await;
    for (content, id) in contents.iter().zip(ids) {
        assert_eq!(read(store, id.expect("the store takes it")).await, content);
    }
}

/// Nothing is kept of one that printed nothing, written or not.
pub async fn an_attempt_that_printed_nothing_has_no_bytes(store: &dyn OutputStore) {
    assert_eq!(store.length(attempt(0, 1)).await.expect("the store answers"), 0);
    assert_eq!(store.read(attempt(0, 1), 0, 10).await.expect("the store answers"), Buffer::new());
    store.write(attempt(0, 1), 0, b"").await.expect("the store takes it");
    assert_eq!(store.length(attempt(0, 1)).await.expect("the store answers"), 0);
}

/// In whatever pieces it was written and is read, it is the same bytes.
pub async fn output_reads_the_same_from_any_offset(store: &dyn OutputStore) {
    let content = bytes(300_000);
    let mut offset = 0;
    for piece in [1, 2, 3, 4096, 200_000, 95_898] {
        store.write(attempt(0, 1), offset as u64, &content[offset..offset + piece]).await.expect("the store takes it");
        offset += piece;
        assert_eq!(store.length(attempt(0, 1)).await.expect("the store answers"), offset as u64);
    }
    for (offset, limit) in [(0, 300_000), (0, 1), (1, 2), (299_999, 10), (4000, 100_000), (300_000, 5), (300_001, 5)] {
        let start = offset.min(content.len());
        let expected = &content[start..(start + limit).min(content.len())];
        let read = store.read(attempt(0, 1), offset as u64, limit).await.expect("the store answers");
        assert!(read == expected, "{limit} bytes from {offset}");
    }
}

/// The same bytes at the same place, in part or in full, are there once.
pub async fn writing_again_changes_nothing(store: &dyn OutputStore) {
    for (offset, piece) in [(0, "hello "), (6, "world"), (0, "hello "), (3, "lo wor"), (6, "world")] {
        store.write(attempt(0, 1), offset, piece.as_bytes()).await.expect("the store takes it");
    }
    assert_eq!(store.length(attempt(0, 1)).await.expect("the store answers"), 11);
    assert_eq!(store.read(attempt(0, 1), 0, 100).await.expect("the store answers"), &b"hello world"[..]);
}

/// What comes before its time does not count until what is before it is there; then it may have to be sent again.
pub async fn output_never_has_a_hole(store: &dyn OutputStore) {
    store.write(attempt(0, 1), 6, b"world").await.expect("out of order is harmless");
    assert_eq!(store.length(attempt(0, 1)).await.expect("the store answers"), 0);
    store.write(attempt(0, 1), 0, b"hello").await.expect("the store takes it");
    store.write(attempt(0, 1), 6, b"world").await.expect("out of order is harmless");
    assert_eq!(store.length(attempt(0, 1)).await.expect("the store answers"), 5);
    store.write(attempt(0, 1), 5, b" ").await.expect("the store takes it");
    let length = store.length(attempt(0, 1)).await.expect("the store answers");
    store.write(attempt(0, 1), length, &b"hello world"[length as usize..]).await.expect("the store takes it");
    assert_eq!(store.read(attempt(0, 1), 0, 100).await.expect("the store answers"), &b"hello world"[..]);
}

/// Before the first note nothing had come; from a note on, what it says, until the next.
pub async fn what_had_come_by_a_moment_is_the_newest_note_up_to_it(store: &dyn OutputStore) {
    let at = At::from_micros;
    assert_eq!(store.length_at(attempt(0, 1), at(5)).await.expect("the store answers"), 0);
    store.write(attempt(0, 1), 0, b"hello world").await.expect("the store takes it");
    for (moment, length) in [(10, 3), (20, 3), (30, 11)] {
        store.mark(attempt(0, 1), at(moment), length).await.expect("the store takes it");
    }
    store.mark(attempt(0, 2), at(1), 7).await.expect("the store takes it");
    for (moment, length) in [(-1, 0), (9, 0), (10, 3), (29, 3), (30, 11), (i64::MAX, 11)] {
        assert_eq!(store.length_at(attempt(0, 1), at(moment)).await.expect("the store answers"), length, "{moment}");
    }
    assert_eq!(store.length(attempt(0, 1)).await.expect("the store answers"), 11, "notes are no output");
}

/// Output of one is never output of another.
pub async fn attempts_have_their_own_output(store: &dyn OutputStore) {
    let other_run = AttemptId { workflow: WorkflowId { run: RunId::from_bits(2), index: 1 }, number: 1 };
    let attempts = [attempt(1, 1), attempt(1, 2), attempt(2, 1), attempt(11, 1), other_run];
    for id in attempts {
        store.write(id, 0, id.to_string().as_bytes()).await.expect("the store takes it");
    }
    for id in attempts {
        assert_eq!(store.read(id, 0, 100).await.expect("the store answers"), id.to_string().into_bytes());
    }
}
