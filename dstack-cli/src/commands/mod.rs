//! What each command does, a file for each.

mod follow;
mod narrator;

mod artifacts;
mod autoscale;
mod check;
mod controller;
mod events;
mod logs;
mod ps;
mod run;
mod runners;
mod secrets;
mod shrink;
mod stop;
mod submission;

use crate::app::App;
use crate::cli::{AwsCommand, Command};
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
        Command::Controller(args) => controller::run(app, &args).await,
        Command::Aws(command) => Err(aws(&command)),
        Command::Supervise { .. } => Err(refused("a runner is stood for before anything else is done")),
    }
}

fn aws(command: &AwsCommand) -> Failure {
    let word = match command {
        AwsCommand::Configure(_) => "configure",
        AwsCommand::Info => "info",
        AwsCommand::Clear => "clear",
        AwsCommand::Policy => "policy",
        AwsCommand::Check => "check",
    };
    refused(format!("`dstack aws {word}` is not built yet in this version: `dstack run --local` runs on this machine"))
}
