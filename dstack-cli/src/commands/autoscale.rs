//! `dstack autoscale …`: rules and settings.

use dstack_core::model::event::RunnerStopping;
use dstack_core::model::state::{Rule, RunnerPhase, Unavailable};
use dstack_core::model::{Command, Event, Record, Rejection, RuleFilter, RuleKey, RunnerId, Scope, State};
use dstack_core::{Client, ClientError};
use serde_json::{Value, json};

use super::{offering, settings, shrink};
use crate::app::App;
use crate::background;
use crate::cli::{AllowArgs, AutoscaleCommand, InfoArgs, RemoveArgs, WaitArgs};
use crate::failure::{Failure, refused};
use crate::print;
use crate::view::{clean, table};

pub(crate) async fn run(app: &App, command: AutoscaleCommand) -> Result<(), Failure> {
    match command {
        AutoscaleCommand::Allow(args) => allow(app, &args).await,
        AutoscaleCommand::Remove(args) => remove(app, &args).await,
        AutoscaleCommand::Info(args) => info(app, &args).await,
        AutoscaleCommand::Enable => enable(app).await,
        AutoscaleCommand::Disable(args) => disable(app, &args).await,
        AutoscaleCommand::Set(args) => settings::set(app, args).await,
    }
}

async fn allow(app: &App, args: &AllowArgs) -> Result<(), Failure> {
    if args.min > args.max {
        let line = format!("`--min {}` is more than `--max {}`: raise one or lower the other", args.min, args.max);
        return Err(refused(line));
    }
    let offering = offering::named(app, &args.instance_type, args.purchase(), args.region.as_deref()).await?;
    let key = offering.rule_key();
    let (mut client, _) = app.write().await?;
    let records = client.command(Command::Allow { offering: Box::new(offering), max: args.max, min: args.min }).await?;
    let kept = if args.min > 0 { format!(", {} kept alive", args.min) } else { String::new() };
    print::say(&format!("allowed: {key}, at most {} at a time{kept}", args.max));
    if !client.state().is_enabled() {
        print::say("autoscaling is disabled: `dstack autoscale enable` lets runners start");
    }
    let max = args.max;
    settle(app, &mut client, &args.wait, &records, |state| {
        if state.live_count(&key) > max { stopping(state.live_of(&key)) } else { Vec::new() }
    })
    .await
}

async fn remove(app: &App, args: &RemoveArgs) -> Result<(), Failure> {
    let filter = RuleFilter {
        instance_type: args.instance_type.clone(),
        region: args.region.clone(),
        purchase: args.purchase(),
    };
    let (mut client, _) = app.write().await?;
    let what = filter_words(args);
    let records = match client.command(Command::Remove(filter)).await {
        Err(ClientError::Rejected(Rejection::NoSuchRule { known: Some(known) })) => {
            return Err(refused(format!("there is no rule for {what}: allowed are {known}")));
        }
        Err(ClientError::Rejected(Rejection::NoSuchRule { known: None })) => {
            let line = format!("there is no rule for {what}, nor any other: nothing is allowed, so nothing starts");
            return Err(refused(line));
        }
        records => records?,
    };
    let mut removed = Vec::new();
    for record in &records {
        if let Some(Event::RuleRemoved(event)) = record.event() {
            print::say(&format!("removed: {}", event.rule));
            removed.push(event.rule.clone());
        }
    }
    if removed.is_empty() {
        print::say("there was no rule to remove");
    }
    settle(app, &mut client, &args.wait, &records, |state| {
        removed.iter().flat_map(|rule| stopping(state.live_of(rule))).collect()
    })
    .await
}

/// Which rules are meant, in the words of the command line.
fn filter_words(args: &RemoveArgs) -> String {
    let purchase = args.purchase().map(|purchase| format!(" as {purchase}"));
    let region = args.region.as_ref().map(|region| format!(" in {region}"));
    let name = args.instance_type.as_deref().unwrap_or("any type");
    format!("{name}{}{}", purchase.unwrap_or_default(), region.unwrap_or_default())
}

async fn enable(app: &App) -> Result<(), Failure> {
    let (mut client, _) = app.write().await?;
    let records = client.command(Command::Enable).await?;
    print::say(if records.is_empty() { "autoscaling was enabled already" } else { "autoscaling is enabled" });
    let head = client.refresh().await?;
    background::ensure(&app.home, client.state(), head.now)?;
    Ok(())
}

async fn disable(app: &App, args: &WaitArgs) -> Result<(), Failure> {
    let (mut client, _) = app.write().await?;
    let records = client.command(Command::Disable).await?;
    print::say(if records.is_empty() {
        "autoscaling was disabled already"
    } else {
        "autoscaling is disabled: workflows stay queued until `dstack autoscale enable`"
    });
    settle(app, &mut client, args, &records, |state| stopping(state.live_runners())).await
}

fn stopping<'a>(live: impl Iterator<Item = (RunnerId, &'a dstack_core::model::state::Runner)>) -> Vec<RunnerId> {
    live.filter(|(_, runner)| runner.phase == RunnerPhase::Stopping).map(|(id, _)| id).collect()
}

/// Lets a controller carry it out, and waits until it is done.
async fn settle(
    app: &App,
    client: &mut Client,
    args: &WaitArgs,
    records: &[Record],
    remaining: impl Fn(&State) -> Vec<RunnerId>,
) -> Result<(), Failure> {
    let head = client.refresh().await?;
    background::ensure(&app.home, client.state(), head.now)?;
    if args.no_wait {
        let count = records.iter().filter(|record| matches!(record.event(), Some(Event::RunnerStopping(_)))).count();
        if count > 0 {
            print::say(&format!("runners that shut down: {count}; `dstack runners` shows them"));
        }
        return Ok(());
    }
    // What this command shut down, and what was on its way out before.
    let own: Vec<RunnerId> = records
        .iter()
        .filter_map(|record| match record.event() {
            Some(Event::RunnerStopping(RunnerStopping { runner, .. })) => Some(*runner),
            _ => None,
        })
        .collect();
    shrink::wait(app, client, |state| {
        let mut left = shrink::alive(state, own.iter().copied());
        left.extend(remaining(state));
        left.sort();
        left.dedup();
        left
    })
    .await
}

async fn info(app: &App, args: &InfoArgs) -> Result<(), Failure> {
    let (client, now) = app.read().await?;
    let state = client.state();
    // A refusal whose pause is over says nothing of the credentials as they are now.
    let refused = || state.credentials().iter().filter(|(_, refused)| refused.holds(now));
    if args.json {
        let rules: Vec<Value> = state.rules().iter().map(|(key, rule)| rule_json(state, key, rule)).collect();
        return print::json(&json!({
            "enabled": state.is_enabled(),
            "rules": rules,
            "refused_credentials": refused().map(refusal_json).collect::<Vec<_>>(),
            "settings": settings::document(state.settings()),
        }));
    }
    let mut text = format!("autoscaling is {}\n", if state.is_enabled() { "enabled" } else { "disabled" });
    if state.rules().is_empty() {
        text += "no instance type is allowed: `dstack autoscale allow local --max 1 --on-demand` allows this machine\n";
    } else {
        let heads = [
            "PROVIDER",
            "INSTANCE TYPE",
            "PURCHASE TYPE",
            "MAXIMUM",
            "LIVE",
            "REGION",
            "CPU",
            "MEMORY",
            "GPU",
            "AN HOUR",
            "UNAVAILABLE UNTIL",
            "STATUS",
        ];
        let rows = state.rules().iter().map(|(key, rule)| rule_row(state, key, rule));
        text += &table(&heads, rows, app.terminal.columns());
        text += &price_line(state);
    }
    for (scope, refused) in refused() {
        let again = refused.until.map(|until| format!(", the next try is at {}", crate::view::local_time(until)));
        let again = again.unwrap_or_default();
        text += &clean(&format!("the credentials of {scope} are not accepted{again}: {}", refused.why));
        text.push('\n');
    }
    text += &settings::lines(state.settings());
    print::results(text.as_bytes())
}

/// From when prices are, where some are of a table.
#[cfg(feature = "aws")]
fn price_line(state: &State) -> String {
    let is_of_table =
        |key: &RuleKey| key.provider == dstack_aws::PROVIDER && key.purchase == dstack_core::model::Purchase::OnDemand;
    if !state.rules().keys().any(is_of_table) {
        return String::new();
    }
    format!("on-demand prices of AWS are its list prices of {}\n", dstack_aws::LIST_PRICES_OF)
}

#[cfg(not(feature = "aws"))]
fn price_line(_state: &State) -> String {
    String::new()
}

fn phases(state: &State, key: &RuleKey) -> [(&'static str, usize); 4] {
    let count = |wanted: RunnerPhase| state.live_of(key).filter(|(_, runner)| runner.phase == wanted).count();
    [
        ("wanted", count(RunnerPhase::Wanted)),
        ("launched", count(RunnerPhase::Launched)),
        ("ready", count(RunnerPhase::Ready)),
        ("stopping", count(RunnerPhase::Stopping)),
    ]
}

/// Why the rule starts nothing now, and until when.
fn obstacle(state: &State, rule: &Rule) -> Option<(String, Option<dstack_core::model::At>)> {
    if let Some(why) = &rule.blocked {
        return Some((why.clone(), None));
    }
    let now = state.at();
    if let Some(until) = rule.paused_until.filter(|until| now < *until) {
        return Some(("runners keep ending without work done".to_owned(), Some(until)));
    }
    let first = rule.unavailable.values().find(|known| known.holds(now))?;
    Some((first.why.clone(), first.until))
}

fn refusal_json((scope, refused): (&Scope, &Unavailable)) -> Value {
    json!({
        "provider": scope.provider,
        "account": scope.account,
        "region": scope.region,
        "until": refused.until.map(|at| at.to_string()),
        "reason": refused.why,
    })
}

/// A zone where there is none of the rule's machines now; no name stands for all zones.
fn zone_json((zone, known): (&String, &Unavailable)) -> Value {
    let zone = Some(zone).filter(|zone| !zone.is_empty());
    json!({ "zone": zone, "until": known.until.map(|at| at.to_string()), "reason": known.why })
}

fn rule_json(state: &State, key: &RuleKey, rule: &Rule) -> Value {
    let obstacle = obstacle(state, rule);
    let by_phase: serde_json::Map<String, Value> =
        phases(state, key).into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    json!({
        "provider": key.provider,
        "region": key.region,
        "instance_type": key.instance_type,
        "purchase": key.purchase.to_string(),
        "max": rule.max,
        "min": rule.min,
        "live": state.live_count(key),
        "live_by_phase": by_phase,
        "cpu_milli": rule.offering.cpu.0,
        "memory_bytes": rule.offering.memory.0,
        "price_micro_usd_hour": rule.price().map(|price| price.0),
        "unavailable": rule.unavailable.iter().filter(|(_, known)| known.holds(state.at())).map(zone_json).collect::<Vec<_>>(),
        "unavailable_until": obstacle.as_ref().and_then(|(_, until)| until.map(|at| at.to_string())),
        "reason": obstacle.map(|(why, _)| why),
        "blocked": rule.blocked,
    })
}

fn rule_row(state: &State, key: &RuleKey, rule: &Rule) -> Vec<String> {
    let offering = &rule.offering;
    let live = phases(state, key).into_iter().filter(|(_, count)| *count > 0);
    let live: Vec<_> = live.map(|(name, count)| format!("{count} {name}")).collect();
    let obstacle = obstacle(state, rule);
    let until = obstacle.as_ref().and_then(|(_, until)| until.map(crate::view::local_time));
    let status = obstacle.map(|(why, _)| why);
    let gpu = offering.gpus.as_ref().map(|gpus| format!("{}x{}", gpus.count, gpus.name));
    vec![
        key.provider.clone(),
        key.instance_type.clone(),
        key.purchase.to_string(),
        rule.max.to_string(),
        if live.is_empty() { "0".to_owned() } else { live.join(", ") },
        key.region.clone(),
        offering.cpu.to_string(),
        offering.memory.to_string(),
        gpu.unwrap_or_else(|| "-".to_owned()),
        rule.price().map_or_else(|| "unknown".to_owned(), |price| price.to_string()),
        until.unwrap_or_else(|| "-".to_owned()),
        status.unwrap_or_else(|| "ok".to_owned()),
    ]
}
