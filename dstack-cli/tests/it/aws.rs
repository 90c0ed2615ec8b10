//! The whole way through an AWS account, on an EC2 of one's own: rules, machines, SSH, artifacts, and their end.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use examples::ec2_sandbox::{Options, Sandbox};
use serde_json::Value;

use crate::bench::{Bench, Ended, end};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "canary/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A home and a project whose AWS is a sandbox.
struct Account {
    bench: Bench,
    sandbox: Sandbox,
}

impl Account {
    /// An account that is set up, or nothing where there is no SSH server.
    fn new(workflows: &str) -> Option<Self> {
        let account = Self::unset(workflows)?;
        let ended = account.configure(&format!("{KEY}\n{SECRET}\nus-east-1\n\n"));
        assert_eq!(ended.code, 0, "{}", ended.err);
        account.ok(&["autoscale", "set", "--idle-timeout", "0"]);
        Some(account)
    }

    fn unset(workflows: &str) -> Option<Self> {
        let has_sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"]
            .iter()
            .any(|path| std::path::Path::new(path).exists());
        if !has_sshd {
            eprintln!("SKIPPED: there is no sshd, so runners in a cloud were NOT tried (install openssh-server)");
            return None;
        }
        let options =
            Options { boot: Duration::from_millis(300), shutdown: Duration::from_millis(100), ..Options::default() };
        Some(Self { bench: Bench::new(workflows), sandbox: Sandbox::start(options).expect("a sandbox can be started") })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command
            .env("AWS_ENDPOINT_URL", self.sandbox.url())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", self.bench.path("no-config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.bench.path("no-credentials"))
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_REGION")
            .env_remove("AWS_PROFILE");
        command
    }

    fn configure(&self, answers: &str) -> Ended {
        let mut child: Child =
            self.command(&["aws", "configure"]).stdin(Stdio::piped()).spawn().expect("the program can be started");
        child.stdin.take().expect("it is piped").write_all(answers.as_bytes()).expect("it is read");
        end(child)
    }

    fn dstack(&self, args: &[&str]) -> Ended {
        end(self.command(args).spawn().expect("the program can be started"))
    }

    fn ok(&self, args: &[&str]) -> String {
        let ended = self.dstack(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        ended.out
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).expect("it prints one JSON document")
    }

    fn live(&self) -> usize {
        self.sandbox.state().live()
    }
}

#[test]
fn keys_are_checked_before_they_are_kept_and_never_shown() {
    let Some(account) = Account::unset("workflows: []") else { return };
    let none = account.dstack(&["aws", "info"]);
    assert_eq!((none.code, none.err.as_str()), (1, "error: no AWS account is set up: run `dstack aws configure`\n"));

    let ended = account.configure(&format!("{KEY}\n{SECRET}\n"));
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("the answers ended before Region name"), "{}", ended.err);
    let ended = account.configure(&format!("{KEY}\n{SECRET}\nmoon-1\n\n"));
    assert_eq!(ended.code, 1, "{}", ended.err);
    let ended = account.configure(&format!("EXPIREDKEY\n{SECRET}\nus-east-1\n\n"));
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert_eq!(account.dstack(&["aws", "info"]).code, 1, "nothing was kept");

    let ended = account.configure(&format!("{KEY}\n{SECRET}\nus-east-1\nNone\n"));
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(!format!("{}{}", ended.out, ended.err).contains(SECRET));
    let info = account.json(&["aws", "info", "--json"]);
    assert_eq!((&info["region"], &info["bucket"]), (&"us-east-1".into(), &Value::Null));
    assert_eq!(info["access_key_id"], "AKIA…MPLE");
    let facts = std::fs::metadata(account.bench.home().join("credentials")).expect("it is kept");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o777, 0o600);
    assert!(account.ok(&["aws", "policy"]).contains("ec2:RunInstances"));

    account.ok(&["aws", "clear"]);
    assert_eq!(account.dstack(&["aws", "info"]).code, 1);
}

#[test]
fn a_type_that_is_not_offered_is_refused_with_near_ones() {
    let Some(account) = Account::new("workflows: []") else { return };
    let typo = account.dstack(&["autoscale", "allow", "m5.xlarg", "-m", "1", "-s"]);
    assert_eq!(typo.code, 1);
    assert!(typo.err.contains("m5.xlarge"), "{}", typo.err);
    let nowhere = account.dstack(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s", "--region", "moon-1"]);
    assert_eq!(nowhere.code, 1, "{}", nowhere.err);
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s"]);
    let rules = account.json(&["autoscale", "info", "--json"]);
    let rule = &rules["rules"][0];
    assert_eq!(
        (&rule["provider"], &rule["region"], &rule["instance_type"], &rule["purchase"], &rule["max"]),
        (&"aws".into(), &"us-east-1".into(), &"m5.xlarge".into(), &"spot".into(), &1.into())
    );
}

#[test]
fn a_workflow_runs_on_a_machine_that_is_started_for_it_and_ended_again() {
    let workflows = "workflows:
- {name: make, commands: ['mkdir out', 'echo 42 > out/answer', 'echo made'], artifacts: [out]}
- {name: use, commands: ['cat out/answer input', 'echo \"$TOKEN\" | tr a-z b-za'], depends-on: [make]}
";
    let Some(account) = Account::new(workflows) else { return };
    account.bench.write("input", "from the project\n");
    let mut set = account.command(&["secrets", "set", "TOKEN"]).stdin(Stdio::piped()).spawn().expect("it starts");
    set.stdin.take().expect("it is piped").write_all(b"hunter2").expect("it is read");
    assert_eq!(end(set).code, 0);
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s"]);
    let ended = account.dstack(&["run", "use", "--name", "r"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out, "make | made\nuse  | 42\nuse  | from the project\nuse  | ivoufs2\n");
    let results = account.bench.path("results").display().to_string();
    account.ok(&["artifacts", "download", "r/make", "--output", &results]);
    assert_eq!(std::fs::read(account.bench.path("results/out/answer")).expect("it is there"), b"42\n");

    account.ok(&["controller", "--until-idle"]);
    let state = account.sandbox.state();
    assert_eq!(account.live(), 0, "no machine is left");
    assert_eq!(state.max_live.get("m5.xlarge/spot"), Some(&1), "there never were two");
    let runners = account.json(&["runners", "-a", "--json"]);
    let phases: Vec<&Value> = runners["runners"].as_array().expect("a list").iter().map(|it| &it["phase"]).collect();
    assert!(!phases.is_empty() && phases.iter().all(|phase| **phase == "stopped"), "{runners}");
    for listing in [account.ok(&["events", "--json"]), account.ok(&["runners", "-a", "--json"])] {
        assert!(!listing.contains("hunter2") && !listing.contains(SECRET) && !listing.contains("PRIVATE KEY"));
    }
    assert!(account.ok(&["check"]).starts_with("ok: "));
}

#[test]
fn disabling_ends_the_machine_at_once_and_the_workflow_waits_for_another() {
    let Some(account) = Account::new(
        "workflows: [{name: slow, commands: ['echo begun', 'while ! test -e \"$0.go\" && ! test -e go; do sleep 0.1; done']}]",
    ) else {
        return;
    };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-d"]);
    account.ok(&["run", "slow", "-d", "--name", "r"]);
    let running = |row: &Value| row["phase"] == "running";
    account.bench.wait_for(|record| record["kind"] == "AttemptAssigned");
    let clear = account.dstack(&["aws", "clear"]);
    assert_eq!(clear.code, 1);
    assert!(clear.err.contains("1 runner"), "{}", clear.err);
    let other = account.configure(&format!("AKIA111122223333\n{SECRET}\nus-east-1\n\n"));
    assert_eq!(other.code, 1, "another account is refused while a runner of this one lives: {}", other.err);

    account.ok(&["autoscale", "disable"]);
    assert_eq!(account.live(), 0, "the command waits until the machine is gone");
    let row = account.bench.row("r", "slow");
    assert!(!running(&row) && row["phase"] == "waiting", "{row}");
    account.ok(&["stop", "r"]);
    account.ok(&["controller", "--until-idle"]);
    assert_eq!(account.live(), 0);
}

/// The instances that are not terminated.
fn live_ids(account: &Account) -> Vec<String> {
    let state = account.sandbox.state();
    let live = state.instances.iter().filter(|instance| instance.state != "terminated");
    live.map(|instance| instance.id.clone()).collect()
}

/// A spot instance is taken back while a workflow runs on it: the workflow runs again elsewhere, once, and says why.
fn interrupted_with_notice(notice: Duration, told: &str) {
    let workflows = "workflows:
- name: long
  commands: ['echo attempt $DSTACK_ATTEMPT', 'mkdir -p out', 'echo kept >> out/log',
             'test $DSTACK_ATTEMPT = 2 || sleep 600']
  artifacts: [out]
";
    let Some(account) = Account::new(workflows) else { return };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s"]);
    let mut child = account.command(&["run", "long", "--name", "r"]).spawn().expect("it starts");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).expect("it prints");
    assert_eq!(line, "attempt 1\n");
    let first = live_ids(&account);
    account.sandbox.interrupt(&first[0], notice).expect("it is a spot instance");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).expect("it prints");
    let ended = end(child);
    assert_eq!((ended.code, rest.as_str()), (0, "attempt 2\n"), "{}", ended.err);
    assert!(ended.err.contains(told) && ended.err.contains("it starts over"), "{}", ended.err);
    let state = account.sandbox.state();
    assert_eq!((state.max_live.get("m5.xlarge/spot"), state.instances.len()), (Some(&1), 2));
    account.ok(&["controller", "--until-idle"]);
    assert_eq!(account.live(), 0);
}

#[test]
fn a_spot_instance_that_vanishes_without_notice_is_replaced() {
    interrupted_with_notice(Duration::ZERO, "its runner was lost");
}

#[test]
fn a_spot_instance_that_is_announced_to_go_is_replaced() {
    interrupted_with_notice(Duration::from_secs(12), "the cloud took its runner back");
}

#[test]
fn whatever_goes_wrong_on_the_wire_the_cap_holds_and_nothing_is_left() {
    let workflows: String = (0..4).map(|number| format!("- {{name: w{number}, commands: ['echo done']}}\n")).collect();
    let all = "- {name: all, commands: ['true'], depends-on: [w0, w1, w2, w3]}\n";
    let Some(account) = Account::new(&format!("workflows:\n{workflows}{all}")) else { return };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "2", "-d"]);
    account.ok(&["run", "all", "-d", "--name", "r"]);
    let rates = "late=0.2,throttle=0.2,stale-list=0.2".parse().expect("they are rates");
    account.sandbox.set_rates(&rates);
    let ended = account.dstack(&["controller", "--until-idle"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    account.sandbox.set_rates(&"".parse().expect("no rates"));
    account.ok(&["controller", "--until-idle"]);
    let state = account.sandbox.state();
    assert!(state.max_live.get("m5.xlarge/on-demand").is_some_and(|most| *most <= 2), "{:?}", state.max_live);
    assert_eq!(account.live(), 0);
    let rows = account.json(&["ps", "-a", "--json"]);
    let rows = rows["workflows"].as_array().expect("a list");
    assert!(rows.len() == 5 && rows.iter().all(|row| row["phase"] == "succeeded"), "{rows:?}");
}
