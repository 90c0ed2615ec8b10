//! Several processes on one log, some of them killed. The processes are this test program, started again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{batch, clock, files, open, open_read_only, run};
use crate::clock::{Clock, VirtualClock};
use crate::model::{AppendId, Batch, Seq};
use crate::store::AppendError;
use crate::store::sqlite::database::Database;

const FOLDER: &str = "DSTACK_TEST_FOLDER";
const TASK: &str = "DSTACK_TEST_TASK";

/// What a child process does; nothing when it is run as a test among others.
#[test]
fn child() {
    let (Ok(folder), Ok(task)) = (std::env::var(FOLDER), std::env::var(TASK)) else { return };
    let folder = Path::new(&folder);
    match task.split_once(' ') {
        Some(("append", numbers)) => {
            let (number, count) = numbers.split_once(' ').expect("two numbers");
            let number = number.parse().expect("a number");
            append_in_a_loop(folder, number, count.parse().expect("a number"));
        }
        _ => files::check_modes_without_umask(folder),
    }
}

fn start(folder: &Path, task: &str) -> Child {
    let program = std::env::current_exe().expect("this program has a path");
    let name = format!("{}::child", module_path!().split_once("::").expect("a module in a crate").1);
    Command::new(program)
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(TASK, task)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts again")
}

/// Appends one or two records at a time, and says so on standard output once each append is acknowledged.
fn append_in_a_loop(folder: &Path, number: u64, count: u64) {
    let ids = VirtualClock::new(number);
    let mut database = open(folder);
    let mut out = std::io::stdout();
    let mut head = database.head().expect("the log is sound").seq;
    for round in 0..count {
        let events = [run(round, "train"), run(round, "eval")];
        let events = &events[..usize::from(round % 3 == 0) + 1];
        let mut batch = Batch::new(AppendId::from_entropy(ids.entropy()), events);
        loop {
            match database.append(head, &batch) {
                Ok(appended) => {
                    head = appended.head.seq;
                    writeln!(out, "\nack {} {head}", batch.append).and_then(|()| out.flush()).expect("it is read");
                    break;
                }
                Err(AppendError::Conflict { head: newer }) => {
                    head = newer.seq;
                    batch.append = AppendId::from_entropy(ids.entropy());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The acknowledged appends in what a child says: id and last place.
fn acknowledged(line: &str) -> Option<(String, u64)> {
    let (id, seq) = line.strip_prefix("ack ")?.split_once(' ')?;
    Some((id.to_owned(), seq.parse().ok()?))
}

/// Every acknowledged append stands at its place, and the log is sound and without gaps.
fn check(folder: &Path, acks: &[(String, u64)]) -> u64 {
    let mut database: Database = open_read_only(folder);
    let end = database.verify().expect("the log is sound").seq.get();
    let records = database.read(Seq::START, usize::MAX).expect("the log is sound").decode();
    assert_eq!(records.len() as u64, end);
    let ends: BTreeMap<String, u64> =
        records.iter().map(|record| (record.append.to_string(), record.seq.get())).collect();
    for (id, seq) in acks {
        assert_eq!(ends.get(id), Some(seq), "append {id}");
    }
    end
}

#[test]
fn several_processes_append_to_one_log_without_gap_or_loss() {
    let home = TempDir::new().expect("a folder can be made");
    let children: Vec<_> = (1..=3).map(|number| start(home.path(), &format!("append {number} 60"))).collect();
    let mut acks = Vec::new();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        acks.extend(String::from_utf8_lossy(&output.stdout).lines().filter_map(acknowledged));
    }
    assert_eq!(acks.len(), 180);
    assert_eq!(check(home.path(), &acks), 3 * 80);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_killed_process_loses_no_acknowledged_append(kill_after in 0_usize..40, other_rounds in 0_u64..60) {
        let home = TempDir::new().expect("a folder can be made");
        let mut killed = start(home.path(), "append 1 1000000");
        let other = start(home.path(), &format!("append 2 {other_rounds}"));
        let mut lines = BufReader::new(killed.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let mut acks: Vec<_> = lines.by_ref().filter_map(|line| acknowledged(&line)).take(kill_after).collect();
        killed.kill().expect("it can be killed");
        killed.wait().expect("it ends");
        // What it said before it died counts as well. Its last line may be cut.
        let rest: Vec<_> = lines.collect();
        acks.extend(rest.iter().take(rest.len().saturating_sub(1)).filter_map(|line| acknowledged(line)));
        let output = other.wait_with_output().expect("it ends");
        prop_assert!(output.status.success(), "{output:?}");
        acks.extend(String::from_utf8_lossy(&output.stdout).lines().filter_map(acknowledged));
        let mut database = open(home.path());
        let head = database.head().expect("the log is sound").seq;
        database.append(head, &batch(1, &[run(1, "train")])).expect("the log can be used");
        drop(database);
        check(home.path(), &acks);
    }
}

#[test]
fn files_are_private_even_without_a_umask() {
    let home = TempDir::new().expect("a folder can be made");
    let output = start(home.path(), "modes").wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(home.path().join("a/b/log.db").exists(), "the child checked nothing");
    Database::open(&home.path().join("a/b"), clock()).expect("the log opens");
}
