//! `dstack aws clear`: forgets the account, and takes away what was made in it for this log.

use std::collections::BTreeSet;

use dstack_aws::{PROVIDER, Setup};

use super::refuse_while_runners_live;
use crate::account::ask;
use crate::app::App;
use crate::failure::{Failure, refused};
use crate::print;

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
        let ec2 = ask(&setup, &settings);
        let scopes = state.scopes();
        let ruled = scopes.iter().filter(|scope| scope.provider == PROVIDER).map(|scope| scope.region.clone());
        let regions: BTreeSet<String> = ruled.chain([settings.region.clone()]).collect();
        for region in regions {
            match ec2.delete_group(&region, log).await {
                Ok(true) => print::say(&format!("the security group of this log in {region} is deleted")),
                Ok(false) => {}
                Err(error) => print::warn(&format!(
                    "the security group of this log in {region} stays: {error}; it costs nothing, and its name begins \
                     with dstack"
                )),
            }
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
