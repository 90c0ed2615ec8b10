//! What fits where: accelerators, disk, wishes, zones; runners that are kept warm; what is saved before a runner is taken.

use dstack_core::model::event::*;
use dstack_core::model::plan::{Fit, LaunchReason, WaitReason};
use dstack_core::model::state::Phase;
use dstack_core::model::*;
use dstack_core::testkit::floor::{Delays, Floor};
use dstack_core::testkit::samples;

use super::given::*;

fn gpus(name: &str, count: u32, gib: u64) -> Offering {
    let gpus = Some(Gpus { name: name.to_owned(), count, memory: Bytes::from_gib(gib) });
    let cpus = u64::from(count) * 4;
    let plain = samples::offering(&format!("{}-{count}", name.to_lowercase()), Purchase::OnDemand, cpus);
    // Dearer than any machine without accelerators.
    let price = plain.price.map(|price| MicroUsd(price.0 * 10));
    Offering { gpus, price, ..plain }
}

fn gpu(names: &[&str], count: u32, gib: Option<u64>) -> Needs {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let gpu = Some(GpuNeed { names, count, memory: gib.map(Bytes::from_gib) });
    Needs { gpu, ..samples::needs(1_000, 1) }
}

/// A floor where machines are there at once, with these rules.
fn floor(offerings: &[Offering]) -> Floor {
    let mut floor = Floor::new(Delays { launch: Span::ZERO, boot: Span::ZERO, ..Delays::default() });
    for offering in offerings {
        floor.allow(offering.clone(), 9, 0);
    }
    floor
}

/// Runs workflows with these needs for an hour; says on which types of runners they are, one list for each runner.
fn placed(floor: &mut Floor, needs: &[Needs]) -> Vec<(String, usize)> {
    for needs in needs {
        floor.submit(vec![(samples::workflow("w", needs.clone()), Span::from_mins(60))]);
    }
    floor.decide(&mut schedule);
    floor.run_until(floor.now().plus(Span::from_secs(1)), &mut schedule);
    let on = |runner: &state::Runner| (runner.request.rule.instance_type.clone(), runner.attempts.len());
    let mut placed: Vec<_> = floor.state().live_runners().map(|(_, runner)| on(runner)).collect();
    placed.sort();
    placed
}

fn of(kinds: &[(&str, usize)]) -> Vec<(String, usize)> {
    kinds.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn accelerators_are_matched_by_name_count_and_memory() {
    let all = [gpus("T4", 1, 16), gpus("T4", 4, 16), gpus("A10G", 1, 22), gpus("A100", 8, 40)];
    for (needs, expected) in [
        (gpu(&[], 1, None), "a10g-1"),
        (gpu(&["t4"], 1, None), "t4-1"),
        (gpu(&["T4"], 2, None), "t4-4"),
        (gpu(&[], 1, Some(20)), "a10g-1"),
        (gpu(&[], 1, Some(23)), "a100-8"),
        (gpu(&["T4", "A100"], 5, None), "a100-8"),
    ] {
        assert_eq!(placed(&mut floor(&all), std::slice::from_ref(&needs)), of(&[(expected, 1)]), "{needs}");
    }
    let mut floor = floor(&all);
    for needs in [gpu(&["T4"], 5, None), gpu(&["T"], 1, None), gpu(&["T4"], 1, Some(17))] {
        assert_eq!(placed(&mut floor, std::slice::from_ref(&needs)), of(&[]));
        assert_eq!(floor.decide(&mut schedule).waiting[&needs], WaitReason::NoFittingRule, "{needs}");
    }
}

#[test]
fn accelerators_of_one_runner_are_shared_whole() {
    let mut floor = floor(&[gpus("T4", 4, 16)]);
    let [one, two, three] = [1, 2, 3].map(|count| gpu(&[], count, None));
    assert_eq!(placed(&mut floor, &[three, one.clone(), two.clone(), two]), of(&[("t4-4", 2), ("t4-4", 2)]));
    assert_eq!(placed(&mut floor, &[one]), of(&[("t4-4", 1), ("t4-4", 2), ("t4-4", 2)]));
}

#[test]
fn work_without_accelerators_leaves_them_free_where_it_can() {
    let mut floor = floor(&[gpus("T4", 1, 16), samples::offering("plain", Purchase::OnDemand, 8)]);
    placed(&mut floor, &[gpu(&[], 1, None), samples::needs(8_000, 1)]);
    // Only the dear one has room.
    let busy = placed(&mut floor, &[samples::needs(1_000, 1)]);
    assert_eq!(busy, of(&[("plain", 1), ("t4-1", 2)]));
    let mut floor = self::floor(&[gpus("T4", 2, 16), samples::offering("plain", Purchase::OnDemand, 16)]);
    placed(&mut floor, &[gpu(&[], 1, None), samples::needs(9_000, 1)]);
    let busy = placed(&mut floor, &[samples::needs(1_000, 1)]);
    assert_eq!(busy, of(&[("plain", 2), ("t4-2", 1)]), "the dear one is not kept alive for it");
}

#[test]
fn disk_is_shared_like_the_rest() {
    let needs = |gib| Needs { disk: Some(Bytes::from_gib(gib)), ..samples::needs(250, 1) };
    let mut floor = floor(&[samples::offering("small", Purchase::OnDemand, 2)]);
    assert_eq!(placed(&mut floor, &[needs(60), needs(40), needs(1)]), of(&[("small", 1), ("small", 2)]));
    placed(&mut floor, &[needs(101)]);
    assert_eq!(floor.decide(&mut schedule).waiting[&needs(101)], WaitReason::NoFittingRule);
}

#[test]
fn wishes_for_a_type_and_a_way_of_buying_are_kept() {
    let all = [
        samples::offering("small", Purchase::Spot, 2),
        samples::offering("small", Purchase::OnDemand, 2),
        samples::offering("big", Purchase::OnDemand, 8),
    ];
    let mut floor = floor(&all);
    let wish = |instance_type: Option<&str>, purchase| Needs {
        instance_type: instance_type.map(str::to_owned),
        purchase,
        ..samples::needs(500, 1)
    };
    let launched = |floor: &mut Floor, needs: Needs| {
        floor.submit(vec![(samples::workflow("w", needs), Span::from_mins(60))]);
        let plan = floor.decide(&mut schedule);
        plan.items.iter().find_map(|item| match item {
            Item::Launch { rule, .. } => Some((rule.instance_type.clone(), rule.purchase)),
            Item::Skip { .. } | Item::Assign { .. } | Item::Claim { .. } | Item::Stop { .. } => None,
        })
    };
    let on_demand = Some(Purchase::OnDemand);
    assert_eq!(launched(&mut floor, wish(None, None)), Some(("small".to_owned(), Purchase::Spot)));
    assert_eq!(launched(&mut floor, wish(None, on_demand)), Some(("small".to_owned(), Purchase::OnDemand)));
    assert_eq!(launched(&mut floor, wish(Some("big"), None)), Some(("big".to_owned(), Purchase::OnDemand)));
    assert_eq!(launched(&mut floor, wish(Some("small"), on_demand)), None, "one of that kind is starting");
    assert_eq!(launched(&mut floor, wish(Some("big"), Some(Purchase::Spot))), None);
}

#[test]
fn a_zone_without_capacity_is_answered_by_a_launch_in_the_next_one_in_the_same_step() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[]]));
    let why = || "none left".to_owned();
    for zone in ["a", "b"] {
        let plan = given.plan(None);
        let [Item::Launch { zone: planned, .. }] = &plan.items[..] else { panic!("{:?}", plan.items) };
        assert_eq!(planned, zone);
        let mut number = if zone == "a" { 1 } else { 2 };
        let events = plan.into_events(given.state(), ME, &mut || {
            number += 10;
            [number; 16]
        });
        let Event::RunnerWanted(wanted) = events[0].clone() else { panic!("{events:?}") };
        given.has(events);
        let answer = Err(dstack_core::cloud::LaunchError::Capacity { why: why(), all_zones: false, permanent: false });
        let refused =
            Observation::LaunchAnswered { runner: wanted.runner, claim: ClaimNumber(1), answer, greeting: None };
        given.has(given.sees(&refused));
    }
    let plan = given.plan(None);
    let until = Some(given.0.now().plus(Span::from_mins(3)));
    assert_eq!(plan.items, []);
    assert_eq!(
        plan.waiting[&Needs::default()],
        WaitReason::Unavailable { rule: small().rule_key(), until, why: why() }
    );
}

#[test]
fn the_cheapest_by_its_newest_price_goes_first() {
    let mut given = Given::with_max(9);
    let big = samples::offering("big", Purchase::OnDemand, 8);
    given.has([RuleAllowed { max: 9, min: 0, offering: big.clone() }]).submitted(specs(&[&[]]));
    let rule = |plan: &Plan| match &plan.items[..] {
        [Item::Launch { rule, why: LaunchReason::For(_), .. }] => Some(rule.clone()),
        [..] => None,
    };
    assert_eq!(rule(&given.plan(None)), Some(small().rule_key()));
    given.has([PriceSeen { rule: big.rule_key(), price: MicroUsd(1) }]);
    assert_eq!(rule(&given.plan(None)), Some(big.rule_key()));
}

#[test]
fn the_order_in_which_rules_are_made_changes_nothing() {
    let plans = |offerings: Vec<Offering>| {
        let mut given = Given::with_max(1);
        for offering in offerings {
            given.has([RuleAllowed { max: 1, min: 0, offering }]);
        }
        let specs = samples::shapes().into_iter().zip(0..);
        given.submitted(specs.map(|(needs, index)| samples::workflow(&format!("w{index}"), needs)).collect());
        let Plan { items, waiting, .. } = given.plan(None);
        (items, waiting)
    };
    let forwards = samples::offerings();
    let backwards = forwards.iter().rev().cloned().collect();
    assert_eq!(plans(forwards), plans(backwards));
}

#[test]
fn a_maximum_of_nothing_says_so() {
    let mut given = Given::with_max(0);
    given.submitted(specs(&[&[]]));
    assert_eq!(
        given.plan(None).waiting[&Needs::default()],
        WaitReason::MaximumZero([small().rule_key().into()].into())
    );
    let big = samples::offering("big", Purchase::OnDemand, 8);
    given
        .has([RuleAllowed { max: 1, min: 0, offering: big.clone() }])
        .has([RuleBlocked { rule: big.rule_key(), why: "no".to_owned() }]);
    let blocked = WaitReason::Blocked { rule: big.rule_key(), why: "no".to_owned() };
    assert_eq!(given.plan(None).waiting[&Needs::default()], blocked, "what can be mended first");
}

/// What a shared machine has no room for says nothing about what needs less of it.
#[test]
fn a_full_pool_refuses_only_what_does_not_fit_in() {
    let mut given = Given::with_max(0);
    let pooled = Offering { pooled: true, ..samples::offering("small", Purchase::OnDemand, 4) };
    given.has([RuleAllowed { max: 2, min: 0, offering: pooled }]);
    let alone = |name, cpu| samples::workflow(name, Needs { cpu: Some(MilliCpu(cpu)), ..Needs::default() });
    given.submitted(vec![alone("w0", 3_000), alone("w1", 2_000), alone("w2", 1_000)]).ready(1).assigned(0, 1, 1);
    let plan = given.plan(None);
    let why = LaunchReason::For(workflow(2));
    assert_eq!(plan.items, [Item::Launch { rule: small().rule_key(), zone: "a".to_owned(), why }]);
    let needs = Needs { cpu: Some(MilliCpu(2_000)), ..Needs::default() };
    assert_eq!(plan.waiting[&needs], WaitReason::PoolFull(small().rule_key()));
}

fn warm(max: u32, min: u32) -> Given {
    let mut given = Given::with_max(0);
    given.has([RuleAllowed { max, min, offering: small() }]);
    given
}

fn launches(plan: &Plan) -> usize {
    let is_warm = |item: &&Item| matches!(item, Item::Launch { why: LaunchReason::Warm, .. });
    plan.items.iter().filter(is_warm).count()
}

#[test]
fn a_minimum_is_filled_and_what_is_idle_never_goes_below_it() {
    let mut given = warm(4, 2);
    assert_eq!(launches(&given.plan(None)), 2);
    given.ready(1).ready(2).ready(3).secs(301);
    let plan = given.plan(Some(0));
    assert_eq!(plan.items, [Item::Stop { runner: runner(1), reason: StopReason::Idle }], "one is spare");
    given.has([stopping(1, StopReason::Idle)]).secs(9_999);
    let plan = given.plan(None);
    assert_eq!((plan.items, plan.next_wake, plan.overdue.len()), (vec![], None, 0), "nothing is waited for");
    given.has([RunnerNoticed { runner: runner(2), deadline: None }]);
    assert_eq!(launches(&given.plan(Some(0))), 1, "one that the cloud takes back is made up for");
}

#[test]
fn a_minimum_waits_for_a_slot_and_says_so() {
    let mut given = warm(1, 1);
    given.ready(1).has([stopping(1, StopReason::ByHand)]);
    let plan = given.plan(None);
    assert_eq!(plan.items, []);
    assert_eq!(plan.unfilled[&small().rule_key()], WaitReason::AtMaximum([small().rule_key().into()].into()));
}

#[test]
fn what_waits_is_served_before_a_minimum_is_filled_and_counts_for_it() {
    let mut given = warm(2, 2);
    given.submitted(specs(&[&[]]));
    let plan = given.plan(None);
    let why: Vec<_> = plan
        .items
        .iter()
        .filter_map(|item| if let Item::Launch { why, .. } = item { Some(*why) } else { None })
        .collect();
    assert_eq!(why, [LaunchReason::For(workflow(0)), LaunchReason::Warm]);
}

#[test]
fn disabling_and_a_lower_maximum_override_a_minimum() {
    let mut given = warm(3, 2);
    given.ready(1).ready(2);
    let disabled = decide(given.state(), Command::Disable).expect("it is allowed");
    assert_eq!(disabled.len(), 3);
    let above = Command::Allow { offering: Box::new(small()), max: 1, min: 2 };
    assert_eq!(decide(given.state(), above), Err(Rejection::MinimumAboveMaximum { min: 2, max: 1 }));
    let lower = Command::Allow { offering: Box::new(small()), max: 1, min: 1 };
    given.has(decide(given.state(), lower).expect("it is allowed"));
    let left = |given: &Given| given.state().live_runners().filter(|(_, runner)| runner.takes_work()).count();
    assert_eq!(left(&given), 1);
    given.has(decide(given.state(), Command::Disable).expect("it is allowed")).secs(9_999);
    assert_eq!(given.plan(Some(0)).items, []);
}

#[test]
fn a_notice_saves_what_there_is_and_the_next_attempt_finds_it() {
    let mut given = Given::with_max(2);
    let with_artifacts =
        WorkflowSpec { artifacts: vec!["out".to_owned()], ..samples::workflow("w0", samples::needs(500, 1)) };
    given.submitted(vec![with_artifacts, samples::workflow("w1", samples::needs(500, 1))]).ready(1);
    given.assigned(0, 1, 1).assigned(1, 1, 1);
    let saves = |given: &Given| {
        let save = |action| if let Action::Save { attempt, .. } = action { Some(attempt) } else { None };
        outstanding(given.state()).into_iter().filter_map(save).collect::<Vec<_>>()
    };
    assert_eq!(saves(&given), []);
    given.has([RunnerNoticed { runner: runner(1), deadline: None }]);
    assert_eq!(saves(&given), [attempt(0, 1)], "the other declares none");
    let manifest = Some(BlobId([8; 32]));
    let seen = Observation::Saved { attempt: attempt(0, 1), manifest };
    given.has(given.sees(&seen));
    assert_eq!((saves(&given), given.sees(&seen)), (vec![], vec![]));
    given.has([stopped(1, StopReason::Interrupted, Certificate::Terminated)]);
    let again = given.state().workflow(workflow(0)).expect("it is known");
    assert_eq!((&again.phase, again.losses, again.interruptions), (&Phase::Waiting, 0, 1));
    assert_eq!(again.saved, Some(state::Saved { attempt: 1, manifest }));
    given.ready(2);
    let plan = given.plan(None);
    assert_eq!(plan.items[0], Item::Assign { attempt: attempt(0, 2), runner: runner(2), why: Fit::Alone });
    given.assigned(0, 2, 2).has([RunnerNoticed { runner: runner(2), deadline: None }]);
    given.has([ArtifactsSaved { attempt: attempt(0, 2), manifest: None }]);
    let kept = given.state().workflow(workflow(0)).and_then(|workflow| workflow.saved).map(|saved| saved.manifest);
    assert_eq!(kept, Some(manifest), "what was saved first is still better than nothing");
}

#[test]
fn each_class_of_retry_has_a_bound_of_its_own() {
    let mut given = Given::with_max(9);
    let settings = Settings { max_losses: 1, max_interruptions: 2, ..Settings::default() };
    let retry = Some(Retry { max: 1, on_exit_codes: Vec::new() });
    given.has([SettingsChanged { settings }]);
    given.submitted(vec![WorkflowSpec { retry, ..samples::workflow("w0", Needs::default()) }]);
    let phase = |given: &Given| given.state().workflow(workflow(0)).expect("it is known").phase.clone();
    let mut number = 0;
    let mut interrupted = |given: &mut Given| {
        number += 1;
        given.ready(number).assigned(0, u32::try_from(number).expect("it is small"), number);
        number
    };
    let exit = |given: &mut Given, number: u64, exit: Exit| {
        let attempt = attempt(0, u32::try_from(number).expect("it is small"));
        given.has([AttemptExited { attempt, exit }]).has([ResultsKept {
            attempt,
            manifest: None,
            missing: Vec::new(),
        }]);
    };
    for _ in 0..2 {
        let on = interrupted(&mut given);
        given.has([stopped(on, StopReason::Interrupted, Certificate::Terminated)]);
        assert_eq!(phase(&given), Phase::Waiting);
    }
    let on = interrupted(&mut given);
    given.has([stopped(on, StopReason::Lost("gone".to_owned()), Certificate::Gone)]);
    assert_eq!(phase(&given), Phase::Waiting);
    let on = interrupted(&mut given);
    exit(&mut given, on, Exit { code: 124, cause: ExitCause::Timeout });
    assert_eq!(phase(&given), Phase::Waiting);
    let on = interrupted(&mut given);
    exit(&mut given, on, Exit::exited(1));
    assert_eq!(phase(&given), Phase::Waiting);
    let counted = given.state().workflow(workflow(0)).map(|it| (it.interruptions, it.losses, it.timeouts, it.failures));
    assert_eq!(counted, Some((2, 1, 1, 1)));
    let on = interrupted(&mut given);
    exit(&mut given, on, Exit { code: 124, cause: ExitCause::Timeout });
    assert!(matches!(phase(&given), Phase::Over(state::Outcome::Failed { .. })), "a second timeout is one too many");
}
