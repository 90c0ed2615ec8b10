//! `dstack aws configure`: four answers, checked before they are kept.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use dstack_aws::{Access, Identity, Settings, Setup, TypedKey, masked};
use dstack_core::secret::Secret;

use super::refuse_while_runners_live;
use crate::app::App;
use crate::background;
use crate::cli::ConfigureArgs;
use crate::failure::{Failure, refused};
use crate::print;

/// Where the secret half may come from, besides prompt and pipe: it is never an argument.
const SECRET_VARIABLE: &str = "AWS_SECRET_ACCESS_KEY";

pub(super) async fn run(app: &App, args: ConfigureArgs) -> Result<(), Failure> {
    let setup = Setup::new(app.home.path());
    let before = setup.settings()?;
    if !args.force && !may_replace(before.as_ref())? {
        print::say("nothing was changed");
        return Ok(());
    }
    let default = default_region(before.as_ref(), args.profile.as_deref()).await;
    let answers = answers(args, default.as_deref())?;
    let (mut client, _) = app.read().await?;
    let verified = setup.verify(&answers.settings, answers.key.as_ref()).await;
    let identity = verified.map_err(|error| refused(format!("nothing was stored: {error}")))?;
    refuse_while_runners_live(client.state(), Some(&identity.account))?;
    app.home.create()?;
    setup.store(&answers.settings, answers.key.as_ref())?;
    told(&identity, &answers.settings);
    // What waited for an account goes on.
    let head = client.refresh().await?;
    background::ensure(&app.home, client.state(), head.now)?;
    Ok(())
}

fn told(identity: &Identity, settings: &Settings) {
    let key = masked(&identity.key_id);
    print::say(&format!("account {} as {} ({}, key {key})", identity.account, identity.arn, identity.source));
    let bucket = settings.bucket.as_deref().unwrap_or("none: artifacts are kept in the home");
    print::say(&format!("region {}, bucket {bucket}", settings.region));
    print::say("next: `dstack autoscale allow INSTANCE_TYPE --max 1 --spot`; `dstack aws check` tries each permission");
}

/// A person is asked before what is there is replaced; a program that pipes its answers has decided.
fn may_replace(before: Option<&Settings>) -> Result<bool, Failure> {
    let Some(before) = before.filter(|_| std::io::stdin().is_terminal()) else { return Ok(true) };
    let mut questions = Questions { is_terminal: true };
    let what = format!("An account is set up already (region {}). Replace it? [y/N]", before.region);
    Ok(matches!(questions.ask(&what, None)?.as_str(), "y" | "Y" | "yes"))
}

/// What was answered.
struct Answers {
    settings: Settings,
    key: Option<TypedKey>,
}

/// The region that an empty answer means: as before, else what the standard chain of AWS names. A profile that was not used
/// before brings its own.
async fn default_region(before: Option<&Settings>, profile: Option<&str>) -> Option<String> {
    let access = Access { profile: profile.map(str::to_owned), ..Access::default() };
    let is_new = profile.is_some() && before.is_none_or(|before| before.profile.as_deref() != profile);
    let known = before.map(|before| before.region.clone());
    match known {
        Some(known) if !is_new => Some(known),
        known => access.default_region().await.or(known),
    }
}

fn answers(args: ConfigureArgs, default: Option<&str>) -> Result<Answers, Failure> {
    let mut questions = Questions { is_terminal: std::io::stdin().is_terminal() };
    let key = match (&args.profile, args.aws_access_key_id) {
        (Some(_), None) => None,
        (Some(_), Some(_)) => {
            return Err(Failure::Usage(
                "either `--profile` or `--aws-access-key-id`: a profile has its own key".into(),
            ));
        }
        (None, given) => {
            let id = match given {
                Some(id) => id,
                None => questions.ask("AWS Access Key ID", None)?,
            };
            let secret = match std::env::var(SECRET_VARIABLE).ok().filter(|secret| !secret.is_empty()) {
                Some(secret) if !id.is_empty() && is_own(&id) => secret,
                Some(_) | None => questions.ask_hidden("AWS Secret Access Key")?,
            };
            typed(id, secret)?
        }
    };
    let region = match args.aws_region {
        Some(region) => region,
        None => questions.ask("Region name", default)?,
    };
    if region.is_empty() {
        return Err(refused("a region is needed, such as us-east-1: nothing was stored"));
    }
    let bucket = match args.artifacts_s3_bucket {
        Some(bucket) => bucket.unwrap_or_default(),
        None => questions.ask("Artifact S3 bucket[None]", None)?,
    };
    let bucket = Some(bucket).filter(|name| !name.is_empty() && name != "None");
    Ok(Answers { settings: Settings { region, bucket, profile: args.profile }, key })
}

/// Whether the environment's secret belongs to this key: without an id there it is the answer to this question.
fn is_own(id: &str) -> bool {
    std::env::var("AWS_ACCESS_KEY_ID").map_or(true, |own| own.is_empty() || own == id)
}

fn typed(id: String, secret: String) -> Result<Option<TypedKey>, Failure> {
    match (id.is_empty(), secret.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(TypedKey::new(id, Secret::new(secret)))),
        (true, false) => Err(refused("a secret without its key id: nothing was stored")),
        (false, true) => Err(refused("a key id without its secret: nothing was stored")),
    }
}

/// Asks on a terminal, and reads a line each from a pipe.
struct Questions {
    is_terminal: bool,
}

impl Questions {
    fn ask(&mut self, what: &str, default: Option<&str>) -> Result<String, Failure> {
        if self.is_terminal {
            let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            let mut err = std::io::stderr().lock();
            write!(err, "{what}{shown}: ").and_then(|()| err.flush())?;
        }
        let answer = self.line(what)?;
        Ok(if answer.is_empty() { default.unwrap_or_default().to_owned() } else { answer })
    }

    /// Not echoed.
    fn ask_hidden(&mut self, what: &str) -> Result<String, Failure> {
        if !self.is_terminal {
            return self.line(what);
        }
        Ok(rpassword::prompt_password(format!("{what}: "))?.trim().to_owned())
    }

    fn line(&mut self, what: &str) -> Result<String, Failure> {
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(refused(format!(
                "the answers ended before {what}: give four lines (key id, secret, region, bucket; an empty last line \
                 means no bucket); nothing was stored"
            )));
        }
        Ok(line.trim().to_owned())
    }
}
