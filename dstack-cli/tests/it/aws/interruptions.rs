//! Spot instances that are taken back: with time to save what there is, with none, and without a word.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use super::account::Account;
use crate::bench::end;

/// A spot instance is taken back while a workflow runs on it: the workflow runs again elsewhere, once, and says why.
/// What the first attempt had made of its artifacts is there in the second if there was time to fetch it.
fn interrupted_with_notice(notice: Option<Duration>, second: &str) {
    interrupted("true", second, |account, id| account.sandbox.interrupt(id, notice).expect("it is a spot instance"));
}

/// How often EC2 was asked for announcements.
fn questions(account: &Account) -> u64 {
    account.sandbox.state().calls.get("DescribeSpotInstanceRequests").copied().unwrap_or(0)
}

fn interrupted(first_command: &str, second: &str, take_back: impl FnOnce(&Account, &str)) {
    let workflows = "workflows:
- name: long
  commands: ['FIRST', 'echo attempt $DSTACK_ATTEMPT', 'cat out/log 2>/dev/null || echo nothing', 'mkdir -p out',
             'echo kept by $DSTACK_ATTEMPT >> out/log', 'echo saved', 'test $DSTACK_ATTEMPT = 2 || sleep 600']
  artifacts: [out]
";
    let Some(account) = Account::new(&workflows.replace("FIRST", first_command)) else { return };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", "1", "-s"]);
    let mut child = account.command(&["run", "long", "--name", "r"]).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut first = String::new();
    while !first.ends_with("saved\n") {
        assert!(out.read_line(&mut first).expect("it prints") > 0, "{first}");
    }
    assert_eq!(first, "attempt 1\nnothing\nsaved\n");
    take_back(&account, &account.live_ids()[0]);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("it prints");
    let ended = end(child);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(rest, format!("attempt 2\n{second}\nsaved\n"), "{}", ended.err);
    assert!(
        ended.err.contains("the cloud took its runner back") && ended.err.contains("it starts over"),
        "{}",
        ended.err
    );
    let results = account.bench.path("results").display().to_string();
    account.ok(&["artifacts", "download", "r/long", "--output", &results]);
    let log = std::fs::read_to_string(account.bench.path("results/out/log")).expect("it is there");
    let kept = if second == "nothing" { "" } else { "kept by 1\n" };
    assert_eq!(log, format!("{kept}kept by 2\n"));
    let state = account.sandbox.state();
    assert_eq!((state.max_live.get("m5.xlarge/spot"), state.instances.len()), (Some(&1), 2));
    account.ok(&["controller", "--until-idle"]);
    assert_eq!(account.live(), 0);
}

#[test]
fn a_spot_instance_that_vanishes_without_notice_is_replaced() {
    interrupted_with_notice(None, "nothing");
}

#[test]
fn a_spot_instance_that_vanishes_with_its_notice_is_replaced() {
    interrupted_with_notice(Some(Duration::ZERO), "nothing");
}

#[test]
fn what_a_workflow_had_made_when_its_spot_instance_was_announced_to_go_is_there_in_the_next() {
    interrupted_with_notice(Some(Duration::from_secs(12)), "kept by 1");
}

/// With its two minutes cut short once they are not needed any more. The announcement came over SSH from the instance's own
/// metadata service, since EC2 itself was not asked for it.
#[test]
fn a_spot_instance_hears_itself_that_it_is_taken_back_and_ec2_is_not_asked() {
    interrupted("true", "kept by 1", |account, id| {
        announced_and_saved(account, id);
        assert_eq!(questions(account), 0);
        account.sandbox.interrupt(id, None).expect("it is still there");
    });
}

/// Its two minutes begin, and are used.
fn announced_and_saved(account: &Account, id: &str) {
    let is_in_log = |kind: &str| account.ok(&["events", "--json"]).contains(kind);
    account.sandbox.interrupt(id, Some(Duration::from_secs(120))).expect("it is a spot instance");
    while !is_in_log("ArtifactsSaved") {}
    assert!(is_in_log("RunnerNoticed"));
}

/// A job has put a `head` of its own in front of the machine's, so that no answer is read any more.
#[test]
fn of_a_spot_instance_that_hears_nothing_ec2_is_asked() {
    let deafen = r##"printf "#!/bin/sh\nexit 7\n" > "${PATH%%:*}/head"; chmod +x "${PATH%%:*}/head""##;
    interrupted(deafen, "kept by 1", |account, id| {
        announced_and_saved(account, id);
        assert!(questions(account) > 0);
        account.sandbox.interrupt(id, None).expect("it is still there");
    });
}

#[test]
#[ignore = "takes two minutes: as long as the cloud's warning. The one of twelve seconds is the same but for the wait"]
fn a_spot_instance_with_the_whole_two_minutes_is_replaced() {
    interrupted_with_notice(Some(Duration::from_secs(120)), "kept by 1");
}
