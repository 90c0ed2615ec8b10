//! `dstack ps`: runs and their workflows.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use dstack_core::Client;
use dstack_core::model::state::Run;
use dstack_core::model::{At, RunId, Seq};
use serde_json::json;

use crate::app::App;
use crate::background::{self, Driver};
use crate::cli::PsArgs;
use crate::failure::{DETACHED, Failure};
use crate::interrupt::interrupts;
use crate::presence::Presence;
use crate::print;
use crate::target::Target;
use crate::view::{Overview, Row, ago, table};

/// How often ages are shown anew.
const REDRAW_EVERY: Duration = Duration::from_secs(1);
/// Runs that `-a` shows, and those that are not over.
const MOST_RUNS: usize = 1_000;

pub(crate) async fn run(app: &App, args: &PsArgs) -> Result<(), Failure> {
    let mut interrupts = interrupts()?;
    let (mut client, mut now) = app.read().await?;
    if args.json {
        let rows = rows(&client, now, args).await?;
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        return print::json(&json!({ "workflows": rows }));
    }
    if !args.watch {
        print::results(page(app, &client, now, args).await?.as_bytes())?;
        if let Some(line) = background::obstacle(&app.home, client.state(), now).await {
            print::say(&line);
        }
        return Ok(());
    }
    let presence = Presence::of(&app.home);
    let mut driver = Driver::default();
    let mut screen = Screen::new(app.terminal.can_draw);
    loop {
        presence.check()?;
        driver.ensure(app, client.state(), now, print::say)?;
        screen.show(client.state().seq(), &page(app, &client, now, args).await?)?;
        let seq = client.state().seq();
        tokio::select! {
            biased;
            _ = interrupts.recv() => return Err(Failure::Code(DETACHED)),
            // A log that does not grow wakes nobody, but ages do.
            () = client.store().wait(seq) => {}
            () = tokio::time::sleep(REDRAW_EVERY) => {}
        }
        now = client.refresh().await?.now;
    }
}

/// The way out of a page that is shown again and again.
const WAY_OUT: &str = "Ctrl-C leaves; the work goes on";

/// Where pages follow each other: a terminal shows the newest alone, everything else gets one for each change.
struct Screen {
    can_draw: bool,
    /// The place in the log of the last page.
    shown: Option<Seq>,
}

impl Screen {
    const fn new(can_draw: bool) -> Self {
        Self { can_draw, shown: None }
    }

    fn show(&mut self, seq: Seq, page: &str) -> Result<(), Failure> {
        let before = self.shown.replace(seq);
        if self.can_draw {
            return print::results(format!("\u{1b}[H\u{1b}[2J{page}{WAY_OUT}\n").as_bytes());
        }
        match before {
            Some(before) if before == seq => Ok(()),
            Some(_) => print::results(format!("\n{page}").as_bytes()),
            None => {
                print::say(WAY_OUT);
                print::results(page.as_bytes())
            }
        }
    }
}

async fn page(app: &App, client: &Client, now: At, args: &PsArgs) -> Result<String, Failure> {
    let mut shown = rows(client, now, args).await?;
    let mut note = "";
    let is_narrowed = args.all || args.run.is_some() || args.last.is_some();
    if shown.is_empty() && !is_narrowed {
        let newest = PsArgs { last: Some(1), run: None, all: false, watch: false, json: false };
        shown = rows(client, now, &newest).await?;
        note = "nothing is waiting or running; this was the last run\n";
    }
    if shown.is_empty() {
        return Ok("no runs yet: `dstack run --local -- echo hello` makes one\n".to_owned());
    }
    let heads = ["RUN", "WORKFLOW", "PHASE", "ATTEMPT", "RUNNER", "SINCE", "REASON"];
    let mut text = note.to_owned();
    text += &table(&heads, shown.iter().map(|row| cells(row, now)), app.terminal.columns());
    if !client.state().is_enabled() {
        let _ = writeln!(text, "autoscaling is disabled: `dstack autoscale enable` lets workflows start");
    }
    Ok(text)
}

fn cells(row: &Row, now: At) -> Vec<String> {
    let phase = match (row.phase.as_str(), row.exit_code) {
        ("failed", Some(code)) => format!("failed ({code})"),
        (phase, _) => phase.to_owned(),
    };
    let reason = row.reason_words();
    vec![
        row.run.clone(),
        row.workflow.clone(),
        phase,
        if row.attempt == 0 { "-".to_owned() } else { row.attempt.to_string() },
        row.runner.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        ago(row.at, now),
        reason,
    ]
}

/// The rows that are asked for: in the order of submission.
async fn rows(client: &Client, now: At, args: &PsArgs) -> Result<Vec<Row>, Failure> {
    let state = client.state();
    let overview = Overview::new(state, now);
    if let Some(text) = &args.run {
        let target = Target::find(client, text).await?;
        let rows = overview.rows(target.id, &target.run);
        return Ok((0..).zip(rows).filter(|(index, _)| target.includes(*index)).map(|(_, row)| row).collect());
    }
    let newest = match args.last {
        Some(count) => client.newest_runs(count).await?,
        None if args.all => client.newest_runs(MOST_RUNS).await?,
        None => Vec::new(),
    };
    let mut runs: Vec<(RunId, &Run)> = newest.iter().map(|(id, run)| (*id, run)).collect();
    if args.last.is_none() {
        // Those that are not over are shown, however old they are.
        let shown: BTreeSet<RunId> = runs.iter().map(|(id, _)| *id).collect();
        runs.extend(state.open_runs().filter(|(id, _)| !shown.contains(id)));
    }
    runs.sort_by_key(|(_, run)| run.submitted);
    let rows = runs.into_iter().flat_map(|(id, run)| overview.rows(id, run));
    let is_wanted = |row: &Row| args.all || args.last.is_some() || !is_over(row);
    Ok(rows.filter(is_wanted).collect())
}

fn is_over(row: &Row) -> bool {
    use crate::view::PhaseName::{Failed, Lost, Running, Skipped, Starting, Stopped, Stopping, Succeeded, Waiting};
    match row.phase {
        Waiting | Starting | Running | Stopping => false,
        Succeeded | Failed | Stopped | Skipped | Lost => true,
    }
}
