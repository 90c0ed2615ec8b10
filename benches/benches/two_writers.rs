//! Whether two processes that append to one log as fast as they can get fair halves, and how long either waits.
//!
//! Run it with `cargo bench -p benches --bench two_writers`. The processes are this program, started again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dstack_core::clock::{Clock, SystemClock};
use dstack_core::model::event::AutoscalingEnabled;
use dstack_core::model::{AppendId, Batch, Event};
use dstack_core::store::sqlite::SqliteStore;
use dstack_core::store::{AppendError, EventStore};
use tempfile::TempDir;

const FOLDER: &str = "DSTACK_BENCH_FOLDER";
/// How long each measurement lasts.
const LENGTH: Duration = Duration::from_secs(2);

/// What one writer saw: appends that succeeded, conflicts, and how long an append took with all its retries.
struct Seen {
    appends: u64,
    conflicts: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

fn main() {
    if let Ok(folder) = std::env::var(FOLDER) {
        let seen = write(Path::new(&folder));
        let Seen { appends, conflicts, p50_us, p99_us, max_us } = seen;
        println!("{appends} {conflicts} {p50_us} {p99_us} {max_us}");
        return;
    }
    let lone = measure(1);
    let both = measure(2);
    report("lone", &lone);
    report("both", &both);
    let rates = both.iter().map(|seen| seen.appends);
    let (least, most) = (rates.clone().min().unwrap_or(0), rates.max().unwrap_or(0));
    println!("rates differ by a factor of {:.2}", most as f64 / least.max(1) as f64);
    let p99 = both.iter().map(|seen| seen.p99_us).max().unwrap_or(0);
    println!("p99 of two is {:.1} x the p50 of one", p99 as f64 / lone[0].p50_us.max(1) as f64);
}

fn report(name: &str, writers: &[Seen]) {
    for seen in writers {
        let Seen { appends, conflicts, p50_us, p99_us, max_us } = seen;
        println!("{name}: {appends} appends, {conflicts} conflicts, {p50_us} us p50, {p99_us} us p99, {max_us} us max");
    }
}

fn measure(writers: usize) -> Vec<Seen> {
    let folder = TempDir::new().expect("a folder can be made");
    let program = std::env::current_exe().expect("this program has a path");
    let start = |_| {
        let mut command = Command::new(&program);
        command.env(FOLDER, folder.path()).stdout(Stdio::piped()).spawn().expect("it starts again")
    };
    let children: Vec<_> = (0..writers).map(start).collect();
    let seen = children.into_iter().map(|child| {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [appends, conflicts, p50_us, p99_us, max_us] = numbers[..] else { panic!("no answer: {text}") };
        Seen { appends, conflicts, p50_us, p99_us, max_us }
    });
    seen.collect()
}

fn write(folder: &Path) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let store = SqliteStore::open(folder, Arc::new(SystemClock)).expect("it opens");
    let event: Event = AutoscalingEnabled {}.into();
    let mut times = Vec::new();
    let mut conflicts = 0;
    let mut head = runtime.block_on(store.head()).expect("the log is sound").seq;
    let start = Instant::now();
    while start.elapsed() < LENGTH {
        let begun = Instant::now();
        loop {
            let batch = Batch::new(AppendId::from_entropy(SystemClock.entropy()), [&event]);
            match runtime.block_on(store.append(head, &batch)) {
                Ok(appended) => {
                    head = appended.head.seq;
                    break;
                }
                Err(AppendError::Conflict { head: newer }) => {
                    head = newer.seq;
                    conflicts += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0);
    let max_us = times.last().copied().unwrap_or(0);
    Seen { appends: times.len() as u64, conflicts, p50_us: at(50), p99_us: at(99), max_us }
}
