//! The top of the command line.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use super::{
    ArtifactsArgs, AutoscaleCommand, AwsCommand, CheckArgs, ControllerArgs, EventsArgs, LogsArgs, PsArgs, RunArgs,
    RunnersArgs, SecretsCommand, StopArgs,
};

const EXAMPLES: &str = "\
Examples:
  dstack run --local -- echo hello            run a command on this machine
  dstack autoscale allow local --max 2 --on-demand
  dstack run train                            run a workflow of .dstack/workflows.yaml
  dstack ps                                   what runs, and why the rest waits";

/// Runners on demand: allow instance types, run workflows; machines start and stop by themselves.
#[derive(Debug, Parser)]
#[command(name = "dstack", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Folder of the log, the output and everything else that is kept (default: ~/.dstack) [env: DSTACK_HOME]; a relative
    /// one is below the folder of `-C`
    // The variable is read elsewhere: an argument with a value from the environment would stand in each line of usage.
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Act as if started in this folder
    #[arg(short = 'C', global = true, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Tell on standard error which home is used and what is done; twice and thrice: more
    #[arg(short = 'v', global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say which machines may be started, and how many
    #[command(
        subcommand,
        after_help = "\
Example:
  dstack autoscale allow local --max 1 --on-demand"
    )]
    Autoscale(AutoscaleCommand),
    /// Run a workflow, or a command without a file
    Run(Box<RunArgs>),
    /// List runs and their workflows
    #[command(alias = "status")]
    Ps(PsArgs),
    /// Show what workflows printed
    Logs(LogsArgs),
    /// Stop a run or a workflow
    Stop(StopArgs),
    /// List runners, or stop one by hand
    Runners(RunnersArgs),
    /// List or download what workflows left behind
    Artifacts(ArtifactsArgs),
    /// Show the log of everything that happened
    Events(EventsArgs),
    /// Keep values that workflows get and nobody else sees
    #[command(
        subcommand,
        after_help = "\
Example:
  printf %s \"$TOKEN\" | dstack secrets set API_TOKEN"
    )]
    Secrets(SecretsCommand),
    /// Verify the log
    Check(CheckArgs),
    /// Run the loop that starts and stops runners, in the foreground
    Controller(ControllerArgs),
    /// Set up an AWS account
    #[command(
        subcommand,
        after_help = "\
Example:
  dstack aws configure"
    )]
    Aws(AwsCommand),
    /// Stand for a runner on this machine
    #[command(
        hide = true,
        after_help = "\
Example:
  dstack supervise FOLDER"
    )]
    Supervise {
        /// The runner's folder
        folder: PathBuf,
    },
}
