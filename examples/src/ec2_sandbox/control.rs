//! What is asked of the sandbox itself, under `/sandbox/`. No faults, no limits, no keys.

use std::time::Duration;

use dstack_core::model::{MachineId, Purchase};
use hyper::Method;

use super::hosts;
use super::query::Query;
use super::reply::Reply;
use super::server::Asked;
use super::state::Shared;

pub(super) fn answer(shared: &Shared, asked: &Asked) -> Reply {
    let is_post = asked.method == Method::POST;
    let answer = match asked.path.as_str() {
        "/sandbox/state" if !is_post => return json(200, &shared.state()),
        "/sandbox/interrupt" if is_post => interrupt(shared, &Query::parse(&asked.query)),
        "/sandbox/rekey" if is_post => rekey(shared, &Query::parse(&asked.query)),
        "/sandbox/faults" if is_post => faults(shared, asked),
        other => Err((404, format!("there is no {} {other}", asked.method))),
    };
    match answer {
        Ok(()) => json(200, &serde_json::json!({ "done": true })),
        Err((status, words)) => json(status, &serde_json::json!({ "error": words })),
    }
}

fn json(status: u16, value: &impl serde::Serialize) -> Reply {
    let text = serde_json::to_string_pretty(value).expect("the values have text as their keys");
    Reply::new(status, "application/json", text + "\n")
}

fn interrupt(shared: &Shared, query: &Query) -> Result<(), (u16, String)> {
    let id = query.text("instance").ok_or_else(|| (400, "name the instance: ?instance=i-...&notice=120".to_owned()))?;
    let notice = match query.text("notice") {
        Some("none") => None,
        Some(_) | None => {
            let secs = query.number("notice").map_err(|failure| (400, failure.message))?.unwrap_or(120);
            Some(Duration::from_secs(secs))
        }
    };
    shared.interrupt(id, notice).map_err(|words| (404, words))
}

fn rekey(shared: &Shared, query: &Query) -> Result<(), (u16, String)> {
    let id = query.text("instance").ok_or_else(|| (400, "name the instance: ?instance=i-...".to_owned()))?;
    shared.rekey(id).map_err(|words| (404, words))
}

/// The body, or the query, is a list of faults as on the command line; what it does not name stays as it is.
fn faults(shared: &Shared, asked: &Asked) -> Result<(), (u16, String)> {
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let text = if body.trim().is_empty() { super::query::decode(&asked.query, true) } else { body };
    let mut rates = shared.world().rates.clone();
    rates.change(text.trim()).map_err(|error| (400, error.to_string()))?;
    shared.set_rates(&rates);
    Ok(())
}

impl Shared {
    /// The machine at the instance's address is another one from now on: other host key, nothing running.
    pub(super) fn rekey(&self, id: &str) -> Result<(), String> {
        let is_known = self.world().accounts.values().any(|account| account.records.contains_key(id));
        if !is_known || !hosts::ask(&self.folder.join(id), "rekey") {
            return Err(format!("there is no instance {id} that runs"));
        }
        Ok(())
    }

    /// Takes a Spot instance back that long after a notice, or without one.
    pub(super) fn interrupt(&self, id: &str, notice: Option<Duration>) -> Result<(), String> {
        let machine_id = MachineId(id.to_owned());
        let mut world = self.world();
        let account = world.accounts.values_mut().find(|account| account.records.contains_key(id));
        let account = account.ok_or_else(|| format!("there is no instance {id}"))?;
        let machine = account.cloud.machine(&machine_id).filter(|machine| machine.is_live());
        let machine = machine.ok_or_else(|| format!("instance {id} has ended"))?;
        if machine.purchase != Purchase::Spot {
            return Err(format!("instance {id} is not a spot instance"));
        }
        match (notice, account.records.get_mut(id)) {
            (Some(notice), Some(record)) => {
                let micros = i64::try_from(notice.as_micros()).unwrap_or(i64::MAX / 2);
                record.notice_micros = Some(self.now_micros() + micros);
                record.taken_back = Some(self.now().plus(notice));
            }
            (None, _) | (_, None) => account.cloud.interrupt_unannounced(&machine_id),
        }
        drop(world);
        self.wake.notify_one();
        Ok(())
    }
}
