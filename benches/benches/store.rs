//! What the log's guarantees cost over the bare database: appends, and a cold read that checks every record.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dstack_core::clock::{Clock, SystemClock};
use dstack_core::model::event::AttemptAssigned;
use dstack_core::model::{AppendId, AttemptId, Batch, Event, RunId, RunnerId, Seq, WorkflowId};
use dstack_core::store::EventStore;
use dstack_core::store::sqlite::{SqliteStore, Waking};
use rusqlite::{Connection, TransactionBehavior, params};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Records of the log that is read cold.
const HISTORY: u64 = 1_000_000;
/// Records of one append while that log is made, and of one page while it is read.
const PAGE: usize = 10_000;

fn event(number: u64) -> Event {
    let workflow = WorkflowId { run: RunId::from_bits(number), index: 0 };
    AttemptAssigned { attempt: AttemptId { workflow, number: 1 }, runner: RunnerId::from_bits(number) }.into()
}

fn batch(records: usize) -> Batch {
    let events: Vec<Event> = (0..records as u64).map(event).collect();
    Batch::new(AppendId::from_entropy(SystemClock.entropy()), &events)
}

fn home() -> TempDir {
    TempDir::new().expect("a folder can be made")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// A table with the same columns and the same promises, and nothing that checks them.
fn bare(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("bare.db")).expect("it opens");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE record (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, idx INTEGER NOT NULL, append BLOB,
                                  at INTEGER, json BLOB NOT NULL, hash BLOB NOT NULL) STRICT;",
        )
        .expect("it can be made");
    connection
}

fn append_bare(connection: &mut Connection, batch: &Batch) {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).expect("it begins");
    {
        let head: i64 = transaction
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM record")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .expect("it has a head");
        let insert = "INSERT INTO record VALUES (?1, 1, ?2, ?3, 1, ?4, zeroblob(32))";
        let mut insert = transaction.prepare_cached(insert).expect("it can be prepared");
        for (index, event) in (1_i64..).zip(&batch.events) {
            insert.execute(params![head + index, index, batch.append.as_bytes(), event.json]).expect("it is inserted");
        }
    }
    transaction.commit().expect("it is committed");
}

fn appends(criterion: &mut Criterion) {
    let runtime = runtime();
    for records in [1, 100] {
        let mut group = criterion.benchmark_group(format!("append_{records}"));
        group.throughput(Throughput::Elements(records as u64));
        let folder = home();
        let mut connection = bare(folder.path());
        group.bench_function("bare", |bencher| {
            bencher.iter_batched(
                || batch(records),
                |batch| append_bare(&mut connection, &batch),
                BatchSize::PerIteration,
            );
        });
        let inline = SqliteStore::open_inline(&folder.path().join("inline"), Arc::new(SystemClock), Waking::Socket);
        let thread = SqliteStore::open(&folder.path().join("thread"), Arc::new(SystemClock));
        for (name, store) in [("inline", inline), ("thread", thread)] {
            let store = store.expect("it opens");
            let mut head = Seq::START;
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    || batch(records),
                    |batch| head = runtime.block_on(store.append(head, &batch)).expect("it is in order").head.seq,
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

/// Reads all pages, each while the one before is used, as a controller that starts does.
async fn read_all(store: &SqliteStore) -> usize {
    let mut count = 0;
    let mut page = store.read(Seq::START, PAGE).await.expect("the log is sound");
    while let Some(last) = page.last() {
        let next = store.read(last.seq, PAGE);
        let using = async { black_box(&page).len() };
        let (next, used) = futures::future::join(next, using).await;
        count += used;
        page = next.expect("the log is sound");
    }
    count
}

fn cold_read(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = home();
    let store = SqliteStore::open(folder.path(), Arc::new(SystemClock)).expect("it opens");
    let mut head = Seq::START;
    while head.get() < HISTORY {
        head = runtime.block_on(store.append(head, &batch(PAGE))).expect("it is in order").head.seq;
    }
    drop(store);
    let mut group = criterion.benchmark_group("cold_read");
    group.sample_size(10).throughput(Throughput::Elements(HISTORY));
    group.bench_function("bare", |bencher| {
        bencher.iter(|| {
            let connection = Connection::open(folder.path().join("log.db")).expect("it opens");
            let mut statement = connection.prepare("SELECT * FROM record ORDER BY seq").expect("it can be prepared");
            let mut rows = statement.query([]).expect("it runs");
            let mut bytes = 0;
            while let Some(row) = rows.next().expect("the file is sound") {
                for column in [5, 6] {
                    bytes += row.get_ref(column).and_then(|value| Ok(value.as_blob()?.len())).expect("a blob");
                }
            }
            black_box(bytes)
        });
    });
    group.bench_function("verify", |bencher| {
        bencher.iter(|| {
            let store = SqliteStore::open(folder.path(), Arc::new(SystemClock)).expect("it opens");
            assert_eq!(runtime.block_on(store.verify()).expect("the log is sound").seq.get(), HISTORY);
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let store = SqliteStore::open(folder.path(), Arc::new(SystemClock)).expect("it opens");
            assert_eq!(runtime.block_on(read_all(&store)) as u64, HISTORY);
        });
    });
    group.finish();
}

criterion_group!(store, appends, cold_read);
criterion_main!(store);
