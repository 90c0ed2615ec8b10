//! The commands that look at runs, runners and the log, and those that end things.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `ps`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dstack ps
  dstack ps brave-otter-3
  dstack ps -a --json")]
pub(crate) struct PsArgs {
    /// Only this run
    #[arg(value_name = "RUN[/WORKFLOW]")]
    pub run: Option<String>,
    /// Also what is over
    #[arg(short, long)]
    pub all: bool,
    /// The newest N runs, over or not
    #[arg(short = 'n', long, value_name = "N", value_parser = runs)]
    pub last: Option<usize>,
    /// Show it again whenever it changes
    #[arg(short, long, conflicts_with = "json")]
    pub watch: bool,
    /// One JSON document instead of a table
    #[arg(long)]
    pub json: bool,
}

/// A count of runs.
fn runs(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a whole number from 1".to_owned())
}

/// `logs`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dstack logs brave-otter-3
  dstack logs brave-otter-3/train -f
  dstack logs brave-otter-3 --since 5m")]
pub(crate) struct LogsArgs {
    /// The run, or one of its workflows
    #[arg(value_name = "RUN[/WORKFLOW]")]
    pub run: String,
    /// Go on until it is over
    #[arg(short, long, visible_short_alias = 'a', alias = "attach")]
    pub follow: bool,
    /// Only what was printed since, to within 5 s: `5m`, or a time like 2026-05-01T12:00:00Z
    #[arg(short, long, value_name = "TIME")]
    pub since: Option<String>,
    /// The bytes that were printed, without prefixes; secrets stay masked
    #[arg(long)]
    pub raw: bool,
}

/// `stop`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dstack stop brave-otter-3
  dstack stop brave-otter-3/train --abort")]
pub(crate) struct StopArgs {
    /// The run, or one of its workflows
    #[arg(value_name = "RUN[/WORKFLOW]", required_unless_present_any = ["all", "refused"], conflicts_with = "all")]
    pub run: Option<String>,
    /// Take no artifacts
    #[arg(short = 'x', long)]
    pub abort: bool,
    /// All runs
    #[arg(long)]
    pub all: bool,
    /// Accepted, and changes nothing: nothing is asked
    #[arg(short, long, hide = true)]
    pub yes: bool,
    /// It meant two things in its time.
    #[arg(short = 'a', hide = true)]
    pub refused: bool,
}

/// `runners`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  dstack runners
  dstack runners stop 3q8z6k2v9d4tn"
)]
pub(crate) struct RunnersArgs {
    /// What to do instead of listing them.
    #[command(subcommand)]
    pub command: Option<RunnersCommand>,
    /// Also those that are gone
    #[arg(short, long)]
    pub all: bool,
    /// One JSON document instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `runners …`
#[derive(Debug, Subcommand)]
pub(crate) enum RunnersCommand {
    /// End one runner by hand; its workflows go back to the queue
    #[command(after_help = "\
Example:
  dstack runners stop 3q8z6k2v9d4tn")]
    Stop {
        /// The runner, or its machine
        #[arg(value_name = "RUNNER")]
        id: String,
    },
}

/// `artifacts`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  dstack artifacts list brave-otter-3
  dstack artifacts download brave-otter-3/train --output results"
)]
pub(crate) struct ArtifactsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: Option<ArtifactsCommand>,
    /// Without another word they are listed.
    #[command(flatten)]
    pub list: Option<ListArgs>,
}

/// `artifacts …`
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsCommand {
    /// List the files
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Lay the files into a folder
    #[command(visible_alias = "pull")]
    Download(DownloadArgs),
}

/// `artifacts list`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack artifacts list brave-otter-3 --total")]
pub(crate) struct ListArgs {
    /// The run, or one of its workflows
    #[arg(value_name = "RUN[/WORKFLOW]")]
    pub run: String,
    /// Sums instead of files
    #[arg(short, long)]
    pub total: bool,
    /// One JSON document instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `artifacts download`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack artifacts download brave-otter-3/train --output results")]
pub(crate) struct DownloadArgs {
    /// The run, or one of its workflows
    #[arg(value_name = "RUN[/WORKFLOW]")]
    pub run: String,
    /// The folder to lay them into; nothing is written outside of it
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Overwrite files that differ
    #[arg(long)]
    pub force: bool,
}

/// `events`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dstack events --follow
  dstack events --after 120 --json")]
pub(crate) struct EventsArgs {
    /// Go on for ever
    #[arg(short, long)]
    pub follow: bool,
    /// Only records after this one
    #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = place)]
    pub after: u64,
    /// JSON Lines: one record a line
    #[arg(long)]
    pub json: bool,
}

/// A place in the log.
fn place(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a record's number, as `dstack events` shows it".to_owned())
}

/// `secrets …`
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Keep a value: asked for on a terminal, else read from standard input
    #[command(
        alias = "add",
        after_help = "\
Example:
  printf %s \"$TOKEN\" | dstack secrets set API_TOKEN"
    )]
    Set {
        /// The variable in which workflows get it
        name: String,
        /// Never an argument: it would be seen in the list of processes.
        #[arg(hide = true)]
        refused: Option<String>,
    },
    /// List the names
    #[command(after_help = "\
Example:
  dstack secrets list")]
    List {
        /// One JSON document instead of a list
        #[arg(long)]
        json: bool,
    },
    /// Forget a value
    #[command(
        alias = "delete",
        after_help = "\
Example:
  dstack secrets remove API_TOKEN"
    )]
    Remove {
        /// Its name
        name: String,
    },
}

/// `check`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack check")]
pub(crate) struct CheckArgs {
    /// One JSON document instead of a line
    #[arg(long)]
    pub json: bool,
}

/// `controller`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack controller --until-idle")]
pub(crate) struct ControllerArgs {
    /// Leave when nothing is left to do
    #[arg(long)]
    pub until_idle: bool,
    /// Started by another command: leave the terminal, and write to controller.log.
    #[arg(long, hide = true)]
    pub background: bool,
    /// The process that a background controller leaves behind.
    #[arg(long, hide = true)]
    pub detached: bool,
}
