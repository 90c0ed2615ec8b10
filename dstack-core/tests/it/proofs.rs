//! A slot is given back for a proof only; each proof with what is none.

use dstack_core::cloud::{LaunchError, Look, Machine, MachineState, Seen};
use dstack_core::controller::Evidence;
use dstack_core::model::event::*;
use dstack_core::model::reconcile::Sighting;
use dstack_core::model::*;
use dstack_core::testkit::samples;

use super::given::*;

fn capacity() -> LaunchError {
    LaunchError::Capacity { why: "none left".to_owned(), all_zones: false, permanent: false }
}

fn unavailable(secs: u64) -> Event {
    let (rule, why) = (small().rule_key(), "none left".to_owned());
    OfferingUnavailable { rule, zone: Some("a".to_owned()), pause: Some(Span::from_secs(secs)), why }.into()
}

fn lost() -> StopReason {
    StopReason::Lost("the cloud no longer has it".to_owned())
}

fn seen(given: &Given, seen_ago: Option<u64>, missed_ago: Option<u64>) -> Sighting {
    let ago = |secs: u64| At::from_micros(given.0.now().as_micros() - i64::try_from(secs).expect("small") * 1_000_000);
    Sighting { seen: seen_ago.map(ago), missed: missed_ago.map(ago) }
}

#[test]
fn a_machine_that_is_seen_terminated_gives_its_slot_back() {
    let mut given = Given::with_max(1);
    given.ready(1);
    let reason = StopReason::Lost("it ended without us".to_owned());
    let proof = stopped(1, reason, Certificate::Terminated).into();
    assert_eq!(given.sees_machine("m1", Some(1), MachineState::Terminated), vec![proof]);
}

/// Whether or not it was announced: an interruption is counted apart from what breaks.
#[test]
fn the_end_of_a_machine_that_the_cloud_took_back_is_an_interruption() {
    for (state, certificate) in
        [(MachineState::ShuttingDown, None), (MachineState::Terminated, Some(Certificate::Terminated))]
    {
        let mut given = Given::with_max(1);
        given.submitted(specs(&[&[]])).ready(1).assigned(0, 1, 1);
        let (id, reason) = (MachineId("m1".to_owned()), Some("taken".to_owned()));
        let seen = Seen { id, token: None, state, address: None, reason, is_taken_back: true };
        let look = Look { machines: vec![seen], absent: Vec::new() };
        let (scope, began, sightings) = (small().scope, given.0.now(), Default::default());
        let found = given.sees(&Observation::Looked { scope, began, look, sightings });
        let expected: Event = match certificate {
            None => stopping(1, StopReason::Interrupted).into(),
            Some(certificate) => stopped(1, StopReason::Interrupted, certificate).into(),
        };
        assert_eq!(found, vec![expected]);
        given.has(found);
        if certificate.is_some() {
            let workflow = given.state().workflow(workflow(0)).expect("it is there");
            assert_eq!((workflow.losses, workflow.interruptions), (0, 1));
        }
    }
}

#[test]
fn a_machine_that_is_ending_or_halted_keeps_its_slot() {
    let mut given = Given::with_max(1);
    given.ready(1);
    let reason = StopReason::Lost("it ended without us".to_owned());
    for state in [MachineState::ShuttingDown, MachineState::Halted] {
        assert_eq!(given.sees_machine("m1", Some(1), state), vec![stopping(1, reason.clone()).into()]);
    }
}

#[test]
fn the_end_of_a_machine_with_a_copied_tag_says_nothing_about_ours() {
    let mut given = Given::with_max(1);
    given.ready(1);
    for state in [MachineState::Running, MachineState::ShuttingDown, MachineState::Terminated] {
        assert_eq!(given.sees_machine("copy", Some(1), state), Vec::new());
    }
}

#[test]
fn a_machine_is_known_by_its_id_where_its_tag_is_missing() {
    let mut given = Given::with_max(1);
    given.ready(1).has([stopping(1, StopReason::Idle)]);
    let proof = stopped(1, StopReason::Idle, Certificate::Terminated).into();
    assert_eq!(given.sees_machine("m1", None, MachineState::Terminated), vec![proof]);
    given.has([stopped(1, StopReason::Lost("other".to_owned()), Certificate::Terminated)]);
    assert_eq!(given.state().runners()[&runner(1)].stop, Some(StopReason::Idle), "the first reason stays");
}

#[test]
fn a_refusal_under_the_open_claim_gives_the_slot_back() {
    let mut given = Given::with_max(1);
    given.wanted(1);
    let failed = LaunchFailed { runner: runner(1), claim: ClaimNumber(1), why: "none left".to_owned() };
    let proof = stopped(1, StopReason::LaunchFailed("none left".to_owned()), Certificate::NeverLaunched);
    assert_eq!(given.answered(1, 1, Err(capacity())), vec![unavailable(180), failed.into(), proof.into()]);
}

#[test]
fn a_refusal_under_a_closed_claim_frees_nothing() {
    let mut given = Given::with_max(1);
    given.wanted(1).has([closed(1, 1, ClaimEnd::Waited)]);
    assert_eq!(given.answered(1, 1, Err(capacity())), vec![unavailable(180)]);
    given.has([claim(1, 2)]);
    assert_eq!(given.answered(1, 1, Err(capacity())), vec![unavailable(180)], "another's claim is open now");
}

/// Found by thinking about a fault of the simulator, `cloud.denied` after `cloud.call_late`: the first send may have
/// launched, and the cloud judges rights before it looks at the token.
#[test]
fn a_second_send_that_is_denied_or_invalid_frees_nothing() {
    let mut given = Given::with_max(1);
    given.wanted(1).has([closed(1, 1, ClaimEnd::Waited)]);
    given.has([claim(1, 2)]);
    for answer in [LaunchError::Denied("no".to_owned()), LaunchError::Invalid("no".to_owned())] {
        let why = || "no".to_owned();
        let said = RuleBlocked { rule: small().rule_key(), why: why() };
        let failed = LaunchFailed { runner: runner(1), claim: ClaimNumber(2), why: why() };
        let waits = stopping(1, StopReason::LaunchFailed(why()));
        assert_eq!(given.answered(1, 2, Err(answer)), vec![said.into(), failed.into(), waits.into()]);
    }
}

#[test]
fn a_refusal_after_a_machine_was_seen_frees_nothing() {
    let mut given = Given::with_max(1);
    given.launched(1);
    assert_eq!(given.answered(1, 1, Err(capacity())), vec![unavailable(180)]);
}

#[test]
fn answers_that_say_nothing_free_nothing() {
    let mut given = Given::with_max(1);
    given.wanted(1);
    let words = || "words".to_owned();
    for answer in [LaunchError::Unknown(words()), LaunchError::Mismatch(words()), LaunchError::Throttled(words())] {
        assert_eq!(given.answered(1, 1, Err(answer)), Vec::new());
    }
}

#[test]
fn a_token_whose_machine_lived_and_died_is_a_proof() {
    let mut given = Given::with_max(1);
    given.wanted(1);
    let reason = StopReason::Lost("it ended right after its launch".to_owned());
    let proof = stopped(1, reason, Certificate::Ended).into();
    assert_eq!(given.answered(1, 1, Err(LaunchError::Ended)), vec![proof]);
}

#[test]
fn time_closes_a_claim_and_never_a_slot() {
    let mut given = Given::with_max(1);
    given.wanted(1).has([stopping(1, StopReason::LaunchTimeout)]);
    let waited = Observation::ClaimOutwaited { runner: runner(1), claim: ClaimNumber(1) };
    assert_eq!(given.sees(&waited), vec![closed(1, 1, ClaimEnd::Waited).into()]);
    given.has([closed(1, 1, ClaimEnd::Waited)]).secs(9_999);
    assert_eq!(given.state().live_count(&small().rule_key()), 1);
    assert_eq!(given.sees(&waited), Vec::new(), "it is closed already");
}

#[test]
fn a_first_claim_that_was_never_used_proves_that_nothing_was_launched_for_a_runner_that_stops() {
    let mut given = Given::with_max(1);
    given.wanted(1).has([stopping(1, StopReason::Disabled)]);
    let unused = Observation::ClaimUnused { runner: runner(1), claim: ClaimNumber(1) };
    let proof = stopped(1, StopReason::Disabled, Certificate::NeverLaunched);
    assert_eq!(given.sees(&unused), vec![closed(1, 1, ClaimEnd::Unsent).into(), proof.into()]);

    let mut given = Given::with_max(1);
    given.wanted(1);
    assert_eq!(given.sees(&unused), vec![closed(1, 1, ClaimEnd::Unsent).into()], "it is still wanted");
    given.has([closed(1, 1, ClaimEnd::Waited)]).has([claim(1, 2)]).has([stopping(1, StopReason::Disabled)]);
    let second = Observation::ClaimUnused { runner: runner(1), claim: ClaimNumber(2) };
    assert_eq!(given.sees(&second), vec![closed(1, 2, ClaimEnd::Unsent).into()], "the first may have been sent");
}

#[test]
fn absence_proves_nothing_before_ten_minutes_after_the_last_claim() {
    let mut given = Given::with_max(1);
    given.wanted(1).has([stopping(1, StopReason::LaunchTimeout)]);
    given.secs(10_000);
    assert_eq!(given.misses(1, Sighting::default()), Vec::new(), "the claim is open");
    given.has([closed(1, 1, ClaimEnd::Waited)]).secs(599);
    assert_eq!(given.misses(1, Sighting::default()), Vec::new(), "too early");
    given.secs(1);
    assert_eq!(given.misses_in(samples::scope("acme", "south"), 1, Sighting::default()), Vec::new(), "elsewhere");
    let proof = stopped(1, StopReason::LaunchTimeout, Certificate::NotFound).into();
    assert_eq!(given.misses(1, Sighting::default()), vec![proof]);
}

#[test]
fn absence_of_a_runner_that_is_still_wanted_proves_nothing() {
    let mut given = Given::with_max(1);
    given.submitted(specs(&[&[]])).wanted(1).has([closed(1, 1, ClaimEnd::Waited)]).secs(10_000);
    assert_eq!(given.misses(1, Sighting::default()), Vec::new());
    assert_eq!(given.plan(None).items, vec![Item::Claim { runner: runner(1), claim: ClaimNumber(2) }]);
}

#[test]
fn a_look_before_the_launch_is_none_of_the_two_that_prove_an_absence() {
    let mut given = Given::with_max(1);
    let mut evidence = Evidence::default();
    given.wanted(1).secs(60);
    assert_eq!(given.misses_again(&mut evidence, 1), Vec::new(), "it is not launched yet");
    let Machine { id, address, .. } = machine(1);
    given.has([RunnerLaunched { runner: runner(1), machine: id, address }]).secs(600);
    assert_eq!(given.misses_again(&mut evidence, 1), Vec::new(), "one look misses it");
    given.secs(60);
    let proof = stopped(1, lost(), Certificate::Gone).into();
    assert_eq!(given.misses_again(&mut evidence, 1), vec![proof], "two do");
}

#[test]
fn a_machine_is_gone_after_two_looks_a_minute_apart_long_after_it_was_seen() {
    let mut given = Given::with_max(1);
    given.ready(1).secs(599);
    assert_eq!(given.misses(1, seen(&given, None, Some(90))), Vec::new(), "it was launched too lately");
    given.secs(1);
    assert_eq!(given.misses(1, seen(&given, None, None)), Vec::new(), "it is missed for the first time");
    assert_eq!(given.misses(1, seen(&given, None, Some(59))), Vec::new(), "the looks are too near");
    assert_eq!(given.misses(1, seen(&given, Some(300), Some(60))), Vec::new(), "it was seen lately");
    let proof = stopped(1, lost(), Certificate::Gone).into();
    assert_eq!(given.misses(1, seen(&given, None, Some(60))), vec![proof]);
    let elsewhere = given.misses_in(samples::scope("acme", "south"), 1, seen(&given, None, Some(60)));
    assert_eq!(elsewhere, Vec::new());
}

#[test]
fn a_machine_that_turns_up_after_all_takes_its_slot_again() {
    let mut given = Given::with_max(1);
    given.wanted(1).has([stopped(1, lost(), Certificate::NotFound)]);
    assert_eq!(given.state().live_count(&small().rule_key()), 0);
    let found = given.sees_machine("m1", Some(1), MachineState::Running);
    let address = Some(Address("here".to_owned()));
    let launched: Event = RunnerLaunched { runner: runner(1), machine: MachineId("m1".to_owned()), address }.into();
    assert_eq!(found, vec![launched.clone()]);
    given.has([launched]);
    assert_eq!(given.state().live_count(&small().rule_key()), 1);
    assert_eq!(given.state().runners()[&runner(1)].phase, state::RunnerPhase::Stopping);
}

#[test]
fn a_machine_that_was_proven_gone_and_comes_back_takes_its_slot_again_and_is_ended() {
    for certificate in [Certificate::Gone, Certificate::Terminated, Certificate::Ended] {
        let mut given = Given::with_max(1);
        given.ready(1).has([stopped(1, lost(), certificate)]);
        let found = given.sees_machine("m1", Some(1), MachineState::Running);
        // Where a cloud has said that it ended, a look that shows it alive is behind.
        assert_eq!(found.is_empty(), certificate != Certificate::Gone, "{certificate:?}");
        given.has(found);
        let ends = outstanding(given.state()).iter().any(|action| matches!(action, Action::Terminate { .. }));
        assert_eq!(ends, certificate == Certificate::Gone);
        assert_eq!(given.sees_machine("m1", Some(1), MachineState::Running), Vec::new(), "it is told once");
    }
}

/// After so many others that the log's state no longer holds its runner.
#[test]
fn a_machine_that_comes_back_from_the_past_is_a_stray_unless_it_was_said_to_have_ended() {
    for certificate in [Certificate::Gone, Certificate::Terminated] {
        let mut given = Given::with_max(1);
        given.ready(1).has([stopped(1, lost(), certificate)]);
        for number in 2..=150 {
            given.wanted(number).has([stopped(number, lost(), Certificate::NeverLaunched)]);
        }
        assert!(!given.state().runners().contains_key(&runner(1)), "it has left the state");
        let (id, state) = (MachineId("m1".to_owned()), MachineState::Running);
        let seen = Seen { id, token: None, state, address: None, reason: None, is_taken_back: false };
        let look = Look { machines: vec![seen], absent: Vec::new() };
        let strays = reconcile::unknown_machines(given.state(), &small().scope, &look).len();
        assert_eq!(strays, usize::from(certificate == Certificate::Gone), "{certificate:?}");
    }
}

#[test]
fn capacity_pauses_double_from_three_minutes_to_an_hour() {
    let mut given = Given::with_max(1);
    let mut pauses = Vec::new();
    for number in 1..8 {
        given.wanted(number);
        let events = given.answered(number, 1, Err(capacity()));
        given.has(events.clone());
        let Some(Event::OfferingUnavailable(said)) = events.into_iter().next() else { panic!("it says so first") };
        pauses.push(said.pause.expect("it ends").as_secs());
        given.secs(pauses.last().copied().unwrap_or_default());
    }
    assert_eq!(pauses, [180, 360, 720, 1_440, 2_880, 3_600, 3_600]);
    assert_eq!(given.state().rules()[&small().rule_key()].paused_until, None, "a refusal is no boot that failed");
    given.secs(3_601);
    given.wanted(9);
    assert_eq!(given.answered(9, 1, Err(capacity())).first(), Some(&unavailable(180)), "long ago is forgotten");
}

/// Launches that are under way together are refused by one shortage.
#[test]
fn refusals_of_one_moment_are_one_pause() {
    let mut given = Given::with_max(8);
    for number in 1..=8 {
        given.wanted(number);
    }
    for number in 1..=8 {
        let events = given.answered(number, 1, Err(capacity()));
        assert_eq!(events.first() == Some(&unavailable(180)), number == 1, "{events:?}");
        assert!(matches!(events.last(), Some(Event::RunnerStopped(_))), "each of them is over: {events:?}");
        given.has(events).secs(1);
    }
    given.secs(180).wanted(9);
    assert_eq!(given.answered(9, 1, Err(capacity())).first(), Some(&unavailable(360)), "the pause is over");
}

/// What will never be there is known as that, though a pause of its zone lasts.
#[test]
fn never_outlasts_a_pause() {
    let mut given = Given::with_max(3);
    given.wanted(1).wanted(2).wanted(3);
    given.has(given.answered(1, 1, Err(capacity())));
    let never = LaunchError::Capacity { why: "not offered here".to_owned(), all_zones: false, permanent: true };
    let events = given.answered(2, 1, Err(never));
    let Some(Event::OfferingUnavailable(said)) = events.first() else { panic!("it says so first: {events:?}") };
    assert_eq!(said.pause, None);
    given.has(events);
    let events = given.answered(3, 1, Err(capacity()));
    assert!(!events.iter().any(|event| matches!(event, Event::OfferingUnavailable(_))), "{events:?}");
}

#[test]
fn a_launch_whose_machine_a_look_saw_first_is_ready_when_it_has_answered_too() {
    let mut given = Given::with_max(1);
    given.launched(1);
    let answer = |greeting| Observation::LaunchAnswered {
        runner: runner(1),
        claim: ClaimNumber(1),
        answer: Ok(machine(1)),
        greeting,
    };
    assert_eq!(
        given.sees(&answer(Some(Greeting::default()))),
        vec![RunnerReady { runner: runner(1), address: None, identity: None }.into()]
    );
    assert_eq!(given.sees(&answer(None)), Vec::new());
}
