//! The page's text.

use std::fmt::Write;

use serde_json::Value;

use super::Results;
use super::found::FOUND;

const NOT_RUN: &str = "\nNot run for this page.\n";

const ASSUMPTIONS: &str = "
## What is assumed

- **A1.** A launch takes effect within its claim's margin (operation timeout and 60 s more) after its sender last looked at its
  clock, or never. A process that stands still for longer exactly between that look and the send breaks it: then there may be as
  many machines too many as processes stood still, and they are found and ended.
- **A2.** SHA-256 has no collisions that anybody finds.
- **A3.** A disk that says it has synced has. A journal that is cut later is an earlier log, never another one.
- **A4.** A cloud does what the fake one does at its worst; EC2's replies are as its documents say.
- **A5.** No clock of two machines is compared; one clock's rate errs by less than 1 %.

## What is not claimed

No proof: what was searched to its end are small configurations of the claim protocol, the rest is sampled. No behaviour of real
EC2 is verified here. Linux on x86-64 only. Code coverage by mutation is measured by a command, not here.
";

/// The whole page.
pub(super) fn of(results: &Results) -> String {
    let mut page = String::from("# What the promises were tried with\n");
    let Results { date, commit, machine, .. } = results;
    put(&mut page, &format!("\nWritten by `--example results` on {date}, of commit `{commit}`, on {machine}.\n"));
    put(&mut page, ASSUMPTIONS);
    torture(&mut page, &results.torture);
    planted(&mut page, results.planted.as_ref());
    crash_points(&mut page, &results.crash_points);
    model(&mut page, results.model.as_ref());
    put(
        &mut page,
        "\n## Bugs found in this project\n\n| bug | what found it | the test that holds it |\n|---|---|---|\n",
    );
    for (bug, by, test) in FOUND {
        put(&mut page, &format!("| {bug} | {by} | `{test}` |\n"));
    }
    page
}

fn put(page: &mut String, text: &str) {
    page.push_str(text);
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn rows(value: &Value, name: &str) -> Vec<Value> {
    value[name].as_array().cloned().unwrap_or_default()
}

fn torture(page: &mut String, campaigns: &[Value]) {
    put(
        page,
        "\n## Simulated schedules\n\nReal controllers, virtual time, one thread: `--example torture -- --schedules N --seed S --json`.\n",
    );
    if campaigns.is_empty() {
        return put(page, NOT_RUN);
    }
    put(
        page,
        "\n| seed | schedules | steps | virtual years | hours | violations | never hit | digest |\n|---|---|---|---|---|---|---|---|\n",
    );
    for campaign in campaigns {
        let years = campaign["virtual_years"].as_f64().unwrap_or(0.0);
        let hours =
            campaign["seconds"].as_f64().map_or_else(|| "-".to_owned(), |seconds| format!("{:.2}", seconds / 3_600.0));
        let never = rows(campaign, "never_hit").len();
        let digest: String = text(campaign, "digest").chars().take(16).collect();
        let [seed, schedules, steps, violations] =
            ["seed", "schedules", "steps", "violations"].map(|name| number(campaign, name));
        put(
            page,
            &format!(
                "| {seed} | {schedules} | {steps} | {years:.2} | {hours} | {violations} | {never} | `{digest}` |\n"
            ),
        );
    }
    let largest = campaigns.iter().max_by_key(|campaign| number(campaign, "schedules"));
    let Some(largest) = largest else { return };
    put(page, "\nFaults of the largest, by kind, each with how often it came about:\n\n");
    let counts = |name: &str| largest[name].as_object().cloned().unwrap_or_default();
    let faults: Vec<_> = counts("faults").iter().map(|(name, count)| format!("{name} {count}")).collect();
    put(page, &format!("{}.\n", faults.join(", ")));
    put(page, "\nProperties, each with how often it had something to check:\n\n");
    let checks: Vec<_> = counts("properties").iter().map(|(name, count)| format!("{name} {count}")).collect();
    put(page, &format!("{}.\n", checks.join(", ")));
}

fn planted(page: &mut String, hunted: Option<&Value>) {
    put(
        page,
        "\n## Planted bugs\n\nThe checks, checked: `--example torture --features planted -- --planted all --json`.\n",
    );
    let Some(hunted) = hunted else { return put(page, NOT_RUN) };
    let bugs = rows(hunted, "planted");
    let found = bugs.iter().filter(|bug| bug["found"] == true).count();
    put(page, &format!("\n{found} of {} are found, each by a campaign of at most 3,000 schedules.\n", bugs.len()));
    put(page, "\n| bug | what is wrong | found by | schedules | seconds |\n|---|---|---|---|---|\n");
    for bug in &bugs {
        let by = if bug["found"] == true { text(bug, "by") } else { "**not found**" };
        let seconds = bug["seconds"].as_f64().unwrap_or(0.0);
        let (name, about, schedules) = (text(bug, "name"), text(bug, "about"), number(bug, "schedules"));
        put(page, &format!("| {name} | {about} | {by} | {schedules} | {seconds:.1} |\n"));
    }
}

fn crash_points(page: &mut String, runs: &[Value]) {
    put(
        page,
        "\n## Faults at every boundary of reference scenarios\n\n`--example crash_points -- --json`; `--pairs` for two in one life.\n",
    );
    if runs.is_empty() {
        return put(page, NOT_RUN);
    }
    put(page, "\n| stories | boundaries | faults | lives | wrong |\n|---|---|---|---|---|\n");
    for run in runs {
        let (stories, boundaries) = (number(run, "stories"), number(run, "boundaries"));
        let wrong = rows(run, "wrong").len();
        for (faults, lives) in run["lives"].as_object().cloned().unwrap_or_default() {
            put(page, &format!("| {stories} | {boundaries} | {faults} | {lives} | {wrong} |\n"));
        }
    }
}

fn model(page: &mut String, checked: Option<&Value>) {
    put(
        page,
        "\n## The claim protocol, searched\n\nThe shipping functions under stateright: `--example model_check -- --json`.\n",
    );
    let Some(checked) = checked else { return put(page, NOT_RUN) };
    put(page, "\n| configuration | states | to the end | law broken | must break |\n|---|---|---|---|---|\n");
    let mut exhausted = 0;
    for found in rows(checked, "configurations") {
        let states = number(&found, "states");
        exhausted += if found["exhausted"] == true { states } else { 0 };
        let law = found["violation"]["law"].as_str().unwrap_or("none");
        let (name, is_done, must) = (text(&found, "name"), &found["exhausted"], &found["must_fail"]);
        put(page, &format!("| {name} | {states} | {is_done} | {law} | {must} |\n"));
    }
    let _infallible = write!(page, "\n{exhausted} states in configurations that were searched to their end.\n");
}
