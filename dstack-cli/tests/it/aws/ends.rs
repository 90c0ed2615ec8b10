//! How machines end before their work does: by a wish, and because another one answers in their place.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;

use super::account::{Account, SECRET};
use crate::bench::end;

/// A workflow runs on a machine of the account.
fn while_running() -> Option<Account> {
    let account = Account::new("workflows: [{name: slow, commands: ['echo begun', 'sleep 600']}]")?;
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-d"]);
    account.ok(&["run", "slow", "-d", "--name", "r"]);
    account.bench.wait_for(|record| record["kind"] == "AttemptAssigned");
    Some(account)
}

/// The machine is gone when the command returns, the workflow waits, and nothing is left once that is stopped too.
fn ends_the_machine_at_once(command: &[&str]) {
    let Some(account) = while_running() else { return };
    account.ok(command);
    assert_eq!(account.live(), 0, "{command:?} waits until the machine is gone");
    let row = account.bench.row("r", "slow");
    assert_eq!(row["phase"], "waiting", "{row}");
    account.ok(&["stop", "r"]);
    account.ok(&["controller", "--until-idle"]);
    let state = account.sandbox.state();
    assert_eq!((account.live(), state.instances.len()), (0, 1), "nothing was started for it");
}

#[test]
fn disabling_ends_the_machine_at_once_and_the_workflow_waits_for_another() {
    ends_the_machine_at_once(&["autoscale", "disable"]);
}

#[test]
fn a_maximum_of_zero_ends_the_machine_at_once_and_the_workflow_waits_for_another() {
    ends_the_machine_at_once(&["autoscale", "allow", "m5.xlarge", "--max", "0", "-d"]);
}

#[test]
fn removing_all_rules_ends_the_machine_at_once_and_the_workflow_waits_for_another() {
    ends_the_machine_at_once(&["autoscale", "remove", "--all"]);
}

#[test]
fn the_account_is_not_let_go_of_while_a_machine_lives_in_it() {
    let Some(account) = while_running() else { return };
    let clear = account.dstack(&["aws", "clear"]);
    assert_eq!(clear.code, 1);
    assert!(clear.err.contains("1 runner"), "{}", clear.err);
    let other = account.configure(&format!("AKIA111122223333\n{SECRET}\nus-east-1\n\n"));
    assert_eq!(other.code, 1, "another account is refused while a runner of this one lives: {}", other.err);
    account.ok(&["autoscale", "disable"]);
    account.ok(&["aws", "clear"]);
}

#[test]
fn who_waits_for_machines_to_end_is_told_if_the_cloud_cannot_be_asked() {
    let Some(account) = while_running() else { return };
    account.faults("page-fails=1");
    let mut child = account.command(&["autoscale", "disable"]).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let told = std::thread::scope(|scope| {
        let account = &account;
        scope.spawn(move || {
            // Where nothing is told, it is over some time all the same.
            let _ = waits.recv_timeout(Duration::from_secs(60));
            account.faults("page-fails=0");
        });
        let told =
            lines.find_map(|line| line.ok().filter(|line| line.contains("cannot be asked whether they have ended")));
        drop(done);
        told
    });
    assert!(told.is_some_and(|line| line.contains("controller.log")), "it says so before it ends");
    let ended = end(child);
    assert_eq!((ended.code, account.live()), (0, 0), "and it waits on until they are gone");
}

/// Somebody else at the machine's address gets no secret and no work, and what was on it runs elsewhere.
#[test]
fn a_machine_with_another_host_key_is_refused_and_the_workflow_runs_elsewhere() {
    let workflows = "workflows:
- name: long
  commands: ['echo attempt $DSTACK_ATTEMPT', 'test $DSTACK_ATTEMPT = 2 || sleep 600', 'echo done']
";
    let Some(account) = Account::new(workflows) else { return };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-d"]);
    let mut child = account.command(&["run", "long", "--name", "r"]).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut first = String::new();
    out.read_line(&mut first).expect("it prints");
    assert_eq!(first, "attempt 1\n");
    let instance = account.live_ids().remove(0);
    account.sandbox.rekey(&instance).expect("it runs");
    account.bench.wait_for(|record| record["kind"] == "RunnerStopping");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("it prints");
    let ended = end(child);
    assert_eq!((ended.code, rest.as_str()), (0, "attempt 2\ndone\n"), "{}", ended.err);

    account.ok(&["controller", "--until-idle"]);
    let runners = account.json(&["runners", "-a", "--json"]);
    let runners = runners["runners"].as_array().expect("a list");
    let of = |runner: &&serde_json::Value| runner["machine"] == instance.as_str();
    let refused = runners.iter().find(of).expect("it is listed");
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("quarantined: "), "{refused}");
    let state = account.sandbox.state();
    assert_eq!((account.live(), state.instances.len(), runners.len()), (0, 2, 2));
    assert_eq!(state.max_live.get("m5.xlarge/on-demand"), Some(&1), "the cap holds meanwhile");
}
