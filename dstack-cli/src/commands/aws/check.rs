//! `dstack aws check`: each permission and look-up tried, without starting anything.

use dstack_aws::{CheckRow, Outcome, Setup};
use dstack_core::model::LogId;
use serde_json::{Value, json};

use super::not_configured;
use crate::account::ask;
use crate::app::App;
use crate::cli::AwsCheckArgs;
use crate::failure::Failure;
use crate::print;
use crate::view::table;

pub(super) async fn run(app: &App, args: &AwsCheckArgs) -> Result<(), Failure> {
    let setup = Setup::new(app.home.path());
    let settings = setup.settings()?.ok_or_else(not_configured)?;
    let (client, _) = app.read().await?;
    let state = client.state();
    let log = state.log().unwrap_or(LogId::from_bytes([0; 16]));
    let ec2 = ask(&setup, &settings);
    let region = args.region.as_ref().unwrap_or(&settings.region);
    let ssh_from = state.settings().launch.ssh_from.as_deref();
    let rows = ec2.check(region, log, ssh_from, settings.bucket.as_deref()).await;
    let has_failed = rows.iter().any(|row| matches!(row.outcome, Outcome::Failed { .. }));
    if args.json {
        let rows: Vec<Value> = rows.iter().map(document).collect();
        print::json(&json!({ "ok": !has_failed, "checks": rows }))?;
    } else {
        let heads = ["CHECK", "RESULT", "FOUND", "WHAT TO DO"];
        print::results(table(&heads, rows.iter().map(cells), app.terminal.columns()).as_bytes())?;
    }
    if has_failed { Err(Failure::Code(1)) } else { Ok(()) }
}

const fn result(row: &CheckRow) -> (&'static str, Option<&String>) {
    match &row.outcome {
        Outcome::Passed => ("pass", None),
        Outcome::Failed { fix } => ("fail", Some(fix)),
        Outcome::Undecided { why } => ("not known", Some(why)),
    }
}

fn document(row: &CheckRow) -> Value {
    let (result, fix) = result(row);
    json!({ "check": row.subject, "result": result, "found": row.words, "fix": fix })
}

fn cells(row: &CheckRow) -> Vec<String> {
    let (result, fix) = result(row);
    vec![row.subject.clone(), result.to_owned(), row.words.clone(), fix.cloned().unwrap_or_default()]
}
