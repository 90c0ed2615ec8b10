//! A home and a project whose AWS is a sandbox.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use examples::ec2_sandbox::{Options, Sandbox};
use serde_json::Value;

use crate::bench::{Bench, Ended, end, end_within};

pub(super) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(super) const SECRET: &str = "canary/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Longest that a command takes that has to wait for the cloud's own periods: an outer bound, never a measure.
const LONG: Duration = Duration::from_secs(600);

/// A home and a project whose AWS is a sandbox.
pub(super) struct Account {
    pub(super) bench: Bench,
    pub(super) sandbox: Sandbox,
}

/// Instances that come and go fast.
pub(super) fn fast() -> Options {
    Options { boot: Duration::from_millis(300), shutdown: Duration::from_millis(100), ..Options::default() }
}

impl Account {
    /// An account that is set up, or nothing where there is no SSH server.
    pub(super) fn new(workflows: &str) -> Option<Self> {
        Self::of(workflows, fast())
    }

    /// An account that is set up in a sandbox of this kind.
    pub(super) fn of(workflows: &str, options: Options) -> Option<Self> {
        let account = Self::unset(workflows, options)?;
        let ended = account.configure(&format!("{KEY}\n{SECRET}\nus-east-1\n\n"));
        assert_eq!(ended.code, 0, "{}", ended.err);
        account.ok(&["autoscale", "set", "--idle-timeout", "0"]);
        Some(account)
    }

    /// An account that is not set up yet.
    pub(super) fn unset(workflows: &str, options: Options) -> Option<Self> {
        let has_sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"]
            .iter()
            .any(|path| std::path::Path::new(path).exists());
        if !has_sshd {
            eprintln!("SKIPPED: there is no sshd, so runners in a cloud were NOT tried (install openssh-server)");
            return None;
        }
        Some(Self { bench: Bench::new(workflows), sandbox: Sandbox::start(options).expect("a sandbox can be started") })
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command
            .env("HOME", self.bench.path("no-home"))
            .env("AWS_ENDPOINT_URL", self.sandbox.url())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", self.bench.path("aws-config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.bench.path("aws-credentials"));
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_PROFILE",
        ] {
            command.env_remove(name);
        }
        command
    }

    pub(super) fn configure(&self, answers: &str) -> Ended {
        answer(self.command(&["aws", "configure"]), answers)
    }

    pub(super) fn dstack(&self, args: &[&str]) -> Ended {
        end(self.command(args).spawn().expect("the program can be started"))
    }

    /// Runs a command that waits for what the cloud's own periods take.
    pub(super) fn dstack_for_long(&self, args: &[&str]) -> Ended {
        end_within(self.command(args).spawn().expect("the program can be started"), LONG)
    }

    pub(super) fn ok(&self, args: &[&str]) -> String {
        let ended = self.dstack(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        ended.out
    }

    pub(super) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).expect("it prints one JSON document")
    }

    pub(super) fn live(&self) -> usize {
        self.sandbox.state().live()
    }

    /// The instances that are not terminated.
    pub(super) fn live_ids(&self) -> Vec<String> {
        let state = self.sandbox.state();
        let live = state.instances.iter().filter(|instance| instance.state != "terminated");
        live.map(|instance| instance.id.clone()).collect()
    }

    /// Changes what goes wrong from now on.
    pub(super) fn faults(&self, text: &str) {
        self.sandbox.set_rates(&text.parse().expect("they are rates"));
    }

    /// A call of EC2 by somebody else in the account, by hand. Its answer is to be the one of success.
    pub(super) fn others_call(&self, form: &str) -> String {
        self.others_call_in("us-east-1", form)
    }

    /// The same in another region.
    pub(super) fn others_call_in(&self, region: &str, form: &str) -> String {
        let address = self.sandbox.url().trim_start_matches("http://");
        let signed = format!("AWS4-HMAC-SHA256 Credential={KEY}/20260101/{region}/ec2/aws4_request");
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nAuthorization: {signed}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let mut stream = TcpStream::connect(address).expect("the sandbox listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

/// Runs a command to its end with these answers to its questions.
pub(super) fn answer(mut command: Command, answers: &str) -> Ended {
    let mut child: Child = command.stdin(Stdio::piped()).spawn().expect("the program can be started");
    // It may have refused before it reads all of them.
    let _ = child.stdin.take().expect("it is piped").write_all(answers.as_bytes());
    end(child)
}
