//! `dstack run`

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  dstack run train --epochs 3          a workflow, with a value for a variable
  dstack run train --help              the variables of a workflow
  dstack run -d train                  submit and return; prints the run's name
  dstack run --local -- python train.py
  dstack run --cpu 2 --memory 4GB --gpu 1 -- python train.py

Ctrl-C leaves an attached run running; pressed twice, it stops the run.";

/// `run`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = "\
dstack run [OPTIONS] WORKFLOW [--VARIABLE VALUE]...
       dstack run [OPTIONS] [RESOURCES] -- CMD [ARG]...")]
pub(crate) struct RunArgs {
    /// A workflow of .dstack/workflows.yaml
    #[arg(value_name = "WORKFLOW", required_unless_present = "argv")]
    pub workflow: Option<String>,
    /// A command and its arguments, run without a file
    #[arg(last = true, value_name = "CMD", conflicts_with = "workflow")]
    pub argv: Vec<String>,
    /// A value for a variable; declared variables are also flags of their own
    #[arg(long = "var", value_name = "K=V", value_parser = pair)]
    pub variables: Vec<(String, String)>,
    /// Submit, print the run's name and return
    #[arg(short, long)]
    pub detach: bool,
    /// Accepted, and changes nothing: a run is followed unless it is detached
    #[arg(short, long, hide = true, conflicts_with = "detach")]
    pub follow: bool,
    /// Run on this machine
    #[arg(long)]
    pub local: bool,
    /// What to call the run
    #[arg(long)]
    pub name: Option<String>,
    /// Accept workflows that no allowed rule can start; they wait
    #[arg(long)]
    pub queue: bool,
    /// Show output as the bytes that were printed, without prefixes; secrets stay masked
    #[arg(long)]
    pub raw: bool,
    /// What the command needs.
    #[command(flatten)]
    pub resources: RunResources,
}

/// What a command needs: only with `-- CMD`.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Resources, with `-- CMD`")]
pub(crate) struct RunResources {
    /// At least so many processors
    #[arg(long)]
    pub cpu: Option<String>,
    /// At least so much memory: `4GB`
    #[arg(long)]
    pub memory: Option<String>,
    /// At least so many GPUs.
    #[arg(help = "At least so many GPUs, or NAME[:MEMORY][:COUNT]", long)]
    pub gpu: Option<String>,
    /// At least so much disk: `20GB`
    #[arg(long)]
    pub disk: Option<String>,
    /// Only `spot` or `on-demand` runners
    #[arg(long)]
    pub purchase: Option<String>,
    /// Only runners of this type
    #[arg(long, value_name = "TYPE")]
    pub instance_type: Option<String>,
    /// Keep this file or folder when the command ends
    #[arg(long = "artifact", value_name = "PATH")]
    pub artifacts: Vec<String>,
    /// Stop the command after this long: `2h`
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
}

impl RunResources {
    /// The first of them that was given.
    pub(crate) const fn given(&self) -> Option<&'static str> {
        match self {
            Self { cpu: Some(_), .. } => Some("--cpu"),
            Self { memory: Some(_), .. } => Some("--memory"),
            Self { gpu: Some(_), .. } => Some("--gpu"),
            Self { disk: Some(_), .. } => Some("--disk"),
            Self { purchase: Some(_), .. } => Some("--purchase"),
            Self { instance_type: Some(_), .. } => Some("--instance-type"),
            Self { timeout: Some(_), .. } => Some("--timeout"),
            Self { artifacts, .. } if !artifacts.is_empty() => Some("--artifact"),
            Self { .. } => None,
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}
