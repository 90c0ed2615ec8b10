//! `dstack check`: the whole log verified.

use dstack_core::model::{Seq, State};
use dstack_core::store::{EventStore as _, StoreError};
use serde_json::json;

use crate::app::App;
use crate::cli::CheckArgs;
use crate::failure::{Failure, refused};
use crate::print;

const READ_LIMIT: usize = 10_000;

/// What the check found.
struct Finding {
    records: u64,
    bad: Option<(Seq, String)>,
}

pub(crate) async fn run(app: &App, args: &CheckArgs) -> Result<(), Failure> {
    let Finding { records, bad } = match find(app).await.map_err(|failure| failure.of_home(app.home.path())) {
        Ok(finding) => finding,
        Err(failure) => {
            if args.json {
                print::json(&json!({ "records": 0, "ok": false, "bad_seq": null, "error": failure.line() }))?;
            }
            return Err(failure);
        }
    };
    if args.json {
        print::json(&json!({
            "records": records,
            "ok": bad.is_none(),
            "bad_seq": bad.as_ref().map(|(seq, _)| seq.get()),
        }))?;
    } else if bad.is_none() {
        print::line(&format!("ok: {records} records"))?;
    }
    match bad {
        Some((seq, why)) => Err(refused(format!("record {seq}: {why}"))),
        None => Ok(()),
    }
}

async fn find(app: &App) -> Result<Finding, Failure> {
    let Some(store) = app.home.store_for_reading()? else { return Ok(Finding { records: 0, bad: None }) };
    let records = match store.verify().await {
        Ok(head) => head.seq,
        Err(StoreError::Corrupt { seq, why }) => {
            let records = seq.get().saturating_sub(1);
            return Ok(Finding { records, bad: Some((seq, why)) });
        }
        Err(error) => return Err(error.into()),
    };
    let mut state = State::default();
    while state.seq() < records {
        let page = store.read(state.seq(), READ_LIMIT).await?;
        if page.is_empty() {
            break;
        }
        state.apply_all(&page);
    }
    Ok(Finding { records: records.get(), bad: doubt(&state) })
}

/// What does not fit in the fold, if anything does not.
fn doubt(state: &State) -> Option<(Seq, String)> {
    if let Some(fault) = state.faults().iter().next() {
        return Some((fault.seq, format!("{} does not fit what was before it: {}", fault.kind, fault.why)));
    }
    if let Some(why) = state.unreadable() {
        return Some((state.seq(), format!("written by a newer dstack, so it cannot be verified: {why}")));
    }
    if state.clone().rebuild_indexes() != *state {
        return Some((state.seq(), "the state's indexes are not what they are over".to_owned()));
    }
    for (key, rule) in state.rules() {
        let running =
            state.live_of(key).filter(|(_, runner)| runner.phase != dstack_core::model::state::RunnerPhase::Stopping);
        let running = running.count();
        if u32::try_from(running).unwrap_or(u32::MAX) > rule.max {
            return Some((state.seq(), format!("{running} runners of {key} are wanted, and {} are allowed", rule.max)));
        }
    }
    None
}
