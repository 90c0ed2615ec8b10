//! Laws about appends that are held: part of [`laws`](super::laws).

use super::AppendError;
use super::laws::{LogMaker, append, append_id, batch, numbered, open, read_all};
use crate::model::Seq;

/// A held append has its place, time and hash at once, is read by others once it is settled, and is recognised by its id.
pub async fn what_was_held_is_there_once_settled(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let (_, other) = open(log).await;
    append(&*store, 0, 1, &[numbered(1)]).await;
    let held = store.append_held(Seq::new(1), &batch(2, &[numbered(2), numbered(3)])).await.expect("it is in order");
    assert_eq!((held.first, held.head.seq), (Seq::new(2), Seq::new(3)));
    store.settle().await.expect("it is settled");
    store.settle().await.expect("nothing is left to settle");
    let head = other.head().await.expect("the log is sound");
    assert_eq!((head.seq, head.hash), (held.head.seq, held.head.hash));
    assert_eq!(read_all(&*other).await.len(), 3);
    assert_eq!(append(&*other, 0, 2, &[numbered(2), numbered(3)]).await, held);
    // Any other use of the store settles too.
    let held = store.append_held(Seq::new(3), &batch(4, &[numbered(4)])).await.expect("it is in order");
    assert_eq!(store.head().await.expect("the log is sound").hash, held.head.hash);
    assert_eq!(read_all(&*other).await.len(), 4);
}

/// At a stale place a held append changes nothing, and what was held before it stays.
pub async fn a_held_append_conflicts_like_any_other(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let (_, other) = open(log).await;
    append(&*other, 0, 1, &[numbered(1)]).await;
    let stale = store.append_held(Seq::START, &batch(2, &[numbered(2)])).await;
    assert!(matches!(&stale, Err(AppendError::Conflict { head }) if head.seq == Seq::new(1)), "got {stale:?}");
    store.settle().await.expect("nothing is left to settle");
    append(&*other, 1, 3, &[numbered(3)]).await;
    store.append_held(Seq::new(2), &batch(4, &[numbered(4)])).await.expect("it is in order");
    let stale = store.append(Seq::new(2), &batch(5, &[numbered(5)])).await;
    assert!(matches!(&stale, Err(AppendError::Conflict { head }) if head.seq == Seq::new(3)), "got {stale:?}");
    assert_eq!(read_all(&*other).await.len(), 3, "what was held is there, and what came too late is not");
    let empty = store.append(Seq::new(3), &batch(6, &[])).await;
    assert!(matches!(empty, Err(AppendError::TooLarge)), "got {empty:?}");
}

/// Appends that follow on a held one stand after it, each under its own id.
pub async fn an_append_after_a_held_one_settles_both(log: &dyn LogMaker) {
    let (_, store) = open(log).await;
    let (_, other) = open(log).await;
    let facts = store.append_held(Seq::START, &batch(1, &[numbered(1), numbered(2)])).await.expect("it is in order");
    let more = store.append_held(facts.head.seq, &batch(2, &[numbered(3)])).await.expect("it is in order");
    let decisions = append(&*store, more.head.seq.get(), 3, &[numbered(4)]).await;
    assert_eq!((facts.first.get(), more.first.get(), decisions.first.get()), (1, 3, 4));
    let ids: Vec<_> = read_all(&*other).await.iter().map(|record| record.append).collect();
    assert_eq!(ids, [append_id(1), append_id(1), append_id(2), append_id(3)]);
    for (id, events) in [(1, vec![numbered(1), numbered(2)]), (2, vec![numbered(3)]), (3, vec![numbered(4)])] {
        append(&*other, 99, id, &events).await;
    }
    assert_eq!(read_all(&*other).await.len(), 4, "each was recognised");
}
