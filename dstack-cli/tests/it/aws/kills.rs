//! The program killed again and again while jobs run on machines of a sandbox: they go on, and nothing of them is lost.
//!
//! `DSTACK_KILLS=200 cargo test -p dstack-cli --test it while_jobs_run -- --nocapture` is the long form.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::account::Account;
use crate::kills::Draw;

/// Kills where DSTACK_KILLS does not say otherwise.
const KILLS: u64 = 9;
/// Runners at once.
const MAX: usize = 2;
const WORKFLOWS: usize = 10;
/// Every so many lives one lasts until it has done something.
const LONG_LIVES: u64 = 6;
/// Bound of such a life.
const LONG_LIFE: Duration = Duration::from_secs(20);

/// What each workflow prints.
fn output(number: usize) -> String {
    let line = |step| format!("{number} {step} 0123456789abcdefghijklmnopqrstuvwxyz\n");
    (0..15).flat_map(|step| std::iter::repeat_n(line(step), 40)).collect()
}

fn exit_code(number: usize) -> u64 {
    [0, 3, 0, 77, 200][number % 5]
}

fn workflows(starts: &str) -> String {
    let workflow = |number: usize| {
        let code = exit_code(number);
        format!(
            "- name: w{number}
  commands:
  - 'echo \"$DSTACK_RUN/$DSTACK_WORKFLOW#$DSTACK_ATTEMPT\" >> {starts}'
  - 'i=0; while [ $i -lt 15 ]; do j=0; while [ $j -lt 40 ]; do echo \"{number} $i 0123456789abcdefghijklmnopqrstuvwxyz\"; j=$((j+1)); done; sleep 0.05; i=$((i+1)); done'
  - 'exit {code}'
"
        )
    };
    let names: Vec<String> = (0..WORKFLOWS).map(|number| format!("w{number}")).collect();
    let all = format!("- {{name: all, commands: ['true'], depends-on: [{}]}}\n", names.join(", "));
    format!("workflows:\n{}{all}", (0..WORKFLOWS).map(workflow).collect::<String>())
}

fn head(account: &Account) -> u64 {
    account.json(&["check", "--json"])["records"].as_u64().expect("a number of records")
}

/// Kills what works for this home: every third time its connections, else the program.
fn strike(account: &Account, kill: u64) {
    let home = format!("DSTACK_HOME={}", account.bench.home().display());
    let is_link_struck = kill % 3 == 2;
    for entry in std::fs::read_dir("/proc").expect("there is a list of processes").flatten() {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let is_of_home = read("environ").split(|byte| *byte == 0).any(|variable| variable == home.as_bytes());
        let program = String::from_utf8_lossy(&read("cmdline")).split('\0').next().unwrap_or_default().to_owned();
        let is_struck = if is_link_struck { program == "ssh" } else { program.ends_with("/dstack") };
        if is_of_home && is_struck {
            let pid = entry.file_name();
            // It may have ended by itself meanwhile.
            let _ = Command::new("kill").arg("-KILL").arg(pid).stderr(Stdio::null()).status();
        }
    }
}

fn start_controller(account: &Account) -> Child {
    let mut command = account.command(&["controller"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

#[test]
fn killed_while_jobs_run_it_starts_nothing_twice_and_loses_no_exit_code_and_no_byte() {
    let kills = std::env::var("DSTACK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let Some(account) = Account::new("workflows: []") else { return };
    let starts = account.bench.path("starts");
    account.bench.write(".dstack/workflows.yaml", &workflows(&starts.display().to_string()));
    account.ok(&["autoscale", "set", "--idle-timeout", "10m"]);
    account.ok(&["autoscale", "allow", "m5.xlarge", "-d", "-m", &MAX.to_string()]);

    let mut draw = Draw(11);
    let mut runs = Vec::new();
    let mut controller = start_controller(&account);
    for kill in 0..kills {
        // A new run where the last one is over: there is always something to interrupt.
        if account.json(&["ps", "--json"])["workflows"].as_array().expect("a list").is_empty() {
            runs.push(format!("run-{}", runs.len() + 1));
            account.ok(&["run", "all", "-d", "--name", runs.last().expect("one was added")]);
            account.bench.wait_for(|record| record["kind"] == "AttemptAssigned");
        }
        let before = head(&account);
        if kill % LONG_LIVES == LONG_LIVES - 1 {
            let end = std::time::Instant::now() + LONG_LIFE;
            while head(&account) < before + 4 && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
            }
        } else {
            std::thread::sleep(Duration::from_millis(draw.below(900)));
        }
        strike(&account, kill);
        if kill % 3 != 2 {
            controller.wait().expect("it has ended");
            controller = start_controller(&account);
        }
        assert!(head(&account) >= before, "kill {kill}: records are lost");
    }
    controller.kill().and_then(|()| controller.wait()).expect("it is ours");
    account.ok(&["autoscale", "set", "--idle-timeout", "0"]);
    let ended = account.dstack_for_long(&["controller", "--until-idle"]);
    assert_eq!(ended.code, 0, "{}", ended.err);

    let state = account.sandbox.state();
    assert_eq!(account.live(), 0, "machines are left");
    assert!(state.max_live["m5.xlarge/on-demand"] <= MAX, "{:?}", state.max_live);
    let text = std::fs::read_to_string(&starts).expect("something was started");
    let mut started: BTreeMap<&str, usize> = BTreeMap::new();
    text.lines().for_each(|line| *started.entry(line).or_default() += 1);
    let expected: BTreeMap<String, usize> =
        runs.iter().flat_map(|run| (0..WORKFLOWS).map(move |number| (format!("{run}/w{number}#1"), 1))).collect();
    let started: BTreeMap<String, usize> = started.into_iter().map(|(line, count)| (line.to_owned(), count)).collect();
    assert_eq!(started, expected, "each workflow was started once, and none had to start over");
    let rows = account.json(&["ps", "-a", "--json"]);
    let row = |run: &str, workflow: &str| -> Value {
        let rows = rows["workflows"].as_array().expect("a list");
        rows.iter().find(|row| row["run"] == run && row["workflow"] == workflow).cloned().expect("there is such a row")
    };
    for (run, number) in runs.iter().flat_map(|run| (0..WORKFLOWS).map(move |number| (run, number))) {
        let name = format!("w{number}");
        assert_eq!(row(run, &name)["exit_code"], exit_code(number), "{run}/{name}");
        let printed = account.ok(&["logs", &format!("{run}/{name}"), "--raw"]);
        assert!(printed == output(number), "{run}/{name}: {} of {} bytes", printed.len(), output(number).len());
    }
    assert!(account.ok(&["check"]).starts_with("ok: "));
    println!("{kills} kills, {} runs, {} workflows, {} instances", runs.len(), started.len(), state.instances.len());
}
