//! What holds in every history that users, controllers and a cloud can make.

use std::collections::BTreeMap;

use dstack_core::model::event::Event;
use dstack_core::model::invariant::broken;
use dstack_core::model::plan::{Item, LaunchReason, WaitReason};
use dstack_core::model::state::{RunnerPhase, Used};
use dstack_core::model::{Certificate, RuleKey, Scope, Span, State, Tick, reconcile, schedule};
use dstack_core::testkit::history::{Act, Driver, Job, Luck};
use dstack_core::testkit::{naive, strategy};
use proptest::prelude::*;

const ACTS: usize = 120;

/// Runs the acts and judges after each.
fn run(
    acts: &[Act],
    mut judge: impl FnMut(&Driver, &Act) -> Result<(), TestCaseError>,
) -> Result<Driver, TestCaseError> {
    let mut driver = Driver::new();
    for act in acts {
        driver.act(act);
        judge(&driver, act)?;
    }
    Ok(driver)
}

/// Slots that are taken, by rule.
fn slots(state: &State) -> BTreeMap<RuleKey, u32> {
    let mut slots = BTreeMap::new();
    for (_, runner) in state.live_runners() {
        *slots.entry(runner.request.rule.clone()).or_default() += 1;
    }
    slots
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn every_law_holds_after_every_append(acts in strategy::acts(ACTS)) {
        run(&acts, |driver, act| match broken(driver.state()) {
            None => Ok(()),
            Some((law, why)) => Err(TestCaseError::fail(format!("{law} after {act:?}: {why}"))),
        })?;
    }

    #[test]
    fn nothing_that_is_decided_or_observed_ever_fails_to_fit(acts in strategy::acts(ACTS)) {
        run(&acts, |driver, act| {
            let faults: Vec<_> = driver.state().faults().iter().collect();
            prop_assert!(faults.is_empty(), "after {:?}: {:?}", act, faults);
            Ok(())
        })?;
    }

    #[test]
    fn what_was_observed_once_adds_nothing_when_it_is_observed_again(acts in strategy::acts(ACTS)) {
        let driver = run(&acts, |_, _| Ok(()))?;
        prop_assert_eq!(driver.repeated(), &[] as &[Event]);
    }

    #[test]
    fn the_order_of_independent_inputs_does_not_matter(acts in strategy::acts(ACTS), number in 0..9u64) {
        use dstack_core::model::{Exit, MicroUsd, Observation, event::PriceSeen};
        let driver = run(&acts, |_, _| Ok(()))?;
        let state = driver.state();
        let attempts: Vec<_> = state.live_runners().flat_map(|(_, runner)| runner.attempts.iter().copied()).collect();
        let mut events: Vec<Event> = attempts
            .iter()
            .flat_map(|attempt| reconcile(state, &Observation::Exited { attempt: *attempt, exit: Exit::exited(0) }))
            .collect();
        events.extend(state.rules().keys().enumerate().map(|(place, rule)| {
            let price = MicroUsd(number + u64::try_from(place).expect("they are few"));
            Event::from(PriceSeen { rule: rule.clone(), price })
        }));
        let (mut one, mut other) = (driver.clone(), driver.clone());
        one.append(&events);
        events.reverse();
        other.append(&events);
        prop_assert_eq!(one.state().runs(), other.state().runs());
        prop_assert_eq!(one.state().runners(), other.state().runners());
        prop_assert_eq!(one.state().rules(), other.state().rules());
        prop_assert_eq!(schedule(one.state(), &one.tick()), schedule(other.state(), &other.tick()));
    }

    #[test]
    fn slots_never_grow_beyond_the_maximum(acts in strategy::acts(ACTS)) {
        let mut before: BTreeMap<RuleKey, u32> = BTreeMap::new();
        run(&acts, |driver, act| {
            let now = slots(driver.state());
            for (rule, taken) in &now {
                let max = driver.state().rules().get(rule).map_or(0, |rule| rule.max);
                let had = before.get(rule).copied().unwrap_or(0);
                prop_assert!(*taken <= max.max(had), "{} of {} with a maximum of {} after {:?}", taken, rule, max, act);
            }
            before = now;
            Ok(())
        })?;
    }

    #[test]
    fn a_machine_that_lives_has_its_slot(acts in strategy::acts(ACTS)) {
        run(&acts, |driver, act| {
            prop_assert_eq!(driver.wrongly_over(), None, "after {:?}", act);
            let taken = slots(driver.state());
            let mut alive: BTreeMap<RuleKey, u32> = BTreeMap::new();
            for (_, machine) in driver.cloud().alive() {
                *alive.entry(machine.rule.clone()).or_default() += 1;
            }
            for (rule, count) in alive {
                prop_assert!(count <= taken.get(&rule).copied().unwrap_or(0), "{} {} after {:?}", count, rule, act);
            }
            Ok(())
        })?;
    }

    #[test]
    fn planning_again_plans_nothing(acts in strategy::acts(ACTS)) {
        run(&acts, |driver, _| {
            let mut driver = driver.clone();
            let first = driver.plan_as(0);
            let second = schedule(driver.state(), &driver.tick());
            prop_assert!(second.is_empty(), "{:?}\nafter {:?}", second.items, first.items);
            Ok(())
        })?;
    }

    #[test]
    fn what_waits_has_a_reason_or_a_runner_on_its_way(acts in strategy::acts(ACTS)) {
        run(&acts, |driver, _| {
            let state = driver.state();
            let plan = schedule(state, &driver.tick());
            for (needs, keys) in state.queue().shapes() {
                for key in keys {
                    let is_placed = plan.items.iter().any(
                        |item| matches!(item, Item::Assign { attempt, .. } if attempt.workflow == key.workflow),
                    );
                    let is_explained = plan.waiting.get(needs).is_some() || plan.starting.contains_key(&key.workflow);
                    prop_assert!(is_placed || is_explained, "{} waits for nothing", key.workflow);
                }
            }
            for (_, reason) in plan.waiting.iter() {
                prop_assert!(*reason != WaitReason::Disabled || !state.is_enabled());
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_slow_and_simple_scheduler_plans_the_same(acts in strategy::acts(ACTS)) {
        run(&acts, |driver, _| {
            let (state, mut tick) = (driver.state(), driver.tick());
            let same = |tick: &Tick| {
                prop_assert_eq!(schedule(state, tick), naive::schedule(state, tick));
                Ok(())
            };
            same(&tick)?;
            tick.suspects.extend(state.live_runners().map(|(id, _)| id).step_by(3));
            same(&tick)
        })?;
    }

    /// Whatever the limiter lets through: with the claims that are open already a plan opens no more than that in a scope.
    #[test]
    fn no_plan_opens_more_claims_than_the_allowance(acts in strategy::acts(ACTS), allowance in 0..3u32) {
        run(&acts, |driver, _| {
            let (state, mut tick) = (driver.state(), driver.tick());
            tick.scopes.values_mut().for_each(|known| known.allowance = allowance);
            let plan = schedule(state, &tick);
            prop_assert_eq!(&plan, &naive::schedule(state, &tick));
            let mut opened: BTreeMap<&Scope, u32> = BTreeMap::new();
            for item in &plan.items {
                let scope = match item {
                    Item::Launch { rule, .. } => &state.rules()[rule].offering.scope,
                    Item::Claim { runner, .. } => &state.runners()[runner].request.scope,
                    Item::Skip { .. } | Item::Assign { .. } | Item::Stop { .. } => continue,
                };
                *opened.entry(scope).or_default() += 1;
            }
            let is_stopped = |id| plan.items.iter().any(|item| matches!(item, Item::Stop { runner, .. } if *runner == id));
            for (scope, opened) in opened {
                let in_scope = state.live_runners().filter(|(id, runner)| {
                    runner.request.scope == *scope && runner.open_claim().is_some() && !is_stopped(*id)
                });
                let open = in_scope.filter(|(_, runner)| runner.phase != RunnerPhase::Stopping).count();
                let open = u32::try_from(open).expect("they are few");
                prop_assert!(open + opened <= allowance, "{} open, {} more, {} allowed", open, opened, allowance);
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_runner_is_wanted_for_what_a_running_one_has_room_for(acts in strategy::acts(ACTS)) {
        run(&acts, |driver, _| {
            let mut driver = driver.clone();
            let plan = driver.plan_as(0);
            for item in &plan.items {
                let Item::Launch { why: LaunchReason::For(workflow), .. } = item else { continue };
                let needs = &driver.state().workflow(*workflow).expect("it waits").spec.needs;
                for (id, runner) in driver.state().live_runners().filter(|(_, runner)| runner.takes_work()) {
                    let free = Used::all_of(&runner.offering).minus(runner.used);
                    let is_free = runner.attempts.is_empty()
                        || (!runner.is_exclusive && needs.may_share() && Used::by(needs).fits_in(free));
                    let is_open = !runner.offering.pooled && !plan.kept.contains_key(&id);
                    prop_assert!(!(is_free && is_open && needs.fit(&runner.offering)), "{} is free for {}", id, workflow);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn when_faults_stop_all_work_ends_and_no_machine_is_left(acts in strategy::acts(ACTS)) {
        let mut driver = run(&acts, |_, _| Ok(()))?;
        prop_assert!(driver.settle(), "waiting: {:?}, runners: {:?}", driver.waiting(), driver.state().live_runners().collect::<Vec<_>>());
        prop_assert_eq!(driver.state().faults().count(), 0);
        prop_assert_eq!(broken(driver.state()), None);
    }

    #[test]
    fn equal_histories_give_equal_logs(acts in strategy::acts(ACTS)) {
        let one = run(&acts, |_, _| Ok(()))?;
        let other = run(&acts, |_, _| Ok(()))?;
        prop_assert_eq!(one.records(), other.records());
    }

    #[test]
    fn what_ended_stays_ended(acts in strategy::acts(ACTS)) {
        let mut before = dstack_core::model::State::default();
        run(&acts, |driver, act| {
            for (id, runner) in before.runners().iter().filter(|(_, runner)| !runner.may_live()) {
                if let Some(now) = driver.state().runners().get(id) {
                    prop_assert!(matches!(now.phase, RunnerPhase::Stopped(_)), "{} lives again after {:?}", id, act);
                    prop_assert_eq!(now.phase, runner.phase);
                }
            }
            before = driver.state().clone();
            Ok(())
        })?;
    }
}

/// Generated histories are worth nothing if they do not go deep: every kind of event must be met.
#[test]
fn histories_meet_every_kind_of_event_that_they_can() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..150 {
        let acts = strategy::acts(ACTS).new_tree(&mut runner).expect("nothing is filtered out").current();
        for record in dstack_core::testkit::history::records_of(&acts) {
            *met.entry(record.event().map_or("unknown", Event::kind)).or_default() += 1;
        }
    }
    let unmet: Vec<_> = Event::KINDS.iter().filter(|kind| !met.contains_key(**kind)).collect();
    assert_eq!(unmet, [&"ClockStepped"], "met: {met:?}");
}

#[test]
fn a_look_that_began_before_a_launch_is_no_miss_of_its_machine() {
    let job = Job { shape: 0, depends_on: 0, priority: 0, retry: None };
    let mut driver = Driver::new();
    let mut act = |acts: &[Act]| {
        acts.iter().for_each(|act| driver.act(act));
        driver.state().runners().values().next().map(|runner| runner.phase)
    };
    let launched = [Act::Enable, Act::Allow(0, 1), Act::Submit(vec![job]), Act::Plan(0), Act::Look(0, 0)];
    assert_eq!(act(&launched), Some(RunnerPhase::Wanted));
    let answered = [Act::Pass(Span::from_secs(1)), Act::Try(Luck::Fine), Act::Looked];
    assert_eq!(act(&answered), Some(RunnerPhase::Launched));
    // It ends unseen: looks may leave out what is over.
    let missed = [Act::Kill(0), Act::Go(0), Act::Pass(Span::from_mins(11)), Act::Look(0, 0xff), Act::Looked];
    assert_eq!(act(&missed), Some(RunnerPhase::Launched));
    let again = [Act::Pass(Span::from_secs(61)), Act::Look(0, 0xff), Act::Looked];
    assert_eq!(act(&again), Some(RunnerPhase::Stopped(Certificate::Gone)));
}
