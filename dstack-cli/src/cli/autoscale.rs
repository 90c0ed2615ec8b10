//! `dstack autoscale …`

use clap::{ArgGroup, Args, Subcommand};
use dstack_core::model::{Purchase, Span};
use dstack_core::project::sizes::parse_duration;

/// Rules and settings.
#[derive(Debug, Subcommand)]
pub(crate) enum AutoscaleCommand {
    /// Allow an instance type, or change how many of it may run
    Allow(AllowArgs),
    /// Take rules away; their runners are shut down at once
    Remove(RemoveArgs),
    /// Show rules and settings
    Info(InfoArgs),
    /// Let runners be started again
    #[command(after_help = "\
Example:
  dstack autoscale enable")]
    Enable,
    /// Shut all runners down at once; workflows stay queued
    #[command(after_help = "\
Example:
  dstack autoscale disable")]
    Disable(WaitArgs),
    /// Change settings
    Set(SetArgs),
}

/// Whether to wait for runners to be gone.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Return at once instead of waiting until the runners are gone
    #[arg(long)]
    pub no_wait: bool,
}

/// `autoscale allow`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("purchase").required(true).args(["spot", "on_demand"]))]
#[command(after_help = "\
Examples:
  dstack autoscale allow local --max 2 --on-demand
  dstack autoscale allow m5.xlarge --max 4 --spot")]
pub(crate) struct AllowArgs {
    /// The machine's type, as its provider calls it; `local` is this machine
    pub instance_type: String,
    /// The most runners of it at any one time: a whole number from 0
    #[arg(short, long, value_name = "MAX", allow_hyphen_values = true, value_parser = count)]
    pub max: u32,
    /// Keep so many alive even where nothing waits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min: u32,
    /// Buy spare capacity, which the cloud may take back
    #[arg(short, long)]
    pub spot: bool,
    /// Buy at the list price
    #[arg(short = 'd', long)]
    pub on_demand: bool,
    /// The provider's region
    #[arg(long)]
    pub region: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

impl AllowArgs {
    /// Which of the two was chosen.
    pub(crate) const fn purchase(&self) -> Purchase {
        if self.spot { Purchase::Spot } else { Purchase::OnDemand }
    }
}

/// `autoscale remove`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["instance_type", "all"]))]
#[command(after_help = "\
Examples:
  dstack autoscale remove local
  dstack autoscale remove --all")]
pub(crate) struct RemoveArgs {
    /// The machine's type
    pub instance_type: Option<String>,
    /// All types
    #[arg(short, long)]
    pub all: bool,
    /// Only spot
    #[arg(short, long)]
    pub spot: bool,
    /// Only on-demand
    #[arg(short = 'd', long, conflicts_with = "spot")]
    pub on_demand: bool,
    /// Only in this region
    #[arg(long)]
    pub region: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

impl RemoveArgs {
    /// Which purchase is meant; none means both.
    pub(crate) const fn purchase(&self) -> Option<Purchase> {
        match (self.spot, self.on_demand) {
            (true, _) => Some(Purchase::Spot),
            (false, true) => Some(Purchase::OnDemand),
            (false, false) => None,
        }
    }
}

/// `autoscale info`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack autoscale info")]
pub(crate) struct InfoArgs {
    /// One JSON document instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `autoscale set`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("setting").required(true).multiple(true).args(["idle_timeout", "boot_timeout", "image", "result_hold", "ssh_port", "ssh_user", "ssh_from"]))]
#[command(after_help = "\
Example:
  dstack autoscale set --idle-timeout 10m")]
pub(crate) struct SetArgs {
    /// Stop a runner that no waiting workflow can use after this long: `5m`; 0 = at once
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub idle_timeout: Option<Span>,
    /// Give a runner up that is not ready after this long: `15m`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub boot_timeout: Option<Span>,
    /// The machine image of launches; `default` = the provider's own choice
    #[arg(long, value_name = "ID")]
    pub image: Option<String>,
    /// How long a runner in a cloud keeps results that no controller fetches before it ends itself: `12h`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub result_hold: Option<Span>,
    /// Port of the runners' SSH server; `default` = what the image says, else 22
    #[arg(long, value_name = "N", value_parser = port)]
    pub ssh_port: Option<SshPort>,
    /// User to log in as; `default` = what the image says
    #[arg(long, value_name = "NAME")]
    pub ssh_user: Option<String>,
    /// Addresses that may reach the runners' SSH server: `203.0.113.7/32`; `default` = this machine's own
    #[arg(long, value_name = "CIDR")]
    pub ssh_from: Option<String>,
}

/// A port; none where the image's own is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SshPort(pub Option<u16>);

fn port(text: &str) -> Result<SshPort, String> {
    match text.parse() {
        _ if text == "default" => Ok(SshPort(None)),
        Ok(port) if port > 0 => Ok(SshPort(Some(port))),
        Ok(_) | Err(_) => Err("write a port from 1 to 65535, or `default`".to_owned()),
    }
}

/// A count of runners.
fn count(text: &str) -> Result<u32, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().map_err(|_| match is_number {
        true => format!("the most is {}", u32::MAX),
        false => "write a whole number from 0".to_owned(),
    })
}

/// A length of time, where a lone zero needs no unit.
pub(super) fn duration(text: &str) -> Result<Span, String> {
    if text == "0" {
        return Ok(Span::ZERO);
    }
    parse_duration(text).map_err(|error| error.to_string())
}
