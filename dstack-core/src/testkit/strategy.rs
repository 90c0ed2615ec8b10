//! Generators: acts of a history, and events in no order at all.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::history::{Act, Job, Luck};
use super::samples;
use crate::model::event::{
    ArtifactsSaved, AttemptAssigned, AttemptExited, AttemptLost, AttemptStopped, AutoscalingDisabled,
    AutoscalingEnabled, ClaimClosed, ClaimMade, ClockStepped, CredentialsRefused, LaunchFailed, LogCreated,
    OfferingUnavailable, PriceSeen, ResultsKept, RuleAllowed, RuleBlocked, RuleRemoved, RunSubmitted, RunnerLaunched,
    RunnerNoticed, RunnerReady, RunnerStopped, RunnerStopping, RunnerWanted, SettingsChanged, StopRequested,
    WorkflowSkipped, WorkflowSubmitted,
};
use crate::model::{
    Address, AttemptId, Certificate, ClaimEnd, ClaimNumber, ControllerId, Event, Exit, LaunchId, LaunchRequest, LogId,
    Loss, MachineId, MicroUsd, Needs, Offering, Retry, RunId, RunnerId, Settings, Span, StopReason, WorkflowId,
    WorkflowSpec,
};

/// One of the offerings of [`samples`].
pub fn offering() -> impl Strategy<Value = Offering> {
    prop::sample::select(samples::offerings())
}

/// One of the shapes of [`samples`].
pub fn needs() -> impl Strategy<Value = Needs> {
    prop::sample::select(samples::shapes())
}

fn retry() -> impl Strategy<Value = Option<Retry>> {
    option::weighted(0.3, (0..3u32, vec(0..4u8, 0..2)).prop_map(|(max, on_exit_codes)| Retry { max, on_exit_codes }))
}

/// A workflow with this place in its submission.
pub fn workflow(index: u32) -> impl Strategy<Value = WorkflowSpec> {
    (needs(), -1..2i32, retry(), vec(0..index.max(1), 0..3)).prop_map(
        move |(needs, priority, retry, mut depends_on)| {
            depends_on.retain(|earlier| *earlier < index);
            depends_on.sort_unstable();
            depends_on.dedup();
            WorkflowSpec { priority, retry, depends_on, ..samples::workflow(&format!("w{index}"), needs) }
        },
    )
}

/// A job of a submission; most depend on nothing.
pub fn job() -> impl Strategy<Value = Job> {
    let depends_on = prop_oneof![3 => Just(0), 2 => any::<u8>().prop_map(|bits| bits & 0b111)];
    (any::<u8>(), depends_on, -1..2i32, retry()).prop_map(|(shape, depends_on, priority, retry)| Job {
        shape: usize::from(shape),
        depends_on,
        priority,
        retry,
    })
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        10 => Just(Luck::Fine),
        2 => any::<bool>().prop_map(Luck::NoCapacity),
        1 => Just(Luck::Quota),
        1 => Just(Luck::Denied),
        1 => Just(Luck::Throttled),
        1 => Just(Luck::Credentials),
    ]
}

/// Something that may happen next.
pub fn act() -> impl Strategy<Value = Act> {
    let pick = || (0..64u8).prop_map(usize::from);
    let user = prop_oneof![
        5 => (pick(), prop_oneof![1 => Just(0u32), 6 => 1..4u32]).prop_map(|(offering, max)| Act::Allow(offering, max)),
        2 => (pick(), 1..4u32, 1..3u32).prop_map(|(offering, max, min)| Act::KeepWarm(offering, max, min)),
        2 => prop::sample::select(vec![80u64, 97, 100, 120]).prop_map(Act::Price),
        1 => pick().prop_map(Act::Remove),
        6 => Just(Act::Enable),
        1 => Just(Act::Disable),
        1 => (0..600u64, 0..4u32).prop_map(|(idle, losses)| Act::Set(idle, losses)),
        6 => vec(job(), 1..6).prop_map(Act::Submit),
        3 => (pick(), option::of(pick()), any::<bool>()).prop_map(|(run, one, abort)| Act::Stop(run, one, abort)),
        1 => pick().prop_map(Act::StopRunner),
    ];
    let launch = prop_oneof![
        8 => Just(Act::Launches),
        6 => pick().prop_map(Act::Send),
        6 => (pick(), luck()).prop_map(|(sent, luck)| Act::Land(sent, luck)),
        4 => luck().prop_map(Act::Try),
        6 => pick().prop_map(Act::Answer),
        1 => pick().prop_map(Act::LoseAnswer),
        2 => pick().prop_map(Act::CloseClaim),
        1 => pick().prop_map(Act::Crash),
    ];
    let cloud = prop_oneof![
        4 => (pick(), prop_oneof![Just(0), any::<u8>()]).prop_map(|(scope, hidden)| Act::Look(scope, hidden)),
        6 => Just(Act::Ends),
        4 => Just(Act::Looked),
        6 => pick().prop_map(Act::Go),
        6 => pick().prop_map(Act::Greet),
        1 => pick().prop_map(Act::Notice),
        1 => pick().prop_map(Act::Kill),
        4 => pick().prop_map(Act::Terminate),
    ];
    let host = prop_oneof![
        6 => (pick(), prop_oneof![2 => Just(0), 1 => 0..4u8]).prop_map(|(attempt, code)| Act::Exit(attempt, code)),
        2 => (pick(), 0..2u8).prop_map(|(attempt, code)| Act::Finish(attempt, code)),
        6 => (pick(), prop::bool::weighted(0.1)).prop_map(|(attempt, missing)| Act::Keep(attempt, missing)),
        1 => pick().prop_map(Act::Lose),
        1 => pick().prop_map(Act::Save),
    ];
    let pass = prop_oneof![
        6 => (1..40u64).prop_map(|secs| Act::Pass(Span::from_secs(secs))),
        1 => (40..4_000u64).prop_map(|secs| Act::Pass(Span::from_secs(secs))),
    ];
    prop_oneof![3 => user, 5 => pick().prop_map(Act::Plan), 6 => launch, 5 => cloud, 8 => host, 2 => pass]
}

/// What happens in a history; it begins with two rules and a submission, so that most of it is about something.
pub fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    let beginning = (0..7usize, 1..4u32, 0..7usize, 1..4u32, vec(job(), 1..6));
    (beginning, vec(act(), 1..most)).prop_map(|((one, max, other, other_max, jobs), mut rest)| {
        let mut acts = vec![Act::Allow(one, max), Act::Allow(other, other_max), Act::Submit(jobs), Act::Plan(0)];
        acts.append(&mut rest);
        acts
    })
}

fn run_id() -> impl Strategy<Value = RunId> {
    (0..3u64).prop_map(RunId::from_bits)
}

fn runner_id() -> impl Strategy<Value = RunnerId> {
    (0..4u64).prop_map(RunnerId::from_bits)
}

fn workflow_id() -> impl Strategy<Value = WorkflowId> {
    (run_id(), 0..4u32).prop_map(|(run, index)| WorkflowId { run, index })
}

fn attempt_id() -> impl Strategy<Value = AttemptId> {
    (workflow_id(), 1..4u32).prop_map(|(workflow, number)| AttemptId { workflow, number })
}

fn request() -> impl Strategy<Value = std::sync::Arc<LaunchRequest>> {
    (offering(), 0..9u64).prop_map(|(offering, launch)| {
        std::sync::Arc::new(LaunchRequest::new(
            LogId::from_entropy([7; 16]),
            LaunchId::from_bits(launch),
            &offering,
            "a".to_owned(),
        ))
    })
}

fn stop_reason() -> impl Strategy<Value = StopReason> {
    prop::sample::select(vec![
        StopReason::MaxLowered,
        StopReason::RuleRemoved,
        StopReason::Disabled,
        StopReason::ByHand,
        StopReason::Idle,
        StopReason::LaunchTimeout,
        StopReason::BootTimeout,
        StopReason::LaunchFailed("full".to_owned()),
        StopReason::Interrupted,
        StopReason::Lost("gone".to_owned()),
        StopReason::Quarantined("other".to_owned()),
    ])
}

fn certificate() -> impl Strategy<Value = Certificate> {
    prop::sample::select(vec![
        Certificate::Terminated,
        Certificate::Ended,
        Certificate::Gone,
        Certificate::NeverLaunched,
        Certificate::NotFound,
    ])
}

/// Any event at all, about few enough entities that they meet.
pub fn event() -> impl Strategy<Value = Event> {
    prop_oneof![1 => rule_event(), 2 => workflow_event(), 4 => runner_event(), 4 => attempt_event()]
}

fn rule_event() -> impl Strategy<Value = Event> {
    let rule = || offering().prop_map(|offering| offering.rule_key());
    let pause = option::of((0..4_000u64).prop_map(Span::from_secs));
    let zone = option::of(prop::sample::select(vec!["a".to_owned(), "b".to_owned()]));
    prop_oneof![
        1 => Just(LogCreated { log: LogId::from_entropy([7; 16]) }.into()),
        1 => any::<i64>().prop_map(|offset_us| ClockStepped { offset_us }.into()),
        6 => (offering(), 0..4u32, 0..2u32).prop_map(|(offering, max, min)| RuleAllowed { max, min, offering }.into()),
        2 => rule().prop_map(|rule| RuleRemoved { rule }.into()),
        1 => Just(AutoscalingEnabled {}.into()),
        1 => Just(AutoscalingDisabled {}.into()),
        1 => (0..3u32).prop_map(|max_losses| {
            SettingsChanged { settings: Settings { max_losses, ..Settings::default() } }.into()
        }),
        1 => (rule(), any::<u64>()).prop_map(|(rule, price)| PriceSeen { rule, price: MicroUsd(price) }.into()),
        1 => (rule(), zone, pause).prop_map(|(rule, zone, pause)| {
            OfferingUnavailable { rule, zone, pause, why: "full".to_owned() }.into()
        }),
        1 => (offering(), 0..400u64).prop_map(|(offering, secs)| {
            CredentialsRefused { scope: offering.scope, pause: Span::from_secs(secs), why: "expired".to_owned() }.into()
        }),
        1 => rule().prop_map(|rule| RuleBlocked { rule, why: "no".to_owned() }.into()),
    ]
}

fn workflow_event() -> impl Strategy<Value = Event> {
    let submitted =
        |(id, spec): (WorkflowId, WorkflowSpec)| WorkflowSubmitted { id, spec: std::sync::Arc::new(spec) }.into();
    let spec = || (run_id(), 0..4u32).prop_flat_map(|(run, index)| (Just(WorkflowId { run, index }), workflow(index)));
    prop_oneof![
        2 => (run_id(), 0..4u32).prop_map(|(run, workflows)| {
            let name = "run".parse().expect("it is a valid name");
            RunSubmitted { run, name, workflows, folder: None, secrets: Vec::new() }.into()
        }),
        6 => spec().prop_map(submitted),
        1 => (workflow_id(), any::<bool>()).prop_map(|(workflow, abort)| StopRequested { workflow, abort }.into()),
        2 => (workflow_id(), workflow_id()).prop_map(|(workflow, cause)| WorkflowSkipped { workflow, cause }.into()),
    ]
}

fn runner_event() -> impl Strategy<Value = Event> {
    let claim = || (1..4u32).prop_map(ClaimNumber);
    let controller = (0..2u8).prop_map(|byte| ControllerId::from_entropy([byte; 16]));
    let end = prop::sample::select(vec![ClaimEnd::Answered, ClaimEnd::Unsent, ClaimEnd::Waited]);
    let address = || option::of((0..2u8).prop_map(|place| Address(place.to_string())));
    let machine = (0..2u8).prop_map(|place| MachineId(place.to_string()));
    prop_oneof![
        4 => (runner_id(), request()).prop_map(|(runner, request)| RunnerWanted { runner, request }.into()),
        2 => (runner_id(), claim(), controller).prop_map(|(runner, claim, controller)| {
            ClaimMade { runner, claim, controller }.into()
        }),
        2 => (runner_id(), claim(), end).prop_map(|(runner, claim, end)| ClaimClosed { runner, claim, end }.into()),
        6 => (runner_id(), machine, address()).prop_map(|(runner, machine, address)| {
            RunnerLaunched { runner, machine, address }.into()
        }),
        1 => (runner_id(), claim()).prop_map(|(runner, claim)| {
            LaunchFailed { runner, claim, why: "full".to_owned() }.into()
        }),
        6 => (runner_id(), address()).prop_map(|(runner, address)| RunnerReady { runner, address, identity: None }.into()),
        1 => runner_id().prop_map(|runner| RunnerNoticed { runner, deadline: None }.into()),
        1 => (runner_id(), stop_reason()).prop_map(|(runner, reason)| RunnerStopping { runner, reason }.into()),
        1 => (runner_id(), stop_reason(), certificate()).prop_map(|(runner, reason, certificate)| {
            RunnerStopped { runner, reason, certificate }.into()
        }),
    ]
}

fn attempt_event() -> impl Strategy<Value = Event> {
    let loss = prop::sample::select(vec![
        Loss::RunnerLost,
        Loss::Interrupted,
        Loss::ShutDown,
        Loss::ProcessLost,
        Loss::ResultsLost,
        Loss::NeverBegun,
        Loss::Refused("no room".to_owned()),
    ]);
    let missing = prop_oneof![3 => Just(Vec::new()), 1 => Just(vec!["out".to_owned()])];
    let exit = prop_oneof![2 => Just(0), 1 => 0..4u8].prop_map(Exit::exited);
    prop_oneof![
        8 => (attempt_id(), runner_id()).prop_map(|(attempt, runner)| AttemptAssigned { attempt, runner }.into()),
        3 => (attempt_id(), exit).prop_map(|(attempt, exit)| AttemptExited { attempt, exit }.into()),
        3 => (attempt_id(), missing).prop_map(|(attempt, missing)| {
            ResultsKept { attempt, manifest: None, missing }.into()
        }),
        1 => attempt_id().prop_map(|attempt| ArtifactsSaved { attempt, manifest: None }.into()),
        1 => attempt_id().prop_map(|attempt| AttemptStopped { attempt, manifest: None }.into()),
        1 => (attempt_id(), loss).prop_map(|(attempt, loss)| AttemptLost { attempt, loss }.into()),
    ]
}
