//! `dstack aws …`: the account in which runners are started.

mod check;
mod clear;
mod configure;
mod info;
mod policy;

use dstack_aws::{PROVIDER, SetupError};
use dstack_core::model::State;

use crate::account::NOT_CONFIGURED;
use crate::app::App;
use crate::cli::AwsCommand;
use crate::failure::{Failure, refused};

pub(crate) async fn run(app: &App, command: AwsCommand) -> Result<(), Failure> {
    match command {
        AwsCommand::Configure(args) => configure::run(app, args).await,
        AwsCommand::Info(args) => info::run(app, &args).await,
        AwsCommand::Clear => clear::run(app).await,
        AwsCommand::Policy(args) => policy::run(app, &args),
        AwsCommand::Check(args) => check::run(app, &args).await,
    }
}

fn not_configured() -> Failure {
    refused(NOT_CONFIGURED)
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        refused(error.to_string())
    }
}

/// Runners that may live in an account, other than this one if it is named.
fn live_elsewhere(state: &State, account: Option<&str>) -> Option<(usize, String)> {
    let theirs: Vec<&str> = state
        .live_runners()
        .map(|(_, runner)| &runner.request.scope)
        .filter(|scope| scope.provider == PROVIDER && Some(scope.account.as_str()) != account)
        .map(|scope| scope.account.as_str())
        .collect();
    theirs.first().map(|first| (theirs.len(), (*first).to_owned()))
}

/// Refuses to let go of an account in which runners may live: nobody could end them any more.
fn refuse_while_runners_live(state: &State, account: Option<&str>) -> Result<(), Failure> {
    match live_elsewhere(state, account) {
        None => Ok(()),
        Some((count, of)) => {
            let plural = if count == 1 { "runner" } else { "runners" };
            Err(refused(format!(
                "{count} {plural} of account {of} may live: `dstack autoscale disable` shuts them down, then try again"
            )))
        }
    }
}
