//! Calls that are lost, late, doubled or refused on the way: caps hold by the sandbox's own count, and nothing is left.

use super::account::Account;

/// Runners at once, and workflows that need one alone.
const MAX: usize = 2;
const WORKFLOWS: &str = "workflows:
- {name: one, commands: ['echo done']}
- {name: other, commands: ['echo done']}
- {name: both, commands: ['echo done'], depends-on: [one, other]}
";

/// So many runs, each of which begins with nothing alive.
fn goes_well_in_spite_of(faults: &str, runs: usize) {
    let Some(account) = Account::new(WORKFLOWS) else { return };
    account.ok(&["autoscale", "allow", "m5.xlarge", "-m", &MAX.to_string(), "-d"]);
    account.faults(faults);
    for _ in 0..runs {
        account.ok(&["run", "both", "-d"]);
        let ended = account.dstack_for_long(&["controller", "--until-idle"]);
        assert_eq!(ended.code, 0, "{}", ended.err);
    }
    account.faults("");
    account.ok(&["controller", "--until-idle"]);
    let state = account.sandbox.state();
    println!("{faults}: {} instances, calls {:?}", state.instances.len(), state.calls);
    let most = state.max_live.get("m5.xlarge/on-demand");
    assert!(most.is_some_and(|most| *most <= MAX), "{:?}", state.max_live);
    assert!(state.instances.len() >= runs, "each run had machines of its own");
    assert_eq!(account.live(), 0);
    let rows = account.json(&["ps", "-a", "--json"]);
    let rows = rows["workflows"].as_array().expect("a list");
    assert!(rows.len() == 3 * runs && rows.iter().all(|row| row["phase"] == "succeeded"), "{rows:?}");
    assert!(account.ok(&["check"]).starts_with("ok: "));
}

#[test]
fn answers_that_are_lost_late_doubled_and_stale_break_no_cap_and_leave_nothing() {
    goes_well_in_spite_of("lost-answer=0.2,late=0.2,late-within=3s,doubled=0.3,throttle=0.1,stale-list=0.2", 2);
}

#[test]
fn every_answer_to_a_launch_that_is_lost_breaks_no_cap_and_leaves_nothing() {
    goes_well_in_spite_of("late=1,late-within=2s", 1);
}

#[test]
#[ignore = "takes minutes: a launch whose call was lost is sent again once time has closed its claim"]
fn calls_that_are_lost_break_no_cap_and_leave_nothing() {
    goes_well_in_spite_of("lost-call=0.4,lost-answer=0.3,doubled=0.3,stale-list=0.3", 6);
}
