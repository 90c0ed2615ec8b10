//! What the cloud refuses: quotas and their scope, credentials, rules that are on trial; prices that move.

use dstack_core::cloud::LaunchError;
use dstack_core::model::event::*;
use dstack_core::model::*;
use dstack_core::testkit::samples;

use super::given::*;

fn launches(plan: &Plan) -> usize {
    plan.items.iter().filter(|item| matches!(item, Item::Launch { .. })).count()
}

#[test]
fn a_quota_pauses_what_counts_against_it_and_asks_for_no_less() {
    let mut given = Given::with_max(2);
    let big = samples::offering("big", Purchase::OnDemand, 8);
    let tiny = samples::offering("tiny", Purchase::OnDemand, 1);
    let gpu = Offering { quota: Some("G".to_owned()), ..samples::offering("gpu", Purchase::OnDemand, 8) };
    let spot = samples::offering("big", Purchase::Spot, 8);
    for offering in [big.clone(), tiny, gpu, spot] {
        given.has([RuleAllowed { max: 1, min: 0, offering }]);
    }
    given.wanted(1);
    let why = "VcpuLimitExceeded".to_owned();
    let events = given.answered(1, 1, Err(LaunchError::Quota(why.clone())));
    let said =
        |rule| OfferingUnavailable { rule, zone: None, pause: Some(Span::from_mins(30)), why: why.clone() }.into();
    let expected: [Event; 2] = [said(small().rule_key()), said(big.rule_key())];
    assert_eq!(events[..2], expected);
    assert_eq!(events.len(), 4, "then the launch failed, and its slot is free");
    given.has(events);
    assert_eq!(given.answered(1, 1, Err(LaunchError::Quota(why))), Vec::new());
}

#[test]
fn refused_credentials_are_nobodys_fault_and_are_tried_again_ever_later() {
    let mut given = Given::with_max(2);
    given.submitted(specs(&[&[], &[]])).wanted(1);
    let refused = |given: &Given, claim| given.answered(1, claim, Err(LaunchError::Credentials("expired".to_owned())));
    let mut pauses = Vec::new();
    for number in 1..=6 {
        let events = refused(&given, number);
        let [Event::CredentialsRefused(said)] = &events[..] else { panic!("nothing but that: {events:?}") };
        pauses.push(said.pause.as_secs());
        given.has(events);
        assert_eq!(refused(&given, number), Vec::new(), "it is known");
        given.has([closed(1, number, ClaimEnd::Unsent)]);
        let plan = given.plan(Some(0));
        assert_eq!(plan.items, [], "nothing is launched there");
        let until = given.0.now().plus(Span::from_secs(pauses.last().copied().unwrap_or_default()));
        let (scope, why) = (small().scope, "expired".to_owned());
        assert_eq!(
            plan.waiting[&Needs::default()],
            WaitReason::Credentials { scope, until: Some(until), why },
            "of two workflows one is promised the runner that is wanted"
        );
        assert_eq!(plan.next_wake, Some(until));
        given.secs(pauses.last().copied().unwrap_or_default());
        given.has([claim(1, number + 1)]);
    }
    assert_eq!(pauses, [30, 60, 120, 240, 300, 300]);
    assert!(given.state().runners()[&runner(1)].since.plus(Span::from_mins(5)) < given.0.now());
    assert_eq!(launches(&given.plan(Some(0))), 1, "the launch is not late: the other one is tried");
    let rule = &given.state().rules()[&small().rule_key()];
    assert_eq!((rule.strikes, rule.blocked.clone(), rule.unavailable.len()), (0, None, 0));
    let dstack_core::cloud::Machine { id, address, .. } = machine(1);
    given.has([RunnerLaunched { runner: runner(1), machine: id, address }]);
    assert!(given.state().credentials().is_empty(), "a launch went through");
}

/// Before anything is launched its scope is looked at: whoever waits reads why that fails.
#[test]
fn credentials_that_are_refused_to_a_look_are_known_before_any_launch() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[]]));
    let refused = Observation::Unaccepted { scope: small().scope, why: "expired\n".to_owned() };
    let events = given.sees(&refused);
    let (scope, why, pause) = (small().scope, "expired".to_owned(), Span::from_secs(30));
    assert_eq!(events, [CredentialsRefused { scope: scope.clone(), pause, why: why.clone() }.into()]);
    given.has(events);
    assert_eq!(given.sees(&refused), [], "it is known");
    let until = Some(given.0.now().plus(pause));
    let plan = given.plan(Some(0));
    assert_eq!(
        (plan.items.len(), &plan.waiting[&Needs::default()]),
        (0, &WaitReason::Credentials { scope, until, why })
    );
}

#[test]
fn a_runner_is_not_sent_again_while_the_credentials_are_not_accepted() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[]])).wanted(1).has([closed(1, 1, ClaimEnd::Unsent)]);
    let (scope, why) = (small().scope, "expired".to_owned());
    given.has([CredentialsRefused { scope, pause: Span::from_secs(60), why }]);
    assert_eq!(given.plan(Some(0)).items, []);
    given.secs(60);
    assert_eq!(given.plan(Some(0)).items, [Item::Claim { runner: runner(1), claim: ClaimNumber(2) }]);
}

/// Its workflow was stopped in a night of refused credentials: nobody sends for it in the morning.
#[test]
fn a_runner_that_nobody_needs_any_more_is_not_sent_again() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[]])).wanted(1);
    let idle = [Item::Stop { runner: runner(1), reason: StopReason::Idle }];
    assert_eq!(given.plan(Some(0)).items, [], "somebody may be sending for it");
    given.has([closed(1, 1, ClaimEnd::Unsent)]);
    assert_eq!(given.plan(Some(0)).items, [Item::Claim { runner: runner(1), claim: ClaimNumber(2) }]);
    let stop = Command::Stop { run: RunId::from_bits(1), workflow: None, abort: true };
    given.has(decide(given.state(), stop).expect("it is open"));
    assert_eq!(given.plan(Some(0)).items, idle);
    given.has([RuleAllowed { max: 1, min: 1, offering: small() }]);
    assert_eq!(
        given.plan(Some(0)).items,
        [Item::Claim { runner: runner(1), claim: ClaimNumber(2) }],
        "it is to be warm"
    );
}

#[test]
fn after_a_pause_one_runner_alone_is_tried() {
    let mut given = Given::with_max(9);
    for number in 1..=5 {
        given.launched(number).has([stopped(number, StopReason::BootTimeout, Certificate::Terminated)]);
    }
    given.submitted(specs(&[&[], &[], &[]])).secs(180);
    let plan = given.plan(Some(0));
    assert_eq!(launches(&plan), 1);
    let rule = small().rule_key();
    assert_eq!(plan.waiting[&Needs::default()], WaitReason::OnTrial { rule: rule.clone(), until: None });
    given.ready(6);
    let plan = given.plan(Some(0));
    let until = given.0.now().plus(Span::from_mins(10));
    assert_eq!(plan.waiting[&Needs::default()], WaitReason::OnTrial { rule, until: Some(until) });
    assert_eq!(plan.next_wake, Some(until));
    given.assigned(0, 1, 6).secs(600);
    assert_eq!(launches(&given.plan(Some(0))), 2, "it has lived for long enough, whatever it does");
    given.has([AttemptExited { attempt: attempt(0, 1), exit: Exit::exited(1) }]);
    assert!(!given.state().rules()[&small().rule_key()].is_on_trial());
}

/// A type that boots and dies at once: each of its runners is launched, and dies before it has done anything.
#[test]
fn a_type_that_boots_and_dies_is_launched_ever_more_rarely() {
    let mut given = Given::with_max(3);
    given.submitted(specs(&[&[], &[], &[], &[]]));
    let mut by_hour = [0_usize; 6];
    let mut number = 0;
    for minute in 0..360 {
        let wanted = launches(&given.plan(Some(0)));
        by_hour[minute / 60] += wanted;
        for _ in 0..wanted {
            number += 1;
            given.launched(number).has([stopped(number, StopReason::BootTimeout, Certificate::Terminated)]);
        }
        given.secs(60);
    }
    assert!(by_hour[0] <= 12, "{by_hour:?}");
    assert!(by_hour[2..].iter().all(|count| *count <= 2), "{by_hour:?}");
}

#[test]
fn a_price_is_recorded_hourly_if_it_moved_by_five_per_cent_and_only_of_what_is_allowed() {
    let mut given = Given::with_max(1);
    let other = samples::offering("big", Purchase::OnDemand, 8);
    let at = |given: &Given, percent: u64| {
        let priced = |offering: Offering| Offering {
            price: offering.price.map(|price| MicroUsd(price.0 * percent / 100)),
            ..offering
        };
        given.sees(&Observation::Priced { at: given.0.now(), offerings: vec![priced(small()), priced(other.clone())] })
    };
    given.secs(3_599);
    assert_eq!(at(&given, 200), [], "too early");
    given.secs(1);
    for percent in [96, 100, 104] {
        assert_eq!(at(&given, percent), [], "{percent}");
    }
    for percent in [95, 105] {
        let price = MicroUsd(120_000 * percent / 100);
        assert_eq!(at(&given, percent), [PriceSeen { rule: small().rule_key(), price }.into()]);
    }
    given.has(at(&given, 105));
    assert_eq!(at(&given, 200), [], "an hour has not passed since");
    let elsewhere = Offering { scope: samples::scope("acme", "south"), price: Some(MicroUsd(1)), ..small() };
    given.secs(3_600);
    assert_eq!(given.sees(&Observation::Priced { at: given.0.now(), offerings: vec![elsewhere] }), []);
}
