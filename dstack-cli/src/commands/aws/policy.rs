//! `dstack aws policy`: the least permissions, made of the calls that are really made.

use dstack_aws::Setup;

use crate::app::App;
use crate::cli::AwsPolicyArgs;
use crate::failure::Failure;
use crate::print;

pub(super) fn run(app: &App, args: &AwsPolicyArgs) -> Result<(), Failure> {
    let bucket = match &args.artifacts_s3_bucket {
        Some(bucket) => Some(bucket.clone()),
        None => Setup::new(app.home.path()).settings()?.and_then(|settings| settings.bucket),
    };
    let mut text = dstack_aws::policy(bucket.as_deref());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print::results(text.as_bytes())
}
