//! The program as people use it, beside what starting a program and a shell costs here: `cargo bench -p benches --bench cli`.
//!
//! It measures `target/release/dstack`, or what `DSTACK_BIN` names. `F` is one `sh -c true`, `B` a program that prints a word.
//! Everything is run in turns (A B A B), and the median of the turns' ratios is told; a turn in which `F` itself moved by more
//! than 1.3 times is dropped. `-- --large` adds 10,000 workflows, `-- --huge` 100,000.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::world::World;
use dstack_core::Client;
use dstack_core::clock::{Clock, SystemClock};
use dstack_core::model::{AppendId, Batch, Event, Record, Seq};
use dstack_core::store::EventStore;
use dstack_core::store::sqlite::SqliteStore;
use tempfile::TempDir;

/// Turns of a command that is over in milliseconds.
const TURNS: usize = 40;
/// Records of the long history.
const HISTORY: u32 = 1_000_000;

struct Bench {
    program: PathBuf,
    folder: TempDir,
}

fn main() {
    let program = std::env::var_os("DSTACK_BIN").map_or_else(built, PathBuf::from);
    assert!(program.is_file(), "{} is not there: cargo build --release -p dstack-cli", program.display());
    let bench = Bench { program, folder: TempDir::new().expect("a folder can be made") };
    let has = |flag: &str| std::env::args().any(|arg| arg == flag);
    println!("{:<44} {:>10} {:>10} {:>8}", "", "median", "beside", "ratio");
    bench.starts();
    bench.ps();
    bench.lone();
    bench.many(100, 5);
    bench.many(1_000, 5);
    if has("--large") || has("--huge") {
        bench.many(10_000, 1);
    }
    if has("--huge") {
        bench.many(100_000, 1);
    }
}

/// Beside the folder of this program.
fn built() -> PathBuf {
    let own = std::env::current_exe().expect("it has a file");
    own.ancestors().nth(2).expect("it is in a folder of cargo's").join("dstack")
}

impl Bench {
    fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program in a project folder of its own, with this home.
    fn dstack(&self, home: &Path, args: &[impl AsRef<OsStr>]) -> Command {
        let project = self.folder.path().join("project");
        std::fs::create_dir_all(project.join(".dstack")).expect("it can be made");
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(project).env("DSTACK_HOME", home);
        command
    }

    fn workflows(&self, text: &str) {
        let folder = self.folder.path().join("project/.dstack");
        std::fs::create_dir_all(&folder).expect("it can be made");
        std::fs::write(folder.join("workflows.yaml"), text).expect("it can be written");
    }

    fn starts(&self) {
        for flag in ["--help", "--version"] {
            let ours = || timed(self.dstack(&self.home("none"), &[flag]));
            report(flag, "B", &turns(TURNS, ours, hello));
        }
    }

    fn ps(&self) {
        let names: Vec<String> = (0..100).map(|index| format!("w{index}")).collect();
        let each = names.iter().map(|name| format!("- {{name: {name}, commands: ['true'], resources: {{cpu: 1}}}}\n"));
        let all = format!("- {{name: all, commands: ['true'], depends-on: [{}]}}\n", names.join(", "));
        self.workflows(&format!("workflows:\n{}{all}", each.collect::<String>()));
        let home = self.home("waiting");
        timed(self.dstack(&home, &["run", "-d", "--queue", "all"]));
        report("ps, 101 workflows wait", "B", &turns(TURNS, || timed(self.dstack(&home, &["ps"])), hello));
        let home = self.home("history");
        history(&home);
        timed(self.dstack(&home, &["run", "-d", "--queue", "all"]));
        let what = format!("ps, the same after {HISTORY} records");
        report(&what, "B", &turns(TURNS, || timed(self.dstack(&home, &["ps"])), hello));
        report("ps -n 1, the same", "B", &turns(TURNS, || timed(self.dstack(&home, &["ps", "-n", "1"])), hello));
    }

    fn lone(&self) {
        let home = self.home("lone");
        timed(self.dstack(&home, &["run", "--local", "--", "true"]));
        let ours = || {
            // The controller of the turn before has left: nothing runs.
            while !self.is_idle(&home) {
                std::thread::sleep(Duration::from_millis(20));
            }
            timed(self.dstack(&home, &["run", "--local", "--", "true"]))
        };
        report("run --local -- true, nothing runs", "B", &turns(TURNS / 2, ours, hello));
    }

    fn is_idle(&self, home: &Path) -> bool {
        let output = self.dstack(home, &["runners", "--json"]).output().expect("it can be started");
        let is_empty = String::from_utf8_lossy(&output.stdout).replace(char::is_whitespace, "") == r#"{"runners":[]}"#;
        let lock = std::fs::File::open(home.join("controller.lock"));
        is_empty && lock.is_ok_and(|lock| lock.try_lock().is_ok())
    }

    /// So many workflows that do nothing, two at once, from the command to its end.
    fn many(&self, count: u32, turns_of_it: usize) {
        let names = (0..count).map(|index| format!("- {{name: w{index}, commands: ['true']}}\n")).collect::<String>();
        let all: Vec<String> = (0..count).map(|index| format!("w{index}")).collect();
        // A dependency on each of very many is more than one record holds.
        let groups: Vec<&[String]> = all.chunks(1_000).collect();
        let group = |(index, names): (usize, &&[String])| {
            format!("- {{name: g{index}, commands: ['true'], depends-on: [{}]}}\n", names.join(", "))
        };
        let middle = groups.iter().enumerate().map(group).collect::<String>();
        let last: Vec<String> = (0..groups.len()).map(|index| format!("g{index}")).collect();
        let last = format!("- {{name: all, commands: ['true'], depends-on: [{}]}}\n", last.join(", "));
        self.workflows(&format!("workflows:\n{names}{middle}{last}"));
        let mut number = 0;
        let ours = || {
            number += 1;
            let home = self.home(&format!("many-{count}-{number}"));
            timed(self.dstack(&home, &["autoscale", "allow", "local", "--max", "2", "--on-demand"]));
            let took = timed(self.dstack(&home, &["run", "all"]));
            std::fs::remove_dir_all(home).expect("it can be removed");
            took
        };
        let xargs = || {
            let mut command = Command::new("sh");
            timed(command.args(["-c", "seq \"$1\" | xargs -P2 -I{} sh -c true", "sh", &count.to_string()]))
        };
        let measured = turns(turns_of_it, ours, xargs);
        report(&format!("{count} no-ops, attached (a line is per workflow)"), "xargs", &measured.each(count));
    }
}

/// A log of that many records whose runs are over, with its snapshot.
fn history(home: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let store: Arc<dyn EventStore> =
        Arc::new(SqliteStore::open(home, Arc::new(SystemClock)).expect("a log can be made"));
    let world = World::happy(HISTORY / 4, 10);
    let events: Vec<Event> = world.records.iter().filter_map(Record::event).cloned().collect();
    runtime.block_on(async {
        let mut head = Seq::START;
        for events in events.chunks(10_000) {
            let batch = Batch::new(AppendId::from_entropy(SystemClock.entropy()), events);
            head = store.append(head, &batch).await.expect("it is in order").head.seq;
        }
        let mut client = Client::new(store, Arc::new(SystemClock));
        client.refresh().await.expect("the log is sound");
        client.save_snapshot_if_worth().await;
    });
}

fn hello() -> Duration {
    timed(&mut Command::new(env!("CARGO_BIN_EXE_hello")))
}

/// One `sh -c true`.
fn shell() -> Duration {
    timed(Command::new("sh").args(["-c", "true"]))
}

/// From the start of a command to its end, which must be a success.
fn timed(mut command: impl std::borrow::BorrowMut<Command>) -> Duration {
    let command = command.borrow_mut().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status().expect("it can be started");
    let took = began.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took
}

/// What was measured in turns.
struct Turns {
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
    /// Turns that were dropped, for the machine was another in them.
    dropped: usize,
}

impl Turns {
    /// The same, for each of so many.
    fn each(self, count: u32) -> Self {
        let each = |all: Vec<Duration>| all.into_iter().map(|one| one / count).collect();
        Self { ours: each(self.ours), theirs: each(self.theirs), dropped: self.dropped }
    }
}

fn turns(count: usize, mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) -> Turns {
    let mut measured = Turns { ours: Vec::new(), theirs: Vec::new(), dropped: 0 };
    for _ in 0..count {
        let before = quick(5, shell);
        let (one, other) = (ours(), theirs());
        let after = quick(5, shell);
        if count > 3 && (before > after.mul_f64(1.3) || after > before.mul_f64(1.3)) {
            measured.dropped += 1;
            continue;
        }
        measured.ours.push(one);
        measured.theirs.push(other);
    }
    measured
}

/// The median of a few.
fn quick(count: usize, of: fn() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..count).map(|_| of()).collect();
    times.sort_unstable();
    times[count / 2]
}

fn report(what: &str, beside: &str, turns: &Turns) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let millis = |all: &[Duration]| median(all.iter().map(|one| one.as_secs_f64() * 1e3).collect());
    let ratio = median(
        turns.ours.iter().zip(&turns.theirs).map(|(one, other)| one.as_secs_f64() / other.as_secs_f64()).collect(),
    );
    let (ours, theirs) = (millis(&turns.ours), millis(&turns.theirs));
    println!(
        "{what:<44} {ours:>7.2} ms {theirs:>7.2} ms {ratio:>6.2} {beside} ({} turns, {} dropped)",
        turns.ours.len(),
        turns.dropped
    );
}
