//! What is said of one workflow agrees with the plan, and every obstacle has words of its own.

use dstack_core::cloud::LaunchError;
use dstack_core::model::event::*;
use dstack_core::model::explain::{Lack, RuleAnswer, RunnerAnswer, Standing, lacks};
use dstack_core::model::plan::ScopeTick;
use dstack_core::model::state::{MAX_STRIKES, Phase};
use dstack_core::model::*;
use dstack_core::testkit::history::Driver;
use dstack_core::testkit::{samples, strategy};
use proptest::prelude::*;

use super::given::*;

const ACTS: usize = 120;

/// An explanation agrees with the plan that it explains.
fn agrees(state: &State, tick: &Tick, plan: &Plan, id: WorkflowId) -> Result<(), TestCaseError> {
    let workflow = state.workflow(id).expect("it is known");
    let told = explain(state, tick, id).expect("it is known");
    let needs = &workflow.spec.needs;
    let answers = |rule: &RuleKey| told.rules.iter().find(|(key, _)| **key == *rule).map(|(_, answer)| answer);
    let of_runner = |runner: &RunnerId| told.runners.iter().find(|(id, _)| id == runner).map(|(_, answer)| answer);
    prop_assert_eq!(standing(state, plan, id), Some(told.standing.clone()));
    let waits_for_runner = workflow.phase == Phase::Waiting && workflow.unmet == 0;
    if waits_for_runner {
        prop_assert_eq!(told.rules.len(), state.rules().len());
        let fitting = state.live_runners().filter(|(_, runner)| needs.fit(&runner.offering));
        prop_assert_eq!(told.runners.len(), fitting.count());
        for (rule, answer) in &told.rules {
            let fits = needs.fit(&state.rules()[&**rule].offering);
            prop_assert_eq!(!matches!(answer, RuleAnswer::Unfit(_)), fits, "{}: {}", rule, answer);
        }
    }
    match &told.standing {
        Standing::Runs(runner) => prop_assert_eq!(workflow.runner(), Some(*runner)),
        Standing::Over => prop_assert!(workflow.is_over()),
        Standing::Dependencies(names) => prop_assert!(!names.is_empty() && workflow.unmet > 0),
        Standing::Hopeless(_) => {
            let is_skipped = |item: &Item| matches!(item, Item::Skip { workflow, .. } if *workflow == id);
            prop_assert!(plan.items.iter().any(is_skipped));
        }
        Standing::Placed(runner, _) => prop_assert_eq!(of_runner(runner), Some(&RunnerAnswer::Taken)),
        Standing::Starting(runner) => prop_assert_eq!(of_runner(runner), Some(&RunnerAnswer::Promised)),
        Standing::Launching => {
            let is_launch = |item: &Item| matches!(item, Item::Launch { .. });
            prop_assert!(plan.items.iter().any(is_launch));
        }
        Standing::Unplanned => prop_assert!(false, "all of the log is understood"),
        Standing::Waits { reason, .. } => {
            prop_assert!(waits_for_runner);
            for (rule, answer) in &told.rules {
                let is_free = matches!(answer, RuleAnswer::Free { .. });
                prop_assert!(!is_free, "{} is free, and it waits: {}", rule, reason);
            }
            for (runner, answer) in &told.runners {
                let goes = matches!(answer, RunnerAnswer::Taken | RunnerAnswer::Promised);
                prop_assert!(!goes, "{}: {}, and it waits: {}", runner, answer, reason);
            }
            match reason {
                WaitReason::AtMaximum(rules) => {
                    for rule in rules.iter() {
                        let is_full = matches!(answers(rule), Some(RuleAnswer::Full { .. }));
                        prop_assert!(is_full, "{}: {:?}", rule, answers(rule));
                    }
                }
                WaitReason::Blocked { rule, .. }
                | WaitReason::Unavailable { rule, .. }
                | WaitReason::Paused { rule, .. }
                | WaitReason::OnTrial { rule, .. } => {
                    let is_same = matches!(answers(rule), Some(RuleAnswer::Obstacle(told)) if told == reason);
                    prop_assert!(is_same, "{}: {:?}", reason, answers(rule));
                }
                // What comes after it and is smaller may take the last slot.
                WaitReason::PoolFull(rule) => {
                    let is_same = matches!(answers(rule), Some(RuleAnswer::Obstacle(told)) if told == reason);
                    let is_full = matches!(answers(rule), Some(RuleAnswer::Full { .. }));
                    prop_assert!(is_same || is_full, "{}: {:?}", reason, answers(rule));
                }
                WaitReason::Disabled
                | WaitReason::Credentials { .. }
                | WaitReason::Throttled
                | WaitReason::MaximumZero(_) => {
                    let says = |told: &WaitReason| std::mem::discriminant(told) == std::mem::discriminant(reason);
                    let is_told = told
                        .rules
                        .iter()
                        .any(|(_, answer)| matches!(answer, RuleAnswer::Obstacle(obstacle) if says(obstacle)));
                    let has_fitting = state.rules().values().any(|rule| needs.fit(&rule.offering));
                    prop_assert!(is_told || !has_fitting, "{}: {:?}", reason, told.rules);
                }
                WaitReason::NoFittingRule => {
                    prop_assert!(told.rules.iter().all(|(_, answer)| matches!(answer, RuleAnswer::Unfit(_))));
                }
                WaitReason::Kept(runner) | WaitReason::KeptForEarlier(runner) => {
                    let expected = if plan.kept[runner] == id {
                        RunnerAnswer::Kept
                    } else {
                        RunnerAnswer::KeptFor(plan.kept[runner])
                    };
                    prop_assert_eq!(of_runner(runner), Some(&expected));
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn an_explanation_agrees_with_the_plan(acts in strategy::acts(ACTS)) {
        let mut driver = Driver::new();
        for act in &acts {
            driver.act(act);
            let (state, tick) = (driver.state(), driver.tick());
            let plan = schedule(state, &tick);
            for (run, found) in state.runs() {
                for index in 0..u32::try_from(found.workflows.len()).expect("they are few") {
                    agrees(state, &tick, &plan, WorkflowId { run: *run, index })?;
                }
            }
        }
    }

    #[test]
    fn a_machine_lacks_nothing_where_the_needs_fit_it(needs in strategy::needs(), offering in strategy::offering()) {
        prop_assert_eq!(lacks(&needs, &offering).is_empty(), needs.fit(&offering));
    }
}

fn tick(given: &Given, allowance: u32) -> Tick {
    let known = ScopeTick { last_look: None, allowance };
    let scopes = given.state().scopes().into_iter().map(|scope| (scope, known)).collect();
    Tick { at: given.0.now(), scopes, ..Tick::default() }
}

fn told(given: &Given, index: u32) -> Explanation {
    explain(given.state(), &tick(given, 9), workflow(index)).expect("it was submitted")
}

/// The only rule's answer, and where the first workflow stands.
fn of_rule(given: &Given) -> (String, String) {
    let told = told(given, 0);
    let [(_, answer)] = &told.rules[..] else { panic!("there is one rule: {told}") };
    (answer.to_string(), told.standing.to_string())
}

/// After `prepare` one workflow waits; says the rule's answer, which is the answer as a whole.
fn obstacle(max: u32, prepare: impl FnOnce(&mut Given)) -> String {
    let mut given = Given::with_max(max);
    given.submitted(specs(&[&[]]));
    prepare(&mut given);
    let (answer, standing) = of_rule(&given);
    assert_eq!(answer, standing);
    answer
}

#[test]
fn every_obstacle_of_a_rule_is_told() {
    let refused = |error: fn(String) -> LaunchError| {
        move |given: &mut Given| {
            given.wanted(1);
            let answer = given.answered(1, 1, Err(error("the cloud's words".to_owned())));
            given.has(answer);
        }
    };
    let credentials = obstacle(1, |given| {
        let (scope, pause, why) = (small().scope, Span::from_secs(30), "the token has expired".to_owned());
        given.has([CredentialsRefused { scope, pause, why }]);
    });
    assert!(credentials.starts_with("the credentials of acme are not accepted, the next try is at "), "{credentials}");
    assert!(credentials.ends_with(": the token has expired"), "{credentials}");
    let capacity = |why: String| LaunchError::Capacity { why, all_zones: true, permanent: false };
    let unavailable = obstacle(1, refused(capacity));
    assert!(unavailable.starts_with("small is not available until "), "{unavailable}");
    let blocked = obstacle(1, refused(LaunchError::Denied));
    assert_eq!(blocked, "small is blocked: the cloud's words; allow it again once that is mended");
    let broken = obstacle(1, |given| {
        for number in 1..=u64::from(MAX_STRIKES) {
            given.launched(number).has([stopping(number, StopReason::BootTimeout)]);
            given.has([stopped(number, StopReason::BootTimeout, Certificate::Terminated)]);
        }
    });
    assert!(broken.starts_with("runners of small keep ending without work done; the next try is at "), "{broken}");
    assert_eq!(obstacle(0, |_| {}), "the maximum is 0: raise it to let one start (small on-demand)");
    let disabled = obstacle(1, |given| {
        given.has([AutoscalingDisabled {}]);
    });
    assert_eq!(disabled, "autoscaling is disabled: `dstack autoscale enable` lets it start");
}

#[test]
fn a_dependency_is_named_and_nothing_else_is_considered() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[], &[0]]));
    let told = told(&given, 1);
    let name = "w0".parse().expect("it is a name");
    assert_eq!(told.standing, Standing::Dependencies(vec![(workflow(0), name)]));
    assert_eq!(told.to_string(), format!("{}: waits for w0\n", workflow(1)));
}

#[test]
fn at_the_maximum_it_says_whether_the_last_one_is_ending() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[], &[]])).ready(1).assigned(1, 1, 1);
    let full = told(&given, 0);
    assert_eq!(full.standing.to_string(), "all allowed runners are busy (small on-demand)");
    assert_eq!(full.runners, [(runner(1), RunnerAnswer::Exclusive)]);
    given.has([stopping(1, StopReason::ByHand)]);
    let full = told(&given, 0);
    assert_eq!(full.rules[0].1, RuleAnswer::Full { max: 1, ending: 1 });
    assert_eq!(full.runners, [(runner(1), RunnerAnswer::Ending(StopReason::ByHand))]);
    let words = "; one of them is ending, and another may follow when it is gone";
    assert!(full.standing.to_string().ends_with(words), "{full}");
}

#[test]
fn what_a_machine_lacks_is_told_in_the_order_in_which_rules_are_tried() {
    let mut given = Given::with_max(1);
    given.has([RuleAllowed { max: 1, min: 0, offering: samples::offering("big", Purchase::Spot, 8) }]);
    let needs = Needs { purchase: Some(Purchase::Spot), ..samples::needs(16_000, 64) };
    given.submitted(vec![samples::workflow("w", needs)]);
    let told = told(&given, 0);
    assert_eq!(told.standing, Standing::Waits { reason: WaitReason::NoFittingRule, ending: 0 });
    let answers: Vec<_> = told.rules.iter().map(|(rule, answer)| (&*rule.instance_type, answer.clone())).collect();
    let cpu = |cpus: u64| Lack::Cpu(MilliCpu(cpus * 1_000));
    let memory = |gib| Lack::Memory(Bytes::from_gib(gib));
    assert_eq!(
        answers,
        [
            ("small", RuleAnswer::Unfit(vec![Lack::Purchase(Purchase::OnDemand), cpu(2), memory(8)])),
            ("big", RuleAnswer::Unfit(vec![cpu(8), memory(32)])),
        ]
    );
}

#[test]
fn everything_that_a_machine_can_lack_has_words_of_its_own() {
    let gpu = Some(GpuNeed { names: Vec::new(), count: 1, memory: None });
    for (needs, words) in [
        (Needs { cpu: Some(MilliCpu(3_000)), ..Needs::default() }, "it has only 2 CPU"),
        (Needs { memory: Some(Bytes::from_gib(9)), ..Needs::default() }, "it has only 8GB memory"),
        (Needs { disk: Some(Bytes::from_gib(101)), ..Needs::default() }, "it has only 100GB disk"),
        (Needs { gpu, ..Needs::default() }, "it has no such GPUs"),
        (Needs { purchase: Some(Purchase::Spot), ..Needs::default() }, "it is on-demand"),
        (Needs { instance_type: Some("big".to_owned()), ..Needs::default() }, "it is of another type"),
        (Needs { provider: Some("other".to_owned()), ..Needs::default() }, "it is of acme"),
    ] {
        let told: Vec<_> = lacks(&needs, &small()).iter().map(Lack::to_string).collect();
        assert_eq!(told, [words], "{needs}");
    }
}

#[test]
fn a_runner_that_this_very_plan_stops_is_ending() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[]])).launched(1).secs(16 * 60);
    let known = ScopeTick { last_look: Some(given.0.now()), allowance: 9 };
    let scopes = std::collections::BTreeMap::from([(small().scope, known)]);
    let tick = Tick { at: given.0.now(), scopes, ..Tick::default() };
    let told = explain(given.state(), &tick, workflow(0)).expect("it was submitted");
    assert_eq!(told.runners, [(runner(1), RunnerAnswer::Ending(StopReason::BootTimeout))]);
    assert_eq!(told.rules[0].1, RuleAnswer::Full { max: 1, ending: 1 });
}

#[test]
fn room_that_is_too_little_is_told_and_who_does_not_share() {
    let mut given = Given::with_max(1);
    let own = Needs { cpu: Some(MilliCpu(500)), ..Needs::default() };
    let specs = [samples::needs(1_500, 1), samples::needs(1_000, 1), own];
    given.submitted(specs.iter().map(|needs| samples::workflow("w", needs.clone())).collect());
    given.ready(1).assigned(0, 1, 1);
    let free = state::Used::all_of(&small()).minus(state::Used::by(&specs[0]));
    assert_eq!(told(&given, 1).runners, [(runner(1), RunnerAnswer::Short(free))]);
    assert_eq!(told(&given, 2).runners, [(runner(1), RunnerAnswer::Shared)]);
    given.has([RunnerNoticed { runner: runner(1), deadline: None }]);
    assert_eq!(told(&given, 1).runners, [(runner(1), RunnerAnswer::Noticed)]);
}
