//! `dstack aws clear`: forgets the account, and takes away what was made in it for this log.

use std::collections::BTreeSet;

use dstack_aws::{Ec2, PROVIDER, Setup};
use dstack_core::model::{Content, Event, LogId, Scope, Seq};
use dstack_core::store::EventStore as _;

use super::refuse_while_runners_live;
use crate::account::ask;
use crate::app::App;
use crate::failure::{Failure, refused};
use crate::print;

/// Records of the log that are read at once.
const READ_LIMIT: usize = 1_000;

pub(super) async fn run(app: &App) -> Result<(), Failure> {
    let setup = Setup::new(app.home.path());
    let Some(settings) = setup.settings()? else {
        let had_key = setup.clear()?;
        print::say(if had_key { "the stored key is forgotten" } else { "no AWS account was set up" });
        return Ok(());
    };
    let (client, _) = app.read().await?;
    let state = client.state();
    refuse_while_runners_live(state, None)?;
    if let Some(log) = state.log() {
        let scopes = scopes_ever(app).await?;
        if !scopes.is_empty() {
            delete_groups(&ask(&setup, &settings), log, &scopes).await?;
        }
    }
    setup.clear()?;
    if state.rules().keys().any(|key| key.provider == PROVIDER) {
        print::warn("rules for AWS stay: `dstack autoscale remove --all` takes them away");
    }
    print::say("the account is forgotten: its key, region and bucket");
    match setup.settings()? {
        None => Ok(()),
        Some(_) => Err(refused("another process has set an account up meanwhile")),
    }
}

/// Where this log ever had a rule or wanted a runner: the state has forgotten what was removed.
async fn scopes_ever(app: &App) -> Result<BTreeSet<Scope>, Failure> {
    let mut scopes = BTreeSet::new();
    let Some(store) = app.home.store_for_reading()? else { return Ok(scopes) };
    let mut place = Seq::default();
    loop {
        let records = store.read(place, READ_LIMIT).await?;
        let Some(last) = records.last() else { return Ok(scopes) };
        place = last.seq;
        for record in &records {
            let scope = match &record.content {
                Content::Known(Event::RuleAllowed(event)) => &event.offering.scope,
                Content::Known(Event::RunnerWanted(event)) => &event.request.scope,
                Content::Known(_) | Content::Unknown(_) => continue,
            };
            if scope.provider == PROVIDER && !scopes.contains(scope) {
                scopes.insert(scope.clone());
            }
        }
    }
}

/// Deletes the log's security groups. While one of this account's may be there, the account must not be forgotten: nobody
/// could delete it any more.
async fn delete_groups(ec2: &Ec2, log: LogId, scopes: &BTreeSet<Scope>) -> Result<(), Failure> {
    let again = "nothing is forgotten: run `dstack aws clear` again";
    let identity = ec2.account().await.map_err(|error| {
        refused(format!("whether a security group of this log stays is not known: {error}; {again}"))
    })?;
    let mut stay = Vec::new();
    for Scope { account, region, .. } in scopes {
        if *account != identity.account {
            print::warn(&format!(
                "a security group \"dstack {log}\" may be left in {region} of account {account}, which is not this one; it \
                 costs nothing"
            ));
            continue;
        }
        match ec2.delete_group(region, log).await {
            Ok(true) => print::say(&format!("the security group of this log in {region} is deleted")),
            Ok(false) => {}
            Err(error) => stay.push(format!("{region}: {error}")),
        }
    }
    if stay.is_empty() {
        return Ok(());
    }
    Err(refused(format!("the security group of this log stays in {}; {again}", stay.join(", in "))))
}
