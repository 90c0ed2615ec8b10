//! The words of the command line, and nothing of what they do.

mod autoscale;
mod aws;
mod listing;
mod others;
mod root;
mod run;
mod variables;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;

pub(crate) use autoscale::{AllowArgs, AutoscaleCommand, InfoArgs, RemoveArgs, SetArgs, SshPort, WaitArgs};
pub(crate) use aws::AwsCommand;
#[cfg(feature = "aws")]
pub(crate) use aws::{AwsCheckArgs, AwsInfoArgs, AwsPolicyArgs, ConfigureArgs};
pub(crate) use listing::nothing_to_run;
pub(crate) use others::{
    ArtifactsArgs, ArtifactsCommand, CheckArgs, ControllerArgs, DownloadArgs, EventsArgs, ListArgs, LogsArgs, PsArgs,
    RunnersArgs, RunnersCommand, SecretsCommand, StopArgs,
};
pub(crate) use root::{Cli, Command};
pub(crate) use run::{RunArgs, RunResources};
pub(crate) use variables::{ParseError, Parsed, parse};
