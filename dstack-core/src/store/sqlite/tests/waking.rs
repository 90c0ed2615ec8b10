//! Who is told of an append, and how.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use futures::FutureExt;
use tempfile::TempDir;

use super::{batch, clock, run};
use crate::model::Seq;
use crate::store::EventStore;
use crate::store::sqlite::{SqliteStore, Waking};

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
