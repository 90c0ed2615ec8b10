//! Who is told of an append, and how.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use futures::FutureExt;
use tempfile::TempDir;

use super::{batch, clock, open, run};
use crate::model::Seq;
use crate::store::sqlite::{SqliteStore, Waking};
use crate::store::{AppendError, EventStore};

#[tokio::test]
async fn an_append_sends_a_byte_to_who_waits_and_removes_who_is_gone() {
    let home = TempDir::new().expect("a folder can be made");
    let sockets = home.path().join("wake");
    std::fs::create_dir(&sockets).expect("it can be made");
    let waiting = UnixDatagram::bind(sockets.join("waiting")).expect("it can be bound");
    drop(UnixDatagram::bind(sockets.join("gone")).expect("it can be bound"));
    let store = SqliteStore::open(home.path(), clock()).expect("the log opens");
    store.append(Seq::START, &batch(1, &[run(1, "train")])).await.expect("it is in order");
    assert_eq!(waiting.recv(&mut [0; 8]).expect("a byte came"), 1);
    // The byte is sent before the removal: another append is after both.
    store.append(Seq::new(1), &batch(2, &[run(2, "train")])).await.expect("it is in order");
    assert!(!sockets.join("gone").exists());
    assert!(sockets.join("waiting").exists());
}

#[tokio::test]
async fn a_socket_works_in_a_folder_with_a_long_path_and_goes_with_its_store() {
    let home = TempDir::new().expect("a folder can be made");
    let folder = home.path().join("n".repeat(120));
    let open = || SqliteStore::open(&folder, clock()).expect("the log opens");
    let (waiter, appender) = (open(), open());
    assert!(waiter.wait(Seq::START).now_or_never().is_none());
    let sockets = || std::fs::read_dir(folder.join("wake")).expect("it exists").count();
    assert_eq!(sockets(), 1);
    let appended = batch(1, &[run(1, "train")]);
    let (_, answer) = futures::future::join(waiter.wait(Seq::START), appender.append(Seq::START, &appended)).await;
    answer.expect("it is in order");
    assert_eq!(waiter.read(Seq::START, 9).await.expect("the log is sound").len(), 1);
    drop(waiter);
    assert_eq!(sockets(), 0);
}

#[tokio::test]
async fn a_reader_without_a_thread_notices_appends_too() {
    let home = TempDir::new().expect("a folder can be made");
    let writer = SqliteStore::open(home.path(), clock()).expect("the log opens");
    let reader = SqliteStore::open_read_only(home.path(), clock(), Waking::Poll(Duration::from_millis(1)));
    let reader = reader.expect("nothing is wrong").expect("there is a log");
    let appended = batch(1, &[run(1, "train")]);
    let (_, answer) = futures::future::join(reader.wait(Seq::START), writer.append(Seq::START, &appended)).await;
    answer.expect("it is in order");
    assert_eq!(reader.head().await.expect("the log is sound").seq, Seq::new(1));
}

#[test]
fn who_lost_a_race_appends_next_and_a_store_that_gives_up_lets_others() {
    let home = TempDir::new().expect("a folder can be made");
    let (mut winner, mut loser) = (open(home.path()), open(home.path()));
    winner.append(Seq::START, &batch(1, &[run(1, "train")])).expect("it is in order");
    let late = loser.append(Seq::START, &batch(2, &[run(2, "train")]));
    assert!(matches!(late, Err(AppendError::Conflict { .. })), "{late:?}");
    assert!(loser.keeps_turn() && !winner.keeps_turn());
    let again = std::thread::spawn(move || {
        let answer = winner.append(Seq::new(1), &batch(3, &[run(3, "train")]));
        (winner, answer)
    });
    let second = loser.append(Seq::new(1), &batch(2, &[run(2, "train")])).expect("nobody may come in between");
    assert_eq!(second.head.seq, Seq::new(2));
    let (winner, answer) = again.join().expect("it does not panic");
    assert!(matches!(answer, Err(AppendError::Conflict { .. })), "{answer:?}");
    winner.give_up_turn();
    loser.append(Seq::new(2), &batch(4, &[run(4, "train")])).expect("the turn is free");
}

#[tokio::test]
async fn a_store_that_lost_a_race_and_has_nothing_more_to_say_blocks_nobody() {
    let home = TempDir::new().expect("a folder can be made");
    let start = || SqliteStore::open(home.path(), clock()).expect("the log opens");
    let (winner, loser) = (start(), start());
    for round in 0..3 {
        let number = u128::from(round);
        winner
            .append(Seq::new(round), &batch(number, &[run(1, "train")]))
            .await
            .expect("nobody holds the turn for long");
        let late = loser.append(Seq::new(round), &batch(100, &[run(2, "train")])).await;
        assert!(matches!(late, Err(AppendError::Conflict { .. })), "{late:?}");
    }
}

#[tokio::test]
async fn a_store_without_a_thread_gives_up_its_turn_when_it_waits() {
    let home = TempDir::new().expect("a folder can be made");
    let winner = SqliteStore::open(home.path(), clock()).expect("the log opens");
    let loser = SqliteStore::open_inline(home.path(), clock(), Waking::Poll(Duration::from_millis(1)));
    let loser = loser.expect("the log opens");
    winner.append(Seq::START, &batch(1, &[run(1, "train")])).await.expect("it is in order");
    let late = loser.append(Seq::START, &batch(2, &[run(2, "train")])).await;
    assert!(matches!(late, Err(AppendError::Conflict { .. })), "{late:?}");
    assert!(loser.keeps_turn(), "it may try again at once");
    loser.wait(Seq::START).await;
    assert!(!loser.keeps_turn());
}
