//! `dstack aws info`: what is set up, without secrets.

use dstack_aws::{Setup, masked};
use dstack_core::model::Span;
use serde_json::json;

use super::not_configured;
use crate::account::ask;
use crate::app::App;
use crate::cli::AwsInfoArgs;
use crate::failure::Failure;
use crate::print;

pub(super) async fn run(app: &App, args: &AwsInfoArgs) -> Result<(), Failure> {
    let setup = Setup::new(app.home.path());
    let settings = setup.settings()?.ok_or_else(not_configured)?;
    let ec2 = ask(&setup, &settings);
    let identity = ec2.account().await;
    let found = identity.as_ref().ok();
    let age = match found {
        Some(_) => ec2.catalogue_age(&settings.region).await.ok().flatten().map(|age| age.as_secs()),
        None => None,
    };
    let key = found.map(|identity| masked(&identity.key_id));
    if args.json {
        return print::json(&json!({
            "region": settings.region,
            "bucket": settings.bucket,
            "profile": settings.profile,
            "account": found.map(|identity| &identity.account),
            "identity": found.map(|identity| &identity.arn),
            "access_key_id": key,
            "source": found.map(|identity| &identity.source),
            "catalogue_age_seconds": age,
            "reason": identity.as_ref().err().map(ToString::to_string),
        }));
    }
    let mut text = format!("region    {}\n", settings.region);
    text += &format!("bucket    {}\n", settings.bucket.as_deref().unwrap_or("none: artifacts are kept in the home"));
    if let Some(profile) = &settings.profile {
        text += &format!("profile   {profile}\n");
    }
    match &identity {
        Ok(identity) => {
            text += &format!("account   {}\nidentity  {}\n", identity.account, identity.arn);
            text += &format!("key       {} ({})\n", masked(&identity.key_id), identity.source);
        }
        Err(error) => text += &format!("identity  not known: {error}\n"),
    }
    if let Some(age) = age {
        text += &format!("types     as asked for {} ago\n", Span::from_secs(age));
    }
    print::results(text.as_bytes())
}
