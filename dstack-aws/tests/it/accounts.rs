//! Whose the credentials are, and that nothing of them is ever shown.

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use aws_config::credential_process::CredentialProcessProvider;
use aws_sdk_ec2::config::SharedCredentialsProvider;
use dstack_aws::{Access, Ec2, Ec2Options, Settings, Setup, TypedKey, VerifyError, masked};
use dstack_core::cloud::{CloudError, CloudProvider, LaunchError};
use dstack_core::model::{MachineId, Purchase};
use dstack_core::secret::Secret;

use crate::wire::{Bench, KEY, LOG, SECRET, Wire, error, file, identity, request, run, scope, user_data};

const OTHER_KEY: &str = "AKIAI44QH8DHBEXAMPLE";

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

#[test]
fn the_account_is_asked_for_once_for_each_key() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(bench.run(bench.ec2.scope("us-east-1")), Ok(scope()));
    }
    assert_eq!(bench.wire.sent("GetCallerIdentity").len(), 1);
    let identity = bench.run(bench.ec2.account()).expect("it is known");
    assert_eq!((identity.account.as_str(), identity.key_id.as_str()), ("111122223333", KEY));
    assert_eq!(identity.source, "dstack aws configure");
}

#[test]
fn keys_of_another_account_change_the_scope_and_calls_about_the_old_one_are_refused() {
    let bench = Bench::new();
    assert_eq!(bench.run(bench.ec2.scope("us-east-1")), Ok(scope()));
    bench.keys.store(OTHER_KEY, &secret("other")).expect("it is a key");
    bench.wire.answer("GetCallerIdentity", 200, identity("999900001111"));
    let before = bench.wire.actions().len();
    let look = bench.run(bench.ec2.look(&scope(), LOG, &[]));
    assert!(matches!(look, Err(CloudError::Credentials(_))), "an empty look of another account: {look:?}");
    let launch = bench.run(bench.ec2.launch(&request(1, Purchase::Spot)));
    assert!(matches!(launch, Err(LaunchError::Credentials(_))), "{launch:?}");
    let ended = bench.run(bench.ec2.terminate(&scope(), &[MachineId("i-1".into()), MachineId("i-2".into())]));
    assert!(ended.iter().all(|answer| matches!(answer, Err(CloudError::Credentials(_)))), "{ended:?}");
    assert_eq!(ended.len(), 2);
    assert_eq!(bench.wire.actions()[before..], ["GetCallerIdentity"], "nothing else was sent");
    assert_eq!(bench.run(bench.ec2.scope("us-east-1")).expect("it is known").account, "999900001111");
    bench.keys.store(KEY, &secret(SECRET)).expect("it is a key");
    assert!(bench.run(bench.ec2.look(&scope(), LOG, &[])).is_ok(), "with the old keys all is as it was");
}

#[test]
fn refused_credentials_are_named_as_such_and_nothing_is_sent() {
    for code in ["InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch", "RequestExpired", "AuthFailure"] {
        let bench = Bench::new();
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>refused</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        );
        bench.wire.answer("GetCallerIdentity", 403, body);
        let answer = bench.run(bench.ec2.launch(&request(1, Purchase::Spot)));
        assert!(matches!(&answer, Err(LaunchError::Credentials(words)) if words.contains(code)), "{answer:?}");
        assert_eq!(bench.wire.actions(), ["GetCallerIdentity"]);
    }
}

/// A source of credentials that end, such as a role or single sign-on: the file says what it gives, and without one it is
/// down.
struct Source {
    folder: tempfile::TempDir,
}

impl Source {
    fn bench() -> (Self, Bench) {
        let source = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        let path = source.folder.path().display();
        let process = CredentialProcessProvider::new(format!("echo asked >> {path}/asked && cat {path}/credentials"));
        let bench = Bench::with(|access| {
            access.keys = None;
            access.provider = Some(SharedCredentialsProvider::new(process));
        });
        (source, bench)
    }

    /// From now on it gives this key, which ends so long after the start of the bench's time.
    fn gives(&self, key: &str, end_minutes: u32) {
        let end = format!("2026-01-01T{:02}:{:02}:00Z", end_minutes / 60, end_minutes % 60);
        let json = format!(
            r#"{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{SECRET}", "SessionToken": "t", "Expiration": "{end}"}}"#
        );
        std::fs::write(self.folder.path().join("credentials"), json).expect("it can be written");
    }

    fn is_down(&self) {
        std::fs::remove_file(self.folder.path().join("credentials")).expect("it was there");
    }

    fn asked(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("asked")).map_or(0, |text| text.lines().count())
    }
}

#[test]
fn credentials_that_end_in_the_middle_of_work_are_renewed_before_and_used_while_they_are_good() {
    let (source, bench) = Source::bench();
    let minutes = |count: u64| bench.clock.advance(std::time::Duration::from_secs(60 * count));
    let look = || bench.run(bench.ec2.look(&scope(), LOG, &[]));
    let key = || bench.run(bench.ec2.account()).expect("it is known").key_id;
    source.gives(KEY, 60);
    assert!(look().is_ok());
    minutes(50);
    assert!(look().is_ok() && key() == KEY);
    assert_eq!(source.asked(), 1, "while they are good for long, nobody asks");

    source.gives(OTHER_KEY, 120);
    minutes(6);
    assert_eq!(key(), OTHER_KEY, "four minutes before their end they are renewed");
    assert!(look().is_ok(), "and the work goes on in the same account");
    let renewed = source.asked();

    source.is_down();
    minutes(61);
    assert!(look().is_ok() && key() == OTHER_KEY, "for three minutes more the old ones are good");
    assert!(source.asked() > renewed, "new ones are asked for meanwhile");
    assert!(bench.run(bench.ec2.launch(&request(1, Purchase::Spot))).is_ok());

    let sent = bench.wire.actions().len();
    minutes(4);
    assert!(matches!(look(), Err(CloudError::Credentials(_))), "what has ended is not used");
    let launch = bench.run(bench.ec2.launch(&request(2, Purchase::Spot)));
    assert!(matches!(launch, Err(LaunchError::Credentials(_))), "{launch:?}");
    let ended = bench.run(bench.ec2.terminate(&scope(), &[MachineId("i-1".into())]));
    assert!(matches!(ended[..], [Err(CloudError::Credentials(_))]), "{ended:?}");
    assert_eq!(bench.wire.actions().len(), sent, "nothing is sent with it");

    source.gives(KEY, 240);
    assert!(look().is_ok(), "when the source is back, so is everything");
}

#[test]
fn what_is_not_answered_before_the_send_did_not_launch() {
    for (action, status, body) in [
        ("GetCallerIdentity", 500, error("InternalFailure", "")),
        ("DescribeVpcs", 503, error("Unavailable", "")),
        ("DescribeImages", 500, String::new()),
        ("DescribeSecurityGroups", 503, file("error_RequestLimitExceeded.xml")),
    ] {
        let bench = Bench::with_system_clock();
        bench.wire.always(action, status, body);
        let answer = bench.run(bench.ec2.launch(&request(1, Purchase::Spot)));
        assert!(matches!(answer, Err(LaunchError::Throttled(_))), "{action}: {answer:?}");
        assert!(bench.wire.sent("RunInstances").is_empty());
    }
}

#[test]
fn a_region_that_is_not_enabled_or_not_there_says_so() {
    let bench = Bench::new();
    for (region, words) in [("af-south-1", "not enabled"), ("us-east-9", "there is no region"), ("a.b/c", "no region")]
    {
        let answer = bench.run(bench.ec2.scope(region));
        assert!(matches!(&answer, Err(CloudError::Invalid(text)) if text.contains(words)), "{region}: {answer:?}");
    }
    assert_eq!(bench.wire.sent("DescribeRegions").len(), 1);
    assert_eq!(bench.run(bench.ec2.scope("eu-west-1")).expect("it is there").region, "eu-west-1");
}

#[test]
fn what_is_configured_is_kept_for_its_owner_alone_and_forgotten_whole() {
    let home = tempfile::tempdir().expect("a temporary folder can be made");
    let setup = Setup::new(home.path());
    assert_eq!(setup.settings().expect("nothing is damaged"), None);
    let settings = Settings { region: "eu-west-1".into(), bucket: Some("results".into()), profile: None };
    setup.store(&settings, Some(&TypedKey::new(KEY, secret(SECRET)))).expect("it can be written");
    assert_eq!(setup.settings().expect("it was written"), Some(settings.clone()));
    assert_eq!(run(setup.keys().id()).expect("it was written"), Some(KEY.to_owned()));
    for name in ["credentials", "aws.json"] {
        let mode = std::fs::metadata(home.path().join(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!std::fs::read_to_string(home.path().join("aws.json")).expect("it is text").contains("canary"));
    setup.store(&settings, None).expect("it can be written");
    assert_eq!(run(setup.keys().id()).expect("it can be read"), None, "no key typed means none stored");
    assert!(setup.clear().expect("it can be removed"));
    assert!(!setup.clear().expect("there is nothing"));
    assert!(setup.store(&settings, Some(&TypedKey::new("", secret("x")))).is_err());
    assert!(setup.store(&settings, Some(&TypedKey::new("a b", secret("x")))).is_err());
    let error = setup.store(&settings, Some(&TypedKey::new(KEY, secret("canary with spaces")))).expect_err("no key");
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn what_was_typed_is_tried_before_it_is_kept() {
    let account = crate::laws::Account::new();
    account.make_bucket("results");
    let ec2 = account.ec2();
    run(async {
        let identity = ec2.verify("us-east-1", Some("results")).await.expect("all of it works");
        assert_eq!(identity.account, "111122223333");
        let region = ec2.verify("us-east-9", None).await;
        assert!(matches!(region, Err(VerifyError::Region(CloudError::Invalid(_)))), "{region:?}");
        let bucket = ec2.verify("us-east-1", Some("missing")).await.expect_err("there is none");
        assert!(bucket.to_string().contains("bucket missing"), "{bucket}");
    });
}

#[test]
fn a_key_that_others_could_read_is_refused() {
    let bench = Bench::new();
    let path = bench.folder.path().join("credentials");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let answer = bench.run(bench.ec2.account());
    assert!(matches!(&answer, Err(CloudError::Credentials(words)) if words.contains("chmod 600")), "{answer:?}");
}

#[test]
fn a_key_is_shown_by_its_ends_alone() {
    assert_eq!(masked(KEY), "AKIA…MPLE");
    assert_eq!((masked("short").as_str(), masked("").as_str(), masked("ääää").as_str()), ("…", "…", "…"));
}

/// Keeps everything that is traced.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<u8>>>);

impl Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics here").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_is_in_traces_errors_or_debug() {
    let trace = Trace::default();
    let writer = trace.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // Where there is one subscriber alone, what the thread of another test meets first is off for this one too.
    let second = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    let _second = tracing::Dispatch::new(second.with_writer(std::io::sink).finish());
    let shown = tracing::subscriber::with_default(subscriber, || {
        let bench = Bench::new();
        let mut shown = Vec::new();
        shown.push(format!("{:?}", bench.run(bench.ec2.launch(&request(1, Purchase::Spot)))));
        shown.push(format!("{:?}", bench.run(bench.ec2.look(&scope(), LOG, &[]))));
        bench.wire.file("RunInstances", 403, "error_UnauthorizedOperation.xml");
        shown.push(format!("{:?}", bench.run(bench.ec2.launch(&request(2, Purchase::Spot)))));
        bench.wire.queue("RunInstances", crate::wire::Answer::Cut);
        shown.push(format!("{:?}", bench.run(bench.ec2.launch(&request(3, Purchase::Spot)))));
        shown.push(format!("{:?} {:?}", bench.keys, bench.run(bench.ec2.account())));
        let typed = TypedKey::new(KEY, secret(SECRET));
        let access = Access {
            typed: Some(typed.clone()),
            http_client: Some(Wire::default().http_client()),
            ..Access::default()
        };
        shown.push(format!("{typed:?} {access:?}"));
        let given = aws_sdk_ec2::config::Credentials::new(
            OTHER_KEY,
            SECRET,
            Some("canary-session-token".into()),
            None,
            "given",
        );
        let provider = Some(aws_sdk_ec2::config::SharedCredentialsProvider::new(given));
        let bench = Bench::with(|access| access.provider = provider);
        shown.push(format!("{:?}", bench.run(bench.ec2.launch(&request(1, Purchase::Spot)))));
        let folder = bench.folder.path().join("cache");
        let ec2 = Ec2::new(Ec2Options::new(access, "us-east-1", folder, Arc::new(|launch, _| user_data(launch))));
        shown.push(format!("{:?}", run(ec2.account())));
        shown.join("\n")
    });
    let traced = String::from_utf8_lossy(&trace.0.lock().expect("no test panics here")).into_owned();
    assert!(traced.contains("RunInstances"), "the trace is on");
    for (place, text) in [("shown", &shown), ("traced", &traced)] {
        let found = text.find("canary").map(|at| &text[at.saturating_sub(200)..(at + 100).min(text.len())]);
        assert_eq!(found, None, "{place}");
    }
}
