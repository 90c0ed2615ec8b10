//! The policy, case by case: given a log, when something comes, then these events.

use std::collections::BTreeMap;

use dstack_core::model::event::*;
use dstack_core::model::plan::{ScopeTick, WaitReason};
use dstack_core::model::state::{Outcome, Phase};
use dstack_core::model::*;
use dstack_core::testkit::samples;

use super::given::*;

fn phase(given: &Given, index: u32) -> Phase {
    given.state().workflow(workflow(index)).expect("it was submitted").phase.clone()
}

fn exits(given: &mut Given, index: u32, number: u32, code: u8) {
    let attempt = attempt(index, number);
    given.has([AttemptExited { attempt, exit: Exit::exited(code) }]);
    given.has([ResultsKept { attempt, manifest: None, missing: Vec::new() }]);
}

fn stop_items(plan: &Plan) -> Vec<(RunnerId, StopReason)> {
    let stop = |item: &Item| match item {
        Item::Stop { runner, reason } => Some((*runner, reason.clone())),
        Item::Skip { .. } | Item::Assign { .. } | Item::Launch { .. } | Item::Claim { .. } => None,
    };
    plan.items.iter().filter_map(stop).collect()
}

/// Five runners: one wanted, one launched, one idle, two at work of which the second began later, one collecting.
fn all_sorts() -> Given {
    let mut given = Given::with_max(9);
    given.submitted(specs(&[&[], &[], &[]]));
    given.ready(6).assigned(0, 1, 6).secs(1);
    given.ready(5).assigned(1, 1, 5).secs(1);
    given.ready(4).assigned(2, 1, 4).secs(1);
    given.ready(3).launched(2).wanted(1);
    given.has([AttemptExited { attempt: attempt(2, 1), exit: Exit::exited(0) }]);
    given
}

#[test]
fn what_is_worth_least_is_shut_down_first() {
    let given = all_sorts();
    let order: Vec<_> = [1, 2, 3, 5, 6, 4].map(runner).into();
    for max in 0..=6 {
        let surplus = order.len() - usize::try_from(max).expect("it is small");
        assert_eq!(victims(given.state(), &small().rule_key(), max), order[..surplus]);
    }
}

#[test]
fn a_lower_maximum_and_its_consequences_are_one_decision() {
    let given = all_sorts();
    let allow = Command::Allow { offering: Box::new(small()), max: 4, min: 0 };
    let expected: Vec<Event> = vec![
        RuleAllowed { max: 4, min: 0, offering: small() }.into(),
        stopping(1, StopReason::MaxLowered).into(),
        stopping(2, StopReason::MaxLowered).into(),
    ];
    assert_eq!(decide(given.state(), allow), Ok(expected));
}

#[test]
fn a_runner_that_is_shut_down_is_no_victim_again_and_keeps_its_slot() {
    let mut given = Given::with_max(2);
    given.ready(1).ready(2).has([stopping(2, StopReason::MaxLowered)]);
    assert_eq!(victims(given.state(), &small().rule_key(), 1), []);
    given.submitted(specs(&[&[], &[]]));
    let plan = given.plan(None);
    assert_eq!(plan.items, vec![Item::Assign { attempt: attempt(0, 1), runner: runner(1), why: Fit::Alone }]);
    assert_eq!(plan.waiting[&Needs::default()], WaitReason::AtMaximum([small().rule_key().into()].into()));
}

#[test]
fn removing_a_rule_shuts_its_runners_down() {
    let mut given = Given::with_max(2);
    given.ready(1);
    let filter = RuleFilter { instance_type: Some("small".to_owned()), ..RuleFilter::default() };
    let expected: Vec<Event> =
        vec![RuleRemoved { rule: small().rule_key() }.into(), stopping(1, StopReason::RuleRemoved).into()];
    assert_eq!(decide(given.state(), Command::Remove(filter)), Ok(expected));
}

#[test]
fn disabling_requeues_all_work_without_counting_it() {
    let mut given = Given::with_max(2);
    given.submitted(specs(&[&[]])).ready(1).assigned(0, 1, 1).wanted(2);
    let events = decide(given.state(), Command::Disable).expect("it is allowed");
    let expected: Vec<Event> = vec![
        AutoscalingDisabled {}.into(),
        stopping(1, StopReason::Disabled).into(),
        stopping(2, StopReason::Disabled).into(),
    ];
    assert_eq!(events, expected);
    given.has(events);
    let loss = Loss::ProcessLost;
    let found = given.sees(&Observation::Lost { attempt: attempt(0, 1), loss });
    assert_eq!(found, vec![AttemptLost { attempt: attempt(0, 1), loss: Loss::ShutDown }.into()]);
    given.has([stopped(1, StopReason::Lost("killed".to_owned()), Certificate::Terminated)]);
    let again = given.state().workflow(workflow(0)).expect("it waits");
    assert_eq!((again.losses, &again.phase, again.last_loss.clone()), (0, &Phase::Waiting, Some(Loss::ShutDown)));
    assert_eq!(given.plan(None).waiting[&Needs::default()], WaitReason::Disabled);
    given.has([AutoscalingEnabled {}]);
    assert!(matches!(given.plan(None).items[..], [Item::Launch { .. }]));
    assert_eq!(decide(given.state(), Command::Enable), Ok(Vec::new()));
}

#[test]
fn a_launch_timeout_fires_only_after_a_look() {
    let mut given = Given::with_max(1);
    given.wanted(1).secs(300);
    assert_eq!(stop_items(&given.plan(None)), []);
    assert_eq!(stop_items(&given.plan(Some(1))), []);
    assert_eq!(stop_items(&given.plan(Some(0))), [(runner(1), StopReason::LaunchTimeout)]);
}

#[test]
fn a_boot_timeout_fires_only_after_a_look() {
    let mut given = Given::with_max(1);
    given.launched(1).secs(899);
    assert_eq!(stop_items(&given.plan(Some(0))), []);
    given.secs(2);
    assert_eq!(stop_items(&given.plan(Some(2))), []);
    assert_eq!(stop_items(&given.plan(Some(1))), [(runner(1), StopReason::BootTimeout)]);
}

#[test]
fn an_idle_runner_is_stopped_after_the_timeout_and_a_look() {
    let mut given = Given::with_max(1);
    given.ready(1).secs(300);
    assert_eq!(stop_items(&given.plan(None)), []);
    assert_eq!(stop_items(&given.plan(Some(0))), [(runner(1), StopReason::Idle)]);
    given.submitted(specs(&[&[]]));
    assert_eq!(stop_items(&given.plan(Some(0))), [], "it has work now");
    given.assigned(0, 1, 1).secs(10_000);
    assert_eq!(stop_items(&given.plan(Some(0))), []);
}

#[test]
fn a_runner_that_the_cloud_takes_back_gets_no_work_and_is_stopped_once_it_has_none() {
    let mut given = Given::with_max(2);
    given.submitted(specs(&[&[], &[]])).ready(1).assigned(0, 1, 1);
    given.has([RunnerNoticed { runner: runner(1), deadline: None }]);
    let plan = given.plan(None);
    assert!(matches!(plan.items[..], [Item::Launch { .. }]), "{:?}", plan.items);
    exits(&mut given, 0, 1, 0);
    assert_eq!(stop_items(&given.plan(None)), [(runner(1), StopReason::Interrupted)]);
}

#[test]
fn a_runner_on_this_machine_goes_at_once() {
    let mut given = Given::with_max(0);
    let pooled = Offering { pooled: true, ..small() };
    given.has([RuleAllowed { max: 1, min: 0, offering: pooled }]).ready(1);
    assert_eq!(stop_items(&given.plan(None)), [(runner(1), StopReason::Idle)]);
}

#[test]
fn a_skip_names_the_root_of_a_chain() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[], &[0], &[1], &[], &[2, 3]])).ready(1).assigned(0, 1, 1);
    exits(&mut given, 0, 1, 3);
    let skip = |index| Item::Skip { workflow: workflow(index), cause: workflow(0) };
    let plan = given.plan(None);
    assert_eq!(plan.items[..3], [skip(1), skip(2), skip(4)]);
    let events = plan.into_events(given.state(), ME, &mut || [0; 16]);
    given.has(events);
    assert_eq!(phase(&given, 4), Phase::Over(Outcome::Skipped { cause: workflow(0) }));
}

#[test]
fn stopping_a_run_stops_each_of_its_workflows_and_skips_none() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[], &[0], &[1]])).ready(1).assigned(0, 1, 1);
    let run = RunId::from_bits(1);
    let events = decide(given.state(), Command::Stop { run, workflow: None, abort: false }).expect("it is open");
    given.has(events);
    assert_eq!([phase(&given, 1), phase(&given, 2)], [Phase::Over(Outcome::Stopped), Phase::Over(Outcome::Stopped)]);
    assert_eq!(phase(&given, 0), Phase::Assigned(runner(1)));
    assert_eq!(given.plan(None).items, []);
    given.has([AttemptExited { attempt: attempt(0, 1), exit: Exit { code: 143, cause: ExitCause::Stopped } }]);
    let kept = Observation::Kept { attempt: attempt(0, 1), manifest: None, missing: Vec::new() };
    let found = given.sees(&kept);
    assert_eq!(found, vec![AttemptStopped { attempt: attempt(0, 1), manifest: None }.into()]);
    given.has(found);
    assert_eq!(phase(&given, 0), Phase::Over(Outcome::Stopped));
    let again = decide(given.state(), Command::Stop { run, workflow: None, abort: false });
    assert_eq!(again, Err(Rejection::AlreadyOver("run run".to_owned())));
}

/// Its command has exited well when its user gives it up: what it declared is fetched or not.
#[test]
fn a_workflow_that_is_aborted_before_its_artifacts_are_fetched_has_not_succeeded() {
    let manifest = Some(BlobId([1; 32]));
    for (abort, artifacts, manifest, missing, succeeds) in [
        (true, true, None, false, false),
        (true, true, manifest, false, true),
        (true, false, None, false, true),
        (true, true, None, true, false),
        (false, true, manifest, false, true),
        (false, true, None, true, false),
    ] {
        let artifacts = if artifacts { vec!["model".to_owned()] } else { Vec::new() };
        let mut given = Given::with_max(1);
        let spec = WorkflowSpec { artifacts, ..samples::workflow("w0", Needs::default()) };
        given.submitted(vec![spec]).ready(1).assigned(0, 1, 1);
        given.has([AttemptExited { attempt: attempt(0, 1), exit: Exit::exited(0) }]);
        let run = RunId::from_bits(1);
        given.has(decide(given.state(), Command::Stop { run, workflow: None, abort }).expect("it is open"));
        let missing = if missing { vec!["model".to_owned()] } else { Vec::new() };
        given.has(given.sees(&Observation::Kept { attempt: attempt(0, 1), manifest, missing }));
        let expected = if succeeds { Outcome::Succeeded } else { Outcome::Stopped };
        assert_eq!(phase(&given, 0), Phase::Over(expected), "abort {abort}, fetched {manifest:?}");
    }
}

#[test]
fn a_failure_is_tried_again_after_the_named_exit_codes_only() {
    let mut given = Given::with_max(1);
    let retry = Some(Retry { max: 2, on_exit_codes: vec![7] });
    let spec = WorkflowSpec { retry, ..samples::workflow("w0", Needs::default()) };
    given.submitted(vec![spec.clone(), WorkflowSpec { name: "w1".parse().expect("a name"), ..spec }]).ready(1);
    for number in 1..=2 {
        given.assigned(0, number, 1);
        exits(&mut given, 0, number, 7);
        assert_eq!(phase(&given, 0), Phase::Waiting);
    }
    given.assigned(0, 3, 1);
    exits(&mut given, 0, 3, 7);
    let failed = |code| Phase::Over(Outcome::Failed { exit: Exit::exited(code), missing: Vec::new() });
    assert_eq!(phase(&given, 0), failed(7), "twice more and no more");
    given.assigned(1, 1, 1);
    exits(&mut given, 1, 1, 8);
    assert_eq!(phase(&given, 1), failed(8), "another code");
}

#[test]
fn a_workflow_is_given_up_after_too_many_losses() {
    let mut given = Given::with_max(1);
    let settings = Settings { max_losses: 2, ..Settings::default() };
    given.has([SettingsChanged { settings }]).submitted(specs(&[&[], &[0]])).ready(1);
    for number in 1..=2 {
        given.assigned(0, number, 1).has([AttemptLost { attempt: attempt(0, number), loss: Loss::ProcessLost }]);
        assert_eq!(phase(&given, 0), Phase::Waiting);
    }
    for number in 3..=9 {
        given.assigned(0, number, 1).has([AttemptLost { attempt: attempt(0, number), loss: Loss::NeverBegun }]);
        assert_eq!(phase(&given, 0), Phase::Waiting, "what never began does not count");
    }
    given.assigned(0, 10, 1).has([stopped(1, StopReason::Interrupted, Certificate::Terminated)]);
    assert_eq!(phase(&given, 0), Phase::Waiting, "an interruption is counted apart");
    given.ready(2).assigned(0, 11, 2).has([stopped(2, StopReason::BootTimeout, Certificate::Terminated)]);
    assert_eq!(phase(&given, 0), Phase::Over(Outcome::Lost(Loss::RunnerLost)));
    assert_eq!(given.plan(None).items[..], [Item::Skip { workflow: workflow(1), cause: workflow(0) }]);
}

#[test]
fn a_success_whose_artifacts_are_missing_is_a_failure_that_is_not_tried_again() {
    let mut given = Given::with_max(1);
    let retry = Some(Retry { max: 2, on_exit_codes: Vec::new() });
    given.submitted(vec![WorkflowSpec { retry, ..samples::workflow("w0", Needs::default()) }]).ready(1);
    given.assigned(0, 1, 1).has([AttemptExited { attempt: attempt(0, 1), exit: Exit::exited(0) }]);
    let missing = vec!["out".to_owned()];
    given.has([ResultsKept { attempt: attempt(0, 1), manifest: None, missing: missing.clone() }]);
    assert_eq!(phase(&given, 0), Phase::Over(Outcome::Failed { exit: Exit::exited(0), missing }));
}

#[test]
fn exit_zero_is_not_yet_success() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[], &[0]])).ready(1).assigned(0, 1, 1);
    given.has([AttemptExited { attempt: attempt(0, 1), exit: Exit::exited(0) }]);
    assert_eq!(given.state().queue().len(), 0);
    given.has([AttemptLost { attempt: attempt(0, 1), loss: Loss::ResultsLost }]);
    assert_eq!(phase(&given, 0), Phase::Waiting);
    assert_eq!(given.state().workflow(workflow(0)).map(|workflow| workflow.losses), Some(1));
}

#[test]
fn runners_that_boot_and_die_pause_their_rule_until_one_finishes_work() {
    let mut given = Given::with_max(9);
    for number in 1..=5 {
        assert_eq!(given.state().rules()[&small().rule_key()].paused_until, None);
        given.launched(number).has([stopped(number, StopReason::BootTimeout, Certificate::Terminated)]);
    }
    given.submitted(specs(&[&[]]));
    let until = given.0.now().plus(Span::from_mins(3));
    let plan = given.plan(None);
    assert_eq!(plan.waiting[&Needs::default()], WaitReason::Paused { rule: small().rule_key(), until });
    assert_eq!(plan.next_wake, Some(until));
    given.ready(6).assigned(0, 1, 6);
    exits(&mut given, 0, 1, 1);
    assert_eq!(given.state().rules()[&small().rule_key()].paused_until, None);
}

#[test]
fn a_full_zone_is_passed_over_for_the_next_and_then_for_the_next_offering() {
    let mut given = Given::with_max(9);
    let big = samples::offering("big", Purchase::OnDemand, 8);
    given.has([RuleAllowed { max: 1, min: 0, offering: big.clone() }]).submitted(specs(&[&[]]));
    let rule = small().rule_key();
    let said = |zone: Option<&str>| OfferingUnavailable {
        rule: rule.clone(),
        zone: zone.map(str::to_owned),
        pause: Some(Span::from_secs(180)),
        why: "none left".to_owned(),
    };
    let launch =
        |rule: RuleKey, zone: &str| Item::Launch { rule, zone: zone.to_owned(), why: LaunchReason::For(workflow(0)) };
    assert_eq!(given.plan(None).items, [launch(rule.clone(), "a")]);
    given.has([said(Some("a"))]);
    assert_eq!(given.plan(None).items, [launch(rule.clone(), "b")]);
    given.has([said(None)]);
    assert_eq!(given.plan(None).items, [launch(big.rule_key(), "a")]);
    given.has([RuleBlocked { rule: big.rule_key(), why: "no".to_owned() }]);
    let plan = given.plan(None);
    let until = Some(given.0.now().plus(Span::from_secs(180)));
    let why = "none left".to_owned();
    assert_eq!(plan.waiting[&Needs::default()], WaitReason::Unavailable { rule: rule.clone(), until, why });
    assert_eq!(plan.next_wake, until);
    given.secs(180);
    assert_eq!(given.plan(None).items, [launch(rule, "a")]);
}

/// What a launch carries may be what the cloud refused: a setting that mends it is tried at once, another one is not.
#[test]
fn a_blocked_rule_is_tried_again_once_what_launches_carry_is_changed() {
    let changes: [fn(&mut Settings); 3] = [
        |settings| settings.image = Some("other".to_owned()),
        |settings| settings.launch.ssh_from = Some("203.0.113.7/32".to_owned()),
        |settings| settings.launch.ssh_user = Some("admin".to_owned()),
    ];
    for change in changes {
        let mut given = Given::with_max(1);
        given.submitted(specs(&[&[]])).has([RuleBlocked { rule: small().rule_key(), why: "no".to_owned() }]);
        let mut settings = given.state().settings().clone();
        settings.idle_timeout = Span::from_secs(7);
        given.has([SettingsChanged { settings: settings.clone() }]);
        assert_eq!(given.state().rules()[&small().rule_key()].blocked.as_deref(), Some("no"));
        assert!(given.plan(None).items.is_empty(), "it waits for something that bears on launches");
        change(&mut settings);
        given.has([SettingsChanged { settings: settings.clone() }]);
        let launch = LaunchReason::For(workflow(0));
        let launch = Item::Launch { rule: small().rule_key(), zone: "a".to_owned(), why: launch };
        assert_eq!(given.plan(None).items, [launch]);
        given.has([RuleBlocked { rule: small().rule_key(), why: "no".to_owned() }]);
        given.has([SettingsChanged { settings }]);
        assert!(given.plan(None).items.is_empty(), "the same settings once more change nothing");
    }
}

#[test]
fn higher_priority_goes_first_and_equals_by_their_place() {
    let mut given = Given::with_max(1);
    let mut specs = specs(&[&[], &[], &[]]);
    specs[2].priority = 1;
    given.submitted(specs).ready(1);
    assert_eq!(given.plan(None).items[0], Item::Assign { attempt: attempt(2, 1), runner: runner(1), why: Fit::Alone });
    given.assigned(2, 1, 1);
    exits(&mut given, 2, 1, 0);
    assert_eq!(given.plan(None).items[0], Item::Assign { attempt: attempt(0, 1), runner: runner(1), why: Fit::Alone });
}

#[test]
fn a_machine_bought_otherwise_than_asked_is_quarantined() {
    let mut given = Given::with_max(1);
    given.wanted(1);
    let other = dstack_core::cloud::Machine { purchase: Purchase::Spot, ..machine(1) };
    let launched = RunnerLaunched { runner: runner(1), machine: other.id.clone(), address: other.address.clone() };
    let why = "a on-demand machine was asked for, a spot one was given".to_owned();
    let expected: Vec<Event> = vec![launched.into(), stopping(1, StopReason::Quarantined(why)).into()];
    assert_eq!(given.answered(1, 1, Ok(other)), expected);
}

#[test]
fn a_timer_that_has_run_out_asks_for_a_look_of_its_own_scope() {
    let mut given = Given::with_max(1);
    given.launched(1);
    let deadline = given.0.now().plus(given.state().settings().boot_timeout);
    assert!(given.plan(None).overdue.is_empty());
    given.secs(3_600);
    for looked in [None, Some(3_599)] {
        let plan = given.plan(looked);
        assert_eq!((plan.items, plan.overdue), (Vec::new(), BTreeMap::from([(small().scope, deadline)])));
    }
    assert!(given.plan(Some(1)).overdue.is_empty(), "a look has begun since: it fires");
}

#[test]
fn an_answer_that_a_look_was_faster_than_adds_nothing() {
    let mut given = Given::with_max(1);
    given.launched(1);
    let early = dstack_core::cloud::Machine { address: None, ..machine(1) };
    assert_eq!(given.answered(1, 1, Ok(early)), Vec::new(), "it had no address yet");
    let moved = dstack_core::cloud::Machine { address: Some(Address("there".to_owned())), ..machine(1) };
    assert_eq!(given.answered(1, 1, Ok(moved)), Vec::new(), "looks know where it is");
    assert_eq!(given.answered(1, 1, Ok(machine(2))), Vec::new(), "looks raise the alarm for another machine");
    let other = dstack_core::cloud::Machine { purchase: Purchase::Spot, ..machine(1) };
    let why = "a on-demand machine was asked for, a spot one was given".to_owned();
    let quarantined = stopping(1, StopReason::Quarantined(why));
    assert_eq!(given.answered(1, 1, Ok(other.clone())), vec![quarantined.clone().into()]);
    given.has([quarantined]);
    assert_eq!(given.answered(1, 1, Ok(other)), Vec::new());
}

#[test]
fn the_same_observation_twice_adds_nothing_the_second_time() {
    let mut given = Given::with_max(2);
    given.submitted(specs(&[&[]])).wanted(1);
    let seen = |given: &mut Given, observation: Observation| {
        let events = given.sees(&observation);
        assert!(!events.is_empty(), "{observation:?} says nothing");
        given.has(events);
        assert_eq!(given.sees(&observation), Vec::new(), "{observation:?} again");
    };
    let answer = Ok(machine(1));
    seen(&mut given, Observation::LaunchAnswered { runner: runner(1), claim: ClaimNumber(1), answer, greeting: None });
    seen(&mut given, Observation::Answered { runner: runner(1), greeting: Greeting::default() });
    given.assigned(0, 1, 1);
    seen(&mut given, Observation::Exited { attempt: attempt(0, 1), exit: Exit::exited(0) });
    seen(&mut given, Observation::Kept { attempt: attempt(0, 1), manifest: None, missing: Vec::new() });
    seen(&mut given, Observation::Noticed { machine: machine(1).id, deadline: None });
    seen(&mut given, Observation::Changed { runner: runner(1), why: "another boot".to_owned() });
}

#[test]
fn a_second_exit_of_an_attempt_changes_nothing() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[]])).ready(1).assigned(0, 1, 1);
    given.has([AttemptExited { attempt: attempt(0, 1), exit: Exit::exited(0) }]);
    given.has([AttemptExited { attempt: attempt(0, 1), exit: Exit::exited(9) }]);
    assert_eq!(phase(&given, 0), Phase::Exited(runner(1), Exit::exited(0)));
}

#[test]
fn a_claim_beside_an_open_one_is_a_fault_and_gives_nobody_a_right() {
    let mut given = Given::with_max(1);
    given.wanted(1);
    given.0.append(&[claim(1, 2).into()]);
    assert_eq!(given.state().faults().count(), 1);
    assert_eq!(given.state().runners()[&runner(1)].claim.as_ref().map(|claim| claim.number), Some(ClaimNumber(1)));
}

/// Three runners are wanted and nobody may send for them. So many claims may be open at once; one more is open already or not.
#[test]
fn claims_are_renewed_in_the_order_of_the_wishes_and_no_more_than_may_be_open() {
    let renewed = |allowance: u32, is_one_open: bool| {
        let mut given = Given::with_max(4);
        given.submitted(specs(&[&[], &[], &[]]));
        for number in 1..=3 {
            given.wanted(number).has([closed(number, 1, ClaimEnd::Waited)]);
        }
        if is_one_open {
            given.wanted(4);
        }
        let known = ScopeTick { last_look: None, allowance };
        let scopes = BTreeMap::from([(small().scope, known)]);
        let plan = schedule(given.state(), &Tick { at: given.0.now(), scopes, ..Tick::default() });
        let claimed = |item: &Item| match item {
            Item::Claim { runner, claim } => (*runner, *claim),
            other => panic!("nothing else is to be done: {other:?}"),
        };
        plan.items.iter().map(claimed).collect::<Vec<_>>()
    };
    let second = |numbers: &[u64]| numbers.iter().map(|number| (runner(*number), ClaimNumber(2))).collect::<Vec<_>>();
    for (allowance, is_one_open, expected) in [
        (0, false, second(&[])),
        (1, false, second(&[1])),
        (2, false, second(&[1, 2])),
        (9, false, second(&[1, 2, 3])),
        (1, true, second(&[])),
        (2, true, second(&[1])),
        (3, true, second(&[1, 2])),
    ] {
        assert_eq!(renewed(allowance, is_one_open), expected, "{allowance} {is_one_open}");
    }
}

/// Found by the simulator with `engine.entropy_repeated`: two runners with one token were one machine.
#[test]
fn ids_that_the_log_knows_are_drawn_anew() {
    let mut given = Given::with_max(2);
    given.submitted(specs(&[&[], &[]])).ready(1).assigned(0, 1, 1);
    let known = given.state().runners()[&runner(1)].request.launch.to_bits();
    let entropy = |bits: u64| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&bits.to_be_bytes());
        bytes
    };
    let plan = given.plan(None);
    assert!(matches!(plan.items[..], [Item::Launch { .. }]), "{:?}", plan.items);
    let mut draws = [known, 77, runner(1).to_bits(), 78].into_iter();
    let events =
        plan.clone().into_events(given.state(), ME, &mut || entropy(draws.next().expect("four draws are enough")));
    let [Event::RunnerWanted(wanted), Event::ClaimMade(_)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((wanted.request.launch.to_bits(), wanted.runner.to_bits()), (77, 78));
    assert_eq!(plan.into_events(given.state(), ME, &mut || entropy(known)), [], "nothing new comes");
}
