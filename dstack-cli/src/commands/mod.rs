//! What each command does, a file for each.

mod follow;
mod narrator;

mod artifacts;
mod autoscale;
#[cfg(feature = "aws")]
mod aws;
mod check;
mod controller;
mod events;
mod logs;
mod offering;
mod ps;
mod run;
mod runners;
mod secrets;
mod settings;
mod shrink;
mod stop;
mod submission;

pub(crate) use submission::some;

use crate::app::App;
use crate::cli::Command;
use crate::failure::{Failure, refused};

/// Does what the command says.
pub(crate) async fn run(app: &App, command: Command, variables: Vec<(String, String)>) -> Result<(), Failure> {
    match command {
        Command::Autoscale(command) => autoscale::run(app, command).await,
        Command::Run(args) => Box::pin(run::run(app, *args, variables)).await,
        Command::Ps(args) => ps::run(app, &args).await,
        Command::Logs(args) => logs::run(app, &args).await,
        Command::Stop(args) => stop::run(app, &args).await,
        Command::Runners(args) => runners::run(app, args).await,
        Command::Artifacts(args) => artifacts::run(app, args).await,
        Command::Events(args) => events::run(app, &args).await,
        Command::Secrets(command) => secrets::run(app, command),
        Command::Check(args) => check::run(app, &args).await,
        Command::Controller(args) => Box::pin(controller::run(app, &args)).await,
        #[cfg(feature = "aws")]
        Command::Aws(command) => Box::pin(aws::run(app, command)).await,
        #[cfg(not(feature = "aws"))]
        Command::Aws(_) => Err(refused(NO_AWS)),
        Command::Supervise { .. } => Err(refused("a runner is stood for before anything else is done")),
    }
}

/// Where this program was built without AWS.
#[cfg(not(feature = "aws"))]
pub(crate) const NO_AWS: &str =
    "this dstack was built without AWS: `cargo install --path dstack-cli` builds it with AWS";
