//! A log with every kind of event, every reason and every optional field at least once.

use std::collections::BTreeMap;

use dstack_core::model::event::*;
use dstack_core::model::*;
use dstack_core::testkit::samples;

use super::given::*;

fn spec(name: &str, depends_on: &[u32]) -> WorkflowSpec {
    WorkflowSpec {
        depends_on: depends_on.to_vec(),
        retry: Some(Retry { max: 1, on_exit_codes: vec![7] }),
        ..samples::workflow(name, samples::needs(500, 1))
    }
}

fn rich_spec() -> WorkflowSpec {
    let gpu = GpuNeed { names: vec!["T4".to_owned()], count: 1, memory: Some(Bytes::from_gib(8)) };
    let needs = Needs {
        gpu: Some(gpu),
        disk: Some(Bytes::from_gib(1)),
        purchase: Some(Purchase::OnDemand),
        instance_type: Some("gpu".to_owned()),
        provider: Some("acme".to_owned()),
        ..samples::needs(250, 1)
    };
    WorkflowSpec {
        program: Program::Argv(vec!["echo".to_owned(), "a \"quoted\" ü".to_owned()]),
        shell: Shell::Bash,
        args: vec!["x".to_owned()],
        env: BTreeMap::from([("KEY".to_owned(), "value".to_owned())]),
        working_dir: Some("sub".to_owned()),
        artifacts: vec!["out".to_owned()],
        timeout: Some(Span::from_mins(90)),
        priority: -1,
        ..samples::workflow("rich", needs)
    }
}

fn ends() -> [(StopReason, Certificate); 7] {
    let words = || "words".to_owned();
    [
        (StopReason::BootTimeout, Certificate::Terminated),
        (StopReason::LaunchTimeout, Certificate::NotFound),
        (StopReason::Lost(words()), Certificate::Gone),
        (StopReason::Quarantined(words()), Certificate::Ended),
        (StopReason::MaxLowered, Certificate::Terminated),
        (StopReason::RuleRemoved, Certificate::Terminated),
        (StopReason::ByHand, Certificate::Terminated),
    ]
}

pub(crate) fn every_kind() -> Given {
    let mut given = Given::with_max(2);
    let rule = || small().rule_key();
    for offering in samples::offerings() {
        given.has([RuleAllowed { max: 2, min: 0, offering }]);
    }
    given.has([RuleRemoved { rule: samples::offerings()[6].rule_key() }]);
    given.has([ClockStepped { offset_us: -1_500_000 }]);
    given.has([PriceSeen { rule: rule(), price: MicroUsd(61_000) }]);
    let said = |zone, pause| OfferingUnavailable { rule: rule(), zone, pause, why: "none left".to_owned() };
    given.has([said(Some("b".to_owned()), Some(Span::from_secs(180))), said(None, None)]);
    let (scope, why) = (small().scope, "expired".to_owned());
    given.has([CredentialsRefused { scope, pause: Span::from_secs(30), why }]);
    given.has([RuleAllowed { max: 2, min: 1, offering: samples::offerings()[3].clone() }]);
    given.has([RuleBlocked { rule: samples::offerings()[2].rule_key(), why: "not permitted".to_owned() }]);
    let settings = Settings { max_losses: 2, image: Some("image-2".to_owned()), ..Settings::default() };
    given.has([SettingsChanged { settings }]);
    for (number, (reason, certificate)) in (100..).zip(ends()) {
        given.launched(number).has([stopping(number, reason.clone())]).secs(5);
        given.has([stopped(number, reason, certificate)]);
    }
    given.wanted(110).has([closed(110, 1, ClaimEnd::Waited)]).has([claim(110, 2)]);
    given.has([LaunchFailed { runner: runner(110), claim: ClaimNumber(2), why: "none left".to_owned() }]);
    given.has([stopped(110, StopReason::LaunchFailed("none left".to_owned()), Certificate::NeverLaunched)]);
    given.wanted(111).has([closed(111, 1, ClaimEnd::Unsent)]);
    given.wanted(112).has([closed(112, 1, ClaimEnd::Answered)]);

    let workflows = vec![spec("w0", &[]), spec("w1", &[0]), spec("w2", &[1]), spec("w3", &[2]), rich_spec()];
    let (run, name) = (RunId::from_bits(1), "golden".parse().expect("it is a name"));
    let (folder, secrets) = (Some(BlobId([5; 32])), vec!["TOKEN".to_owned()]);
    given.has([RunSubmitted { run, name, workflows: 5, folder, secrets }]);
    for (index, spec) in (0..).zip(workflows) {
        given.has([WorkflowSubmitted { id: workflow(index), spec: std::sync::Arc::new(spec) }]);
    }
    given.launched(1).has([RunnerReady {
        runner: runner(1),
        address: Some(Address("there".to_owned())),
        identity: None,
    }]);
    let causes = [ExitCause::Signal(9), ExitCause::Timeout, ExitCause::OutOfMemory, ExitCause::NotStarted];
    given.assigned(0, 1, 1).has([AttemptLost { attempt: attempt(0, 1), loss: Loss::NeverBegun }]);
    given.assigned(0, 2, 1).has([AttemptLost { attempt: attempt(0, 2), loss: Loss::ShutDown }]);
    for (number, cause) in (3..).zip(causes) {
        let attempt = attempt(0, number);
        let loss = if number == 3 { Loss::ResultsLost } else { Loss::NeverBegun };
        given.assigned(0, number, 1).has([AttemptExited { attempt, exit: Exit { code: 137, cause } }]).secs(1);
        given.has([AttemptLost { attempt, loss }]);
    }
    let refused = Loss::Refused("no room".to_owned());
    given.assigned(0, 7, 1).has([AttemptLost { attempt: attempt(0, 7), loss: refused }]);
    given.assigned(0, 8, 1).has([AttemptExited { attempt: attempt(0, 8), exit: Exit::exited(0) }]);
    given.has([ResultsKept { attempt: attempt(0, 8), manifest: Some(BlobId([6; 32])), missing: Vec::new() }]);
    given.assigned(1, 1, 1).has([AttemptExited { attempt: attempt(1, 1), exit: Exit::exited(0) }]);
    given.has([ResultsKept { attempt: attempt(1, 1), manifest: None, missing: vec!["out".to_owned()] }]);
    given.has([WorkflowSkipped { workflow: workflow(2), cause: workflow(1) }]);
    given.has([WorkflowSkipped { workflow: workflow(3), cause: workflow(1) }]);

    let (run, name) = (RunId::from_bits(2), "second".parse().expect("it is a name"));
    given.has([RunSubmitted { run, name, workflows: 4, folder: None, secrets: Vec::new() }]);
    let second = |index| WorkflowId { run, index };
    let on = |index| AttemptAssigned { attempt: AttemptId { workflow: second(index), number: 1 }, runner: runner(1) };
    for index in 0..4 {
        given
            .has([WorkflowSubmitted { id: second(index), spec: std::sync::Arc::new(spec(&format!("s{index}"), &[])) }]);
    }
    given.has([on(0), on(1), on(2)]).secs(2);
    given
        .has([StopRequested { workflow: second(0), abort: true }, StopRequested { workflow: second(3), abort: false }]);
    let exit = Exit { code: 143, cause: ExitCause::Stopped };
    given.has([AttemptExited { attempt: AttemptId { workflow: second(0), number: 1 }, exit }]);
    let attempt = AttemptId { workflow: second(0), number: 1 };
    given.has([AttemptStopped { attempt, manifest: Some(BlobId([7; 32])) }]);
    given.has([AttemptLost { attempt: AttemptId { workflow: second(1), number: 1 }, loss: Loss::ProcessLost }]);
    given.has([
        ArtifactsSaved { attempt: AttemptId { workflow: second(2), number: 1 }, manifest: Some(BlobId([8; 32])) },
        ArtifactsSaved { attempt: AttemptId { workflow: second(1), number: 1 }, manifest: None },
    ]);
    let deadline = Some(given.0.now().plus(Span::from_secs(120)));
    given.has([RunnerNoticed { runner: runner(1), deadline }]).secs(120);
    given.has([stopped(1, StopReason::Interrupted, Certificate::Terminated)]);
    given.ready(2).has([AutoscalingDisabled {}]).has([stopping(2, StopReason::Disabled)]);
    given.has([AutoscalingEnabled {}]).ready(3).has([stopping(3, StopReason::Idle)]).launched(4).ready(5);
    given.has([AttemptAssigned { attempt: AttemptId { workflow: second(1), number: 2 }, runner: runner(5) }]);
    given
}
