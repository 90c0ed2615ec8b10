//! Every dstack process killed at random moments: nothing starts twice, nothing is lost from the log, everything ends.
//!
//! `DSTACK_KILLS=200 cargo test -p dstack-cli --test it killed_again_and_again -- --nocapture` is the long form.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bench::Bench;

/// Kills where DSTACK_KILLS does not say otherwise.
const KILLS: u64 = 15;
const MAX: usize = 3;
const WORKFLOWS: usize = 50;

/// A small generator of numbers that look random; the same seed gives the same kills.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Processes of the program that work for this home, by what they were started with.
pub(crate) fn processes(home: &Path) -> Vec<(u32, String)> {
    let home = home.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("there is a list of processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let mut line = Vec::new();
        let read = std::fs::File::open(entry.path().join("cmdline")).and_then(|mut file| file.read_to_end(&mut line));
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_ours =
            line.contains(&home) && line.split(' ').next().is_some_and(|program| program.ends_with("/dstack"));
        if read.is_ok() && is_ours {
            found.push((pid, line));
        }
    }
    found
}

/// Runners whose supervisor lives. A launch that is sent again may start a second process for the same runner, which ends
/// as soon as it finds the place taken.
fn supervised(home: &Path) -> BTreeSet<String> {
    processes(home).into_iter().map(|(_, line)| line).filter(|line| line.contains(" supervise ")).collect()
}

fn start_controller(bench: &Bench) -> Child {
    let home = bench.home().display().to_string();
    let mut command = bench.command(&["--home", &home, "controller", "--until-idle"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program can be started")
}

fn head(bench: &Bench) -> u64 {
    bench.json(&["check", "--json"])["records"].as_u64().expect("a number of records")
}

/// Every so many lives one lasts until it has done something.
const LONG_LIVES: u64 = 8;
/// Bound of such a life.
const LONGEST_MOMENTS: u64 = 800;

#[test]
fn killed_again_and_again_it_starts_nothing_twice_and_everything_ends() {
    let kills = std::env::var("DSTACK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let bench = Bench::new("workflows: []");
    let starts = bench.path("starts");
    let workflows: Vec<String> = (0..WORKFLOWS)
        .map(|number| {
            let start = format!("echo \"$DSTACK_RUN/$DSTACK_WORKFLOW#$DSTACK_ATTEMPT\" >> '{}'", starts.display());
            format!("  - name: w{number}\n    commands: [{}, 'sleep 0.05']\n", yaml_text(&start))
        })
        .collect();
    let names: Vec<String> = (0..WORKFLOWS).map(|number| format!("w{number}")).collect();
    let all = format!("  - name: all\n    depends-on: [{}]\n    commands: ['true']\n", names.join(", "));
    bench.write(".dstack/workflows.yaml", &format!("workflows:\n{}{all}", workflows.concat()));
    bench.ok(&["autoscale", "allow", "local", "-d", "-m", &MAX.to_string()]);

    let mut draw = Draw(7);
    let mut most = 0;
    let mut runs = 0;
    for kill in 0..kills {
        // A new run where the last one is over: there is always something to interrupt.
        if bench.json(&["ps", "--json"])["workflows"].as_array().expect("a list").is_empty() {
            runs += 1;
            bench.detach(&["all", "--name", &format!("run-{runs}")]);
        }
        let before = head(&bench);
        let mut controller = start_controller(&bench);
        // Most lives are too short to wait for the claim of one that was killed; some are not, so that work goes on.
        let is_long = kill % LONG_LIVES == LONG_LIVES - 1;
        let moments = if is_long { LONGEST_MOMENTS } else { draw.below(12) };
        for moment in 0..=moments {
            if is_long && moment % 20 == 0 && head(&bench) > before + 10 {
                break;
            }
            std::thread::sleep(Duration::from_millis(draw.below(25)));
            let alive = supervised(&bench.home());
            assert!(alive.len() <= MAX, "{MAX} runners are allowed at once, these lived: {alive:#?}");
            most = most.max(alive.len());
        }
        // The controller always, the supervisors every other time.
        for (pid, line) in processes(&bench.home()) {
            if kill % 2 == 0 || !line.contains(" supervise ") {
                // It may have ended by itself meanwhile.
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
            }
        }
        controller.wait().expect("it has ended");
        let after = head(&bench);
        assert!(after >= before, "kill {kill}: records are lost");
    }
    let ended = bench.dstack(&["controller", "--until-idle"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(supervised(&bench.home()).is_empty(), "runners are left");

    let text = std::fs::read_to_string(&starts).expect("something was started");
    let lines: Vec<&str> = text.lines().collect();
    let distinct: BTreeSet<_> = lines.iter().collect();
    assert_eq!(lines.len(), distinct.len(), "a command was started twice for one attempt");
    assert!(bench.ok(&["check"]).starts_with("ok: "));
    let rows = bench.json(&["ps", "-a", "--json"]);
    let rows = rows["workflows"].as_array().expect("a list");
    let is_over = |row: &serde_json::Value| {
        ["succeeded", "failed", "stopped", "skipped", "lost"].contains(&row["phase"].as_str().unwrap_or_default())
    };
    assert!(rows.len() > WORKFLOWS && rows.iter().all(is_over), "everything ends");
    println!("{kills} kills, {runs} runs, {} attempts started, at most {most} runners at once", lines.len());
}

/// The text as a YAML scalar.
fn yaml_text(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
