//! `dstack aws …`

use clap::{Args, Subcommand};

/// The AWS account.
#[derive(Debug, Subcommand)]
pub(crate) enum AwsCommand {
    /// Set the account up: keys, region, bucket
    #[command(alias = "config")]
    Configure(ConfigureArgs),
    /// Show region, bucket and identity
    Info(AwsInfoArgs),
    /// Forget the account
    #[command(after_help = "\
Example:
  dstack aws clear")]
    Clear,
    /// Print the least permissions that are needed, as JSON
    Policy(AwsPolicyArgs),
    /// Try each permission without changing anything
    Check(AwsCheckArgs),
}

/// `aws policy`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack aws policy --artifacts-s3-bucket results > policy.json")]
pub(crate) struct AwsPolicyArgs {
    /// With what keeping artifacts in this bucket needs; the configured one where none is named
    #[arg(long, value_name = "NAME")]
    pub artifacts_s3_bucket: Option<String>,
}

/// `aws info`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack aws info")]
pub(crate) struct AwsInfoArgs {
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

/// `aws check`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack aws check --region eu-west-1")]
pub(crate) struct AwsCheckArgs {
    /// The region to try; the configured one where none is named
    #[arg(long)]
    pub region: Option<String>,
    /// One JSON document instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `aws configure`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dstack aws configure --aws-region eu-west-1")]
pub(crate) struct ConfigureArgs {
    /// The key's id; the secret is prompted or read from standard input
    #[arg(long, value_name = "ID")]
    pub aws_access_key_id: Option<String>,
    /// The region of new rules
    #[arg(long, value_name = "REGION")]
    pub aws_region: Option<String>,
    /// Keep artifacts in this bucket
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "not given, given without a name, given with one")]
    pub artifacts_s3_bucket: Option<Option<String>>,
    /// Use this profile of the AWS configuration instead of storing keys
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Replace what is there without asking
    #[arg(short, long)]
    pub force: bool,
}
