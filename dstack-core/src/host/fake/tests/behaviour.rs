//! Runners on a fake cloud, faults, and what is written down for those who judge.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::clock::Boot;
use crate::cloud::{CloudProvider, FakeCloud, Faults, builtin_offerings};
use crate::host::{Begun, Closing, Contents, Hearing, HostError, Job, Progress};
use crate::model::{
    At, AttemptId, Exit, LaunchId, LaunchRequest, LogId, Program, Purchase, RunId, Shell, Span, WorkflowId,
};

const ATTEMPT: AttemptId = AttemptId { workflow: WorkflowId { run: RunId::from_bits(3), index: 1 }, number: 1 };

fn script(lines: &[&str]) -> Job {
    Job {
        program: Program::Commands(lines.iter().map(|line| (*line).to_owned()).collect()),
        shell: Shell::Sh,
        args: Vec::new(),
        env: BTreeMap::new(),
        working_dir: None,
        timeout: None,
    }
}

struct Rig {
    clock: Arc<VirtualClock>,
    cloud: FakeCloud,
    host: FakeHost,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new(1));
        let cloud = FakeCloud::new(Arc::clone(&clock) as Arc<dyn Clock>, 1);
        let host = FakeHost::on(cloud.clone(), Arc::clone(&clock) as Arc<dyn Clock>, 2);
        Self { clock, cloud, host }
    }

    fn run<R>(&self, future: impl Future<Output = R>) -> R {
        drive(&self.clock, future)
    }

    fn pass(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// A spot machine, not yet booted.
    fn launch(&self, launch: u64) -> MachineId {
        let offering =
            builtin_offerings().into_iter().find(|it| it.purchase == Purchase::Spot).expect("it is built in");
        let request = LaunchRequest::new(
            LogId::from_bytes([7; 16]),
            LaunchId::from_bits(launch),
            &offering,
            offering.zones[0].clone(),
        );
        self.run(self.cloud.launch(&request)).expect("there is capacity").id
    }

    /// The place of a machine, as the newest look would name it.
    fn place(&self, machine: &MachineId) -> Place {
        let address = self.cloud.machine(machine).and_then(|machine| machine.address).unwrap_or_default();
        Place { runner: RunnerId::from_bits(1), machine: machine.clone(), address, identity: None }
    }

    fn ping(&self, place: &Place) -> Result<(), HostError> {
        self.run(self.host.poll(place, &[])).map(|_| ())
    }

    fn start(&self, place: &Place, job: &Job) -> Result<Begun, HostError> {
        self.run(self.host.stage(place, ATTEMPT, &Contents::default()))?;
        self.run(self.host.start(place, ATTEMPT, job, &BTreeMap::new()))
    }

    fn progress(&self, place: &Place) -> Result<Progress, HostError> {
        self.run(self.host.poll(place, &[(ATTEMPT, 0)])).map(|mut polled| polled.remove(0).progress)
    }
}

fn is_unreachable<R>(answer: &Result<R, HostError>) -> bool {
    matches!(answer, Err(HostError::Unreachable(_)))
}

#[test]
fn a_runner_is_reached_only_while_its_machine_runs() {
    let rig = Rig::new();
    let machine = rig.launch(1);
    assert!(is_unreachable(&rig.ping(&rig.place(&machine))), "it boots");
    rig.pass(40);
    let place = rig.place(&machine);
    assert_eq!(rig.ping(&place), Ok(()));
    assert!(is_unreachable(&rig.ping(&Place { address: Address("10.9.9.9".into()), ..place.clone() })));
    rig.cloud.set_network(&machine, false);
    assert!(is_unreachable(&rig.ping(&place)));
    rig.cloud.set_network(&machine, true);
    rig.cloud.outsider_halts(&machine);
    assert!(is_unreachable(&rig.ping(&place)));
}

#[test]
fn at_a_dead_runners_address_another_machine_is_no_runner_of_ours() {
    let rig = Rig::new();
    let first = rig.launch(1);
    rig.pass(40);
    let place = rig.place(&first);
    rig.cloud.outsider_terminates(&first);
    rig.pass(60);
    let second = rig.launch(2);
    rig.pass(60);
    assert_eq!(rig.place(&second).address, place.address);
    assert!(matches!(rig.ping(&place), Err(HostError::Changed(_))));
}

#[test]
fn what_runs_ends_with_its_machine_and_is_written_down_so() {
    let rig = Rig::new();
    let machine = rig.launch(1);
    rig.pass(40);
    let place = rig.place(&machine);
    assert_eq!(rig.start(&place, &script(&["sleep 600"])), Ok(Begun::Started));
    rig.pass(100);
    let ran = Ran { attempt: ATTEMPT, machine: machine.clone(), began: Boot(Duration::from_secs(40)), until: None };
    assert_eq!(rig.host.runs(), std::slice::from_ref(&ran));
    rig.cloud.outsider_terminates(&machine);
    rig.pass(1_000);
    assert!(is_unreachable(&rig.progress(&place)));
    let ran = Ran { until: Some(Boot(Duration::from_secs(140))), ..ran };
    assert_eq!(rig.host.runs_of(ATTEMPT.workflow), [ran]);
    assert_eq!(rig.host.starts(ATTEMPT), 1);
}

#[test]
fn who_waits_for_a_runner_hears_of_its_death() {
    for by_time in [false, true] {
        let rig = Rig::new();
        let machine = rig.launch(1);
        rig.pass(40);
        let place = rig.place(&machine);
        assert_eq!(rig.start(&place, &script(&["sleep 600"])), Ok(Begun::Started));
        assert_eq!(rig.progress(&place), Ok(Progress::Running));
        let mut wait = rig.host.wait(&place);
        assert!(wait.as_mut().now_or_never().is_none());
        if by_time {
            rig.cloud.interrupt(&machine);
        } else {
            rig.cloud.outsider_terminates(&machine);
        }
        assert!(is_unreachable(&rig.run(wait)));
        assert_eq!(rig.clock.boot(), Boot(Duration::from_secs(if by_time { 160 } else { 40 })));
    }
}

#[test]
fn wait_returns_when_the_next_thing_happens_and_not_before() {
    let rig = Rig::new();
    let machine = rig.launch(1);
    rig.pass(40);
    let place = rig.place(&machine);
    let job = script(&["sleep 7", "printf 'x'", "sleep 5.5"]);
    assert_eq!(rig.start(&place, &job), Ok(Begun::Started));
    let mut moments = Vec::new();
    while rig.progress(&place) != Ok(Progress::Exited(Exit::exited(0))) {
        rig.run(rig.host.wait(&place)).expect("the runner is alive");
        moments.push(rig.clock.boot().0.as_millis());
    }
    assert_eq!(moments, [47_000, 52_500]);
    assert!(rig.host.wait(&place).now_or_never().is_none(), "nothing changes any more");
    let mut wait = rig.host.wait(&place);
    assert!(wait.as_mut().now_or_never().is_none());
    rig.run(rig.host.close(&place, ATTEMPT, Closing::Lost)).expect("the runner is alive");
    assert_eq!(wait.now_or_never(), Some(Ok(())), "a call of another may have changed something");
}

#[test]
fn a_lost_answer_has_its_effect_and_a_lost_call_has_none() {
    let rig = Rig::new();
    let place = place(1);
    let host = FakeHost::new(Arc::clone(&rig.clock) as Arc<dyn Clock>, 1);
    let start = || rig.run(host.start(&place, ATTEMPT, &script(&["exit 0"]), &BTreeMap::new()));
    rig.run(host.stage(&place, ATTEMPT, &Contents::default())).expect("the runner is alive");
    host.lose_next_call();
    assert!(is_unreachable(&start()));
    assert_eq!(host.starts(ATTEMPT), 0);
    host.lose_next_answer();
    assert!(is_unreachable(&start()));
    assert_eq!(host.starts(ATTEMPT), 1);
    assert_eq!(start(), Ok(Begun::Started));
    assert_eq!(host.starts(ATTEMPT), 1);
}

#[test]
fn a_cut_link_stops_nothing_and_heals() {
    let rig = Rig::new();
    let machine = rig.launch(1);
    rig.pass(40);
    let place = rig.place(&machine);
    assert_eq!(rig.start(&place, &script(&["sleep 60", "exit 5"])), Ok(Begun::Started));
    rig.host.cut_link(&machine, Span::from_secs(90));
    assert!(is_unreachable(&rig.progress(&place)));
    assert!(is_unreachable(&rig.run(rig.host.wait(&place))));
    rig.pass(90);
    assert_eq!(rig.progress(&place), Ok(Progress::Exited(Exit::exited(5))));
    assert_eq!(rig.host.runs()[0].until, Some(Boot(Duration::from_secs(100))));
}

#[test]
fn a_changed_host_a_full_disk_and_a_lost_process_are_told() {
    let rig = Rig::new();
    let machine = rig.launch(1);
    rig.pass(40);
    let place = rig.place(&machine);
    assert_eq!(rig.start(&place, &script(&["sleep 60"])), Ok(Begun::Started));
    rig.host.lose_process(&machine, ATTEMPT);
    assert_eq!(rig.progress(&place), Ok(Progress::Lost));
    rig.host.fill_disk(&machine);
    let other = AttemptId { number: 2, ..ATTEMPT };
    let staged = rig.run(rig.host.stage(&place, other, &Contents::default()));
    assert!(matches!(staged, Err(HostError::Refused(_))));
    assert_eq!(
        rig.run(rig.host.start(&place, other, &script(&["exit 0"]), &BTreeMap::new())),
        Err(HostError::UnknownAttempt(other))
    );
    rig.host.change_host(&machine);
    assert!(matches!(rig.ping(&place), Err(HostError::Changed(_))));
}

#[test]
fn a_simulated_job_does_what_it_is_told_to() {
    let rig = Rig::new();
    let host = FakeHost::new(Arc::clone(&rig.clock) as Arc<dyn Clock>, 1).with_simulation(|attempt, _| {
        let code = u8::try_from(attempt.number).expect("a test has few attempts");
        Simulated::new(Span::from_mins(20), Exit::exited(code), "done").with_file("out/model", "m")
    });
    let place = place(1);
    rig.run(host.stage(&place, ATTEMPT, &Contents::default())).expect("the runner is alive");
    rig.run(host.start(&place, ATTEMPT, &script(&["train"]), &BTreeMap::new())).expect("the runner is alive");
    rig.pass(1_199);
    let polled = rig.run(host.poll(&place, &[(ATTEMPT, 0)])).expect("the runner is alive").remove(0);
    assert_eq!((polled.progress, polled.output.len()), (Progress::Running, 0));
    rig.pass(1);
    let polled = rig.run(host.poll(&place, &[(ATTEMPT, 1)])).expect("the runner is alive").remove(0);
    assert_eq!((polled.progress, &polled.output[..]), (Progress::Exited(Exit::exited(1)), &b"one"[..]));
}

#[test]
fn a_form_that_is_not_known_is_a_command_that_is_not_found() {
    let rig = Rig::new();
    let machine = rig.launch(1);
    rig.pass(40);
    let place = rig.place(&machine);
    assert_eq!(rig.start(&place, &script(&["exit $(date +%s)"])), Ok(Begun::Started));
    assert_eq!(rig.progress(&place), Ok(Progress::Exited(Exit::exited(127))));
}

#[test]
fn whatever_the_link_does_a_command_is_started_once() {
    for seed in 0..40 {
        let clock = Arc::new(VirtualClock::new(seed));
        let host = FakeHost::new(Arc::clone(&clock) as Arc<dyn Clock>, seed).with_faults(HostFaults::everything(400));
        let place = place(1);
        let job = script(&["sleep 1"]);
        let mut started = 0;
        for _ in 0..150 {
            let staged = drive(&clock, host.stage(&place, ATTEMPT, &Contents::default()));
            let begun = drive(&clock, host.start(&place, ATTEMPT, &job, &BTreeMap::new()));
            started += u32::from(staged.is_ok() && begun == Ok(Begun::Started));
        }
        assert!(started > 0, "in the end it gets through");
        assert_eq!(host.starts(ATTEMPT), 1);
    }
}

#[test]
fn a_stopped_job_ends_at_once_if_it_listens_and_with_its_grace_if_not() {
    for (lines, end_secs) in [(&["sleep 600"][..], 40), (&["trap '' TERM", "sleep 600"][..], 70)] {
        let rig = Rig::new();
        let machine = rig.launch(1);
        rig.pass(40);
        let place = rig.place(&machine);
        assert_eq!(rig.start(&place, &script(lines)), Ok(Begun::Started));
        let stop = Closing::Stop { grace: Span::from_secs(30) };
        rig.run(rig.host.close(&place, ATTEMPT, stop)).expect("the runner is alive");
        rig.pass(100);
        assert_eq!(rig.host.runs()[0].until, Some(Boot(Duration::from_secs(end_secs))));
    }
}

#[cfg(any(feature = "local", feature = "project"))]
#[test]
fn what_is_fetched_is_an_archive_like_any_other_and_can_be_staged_again() {
    use crate::archive::{EntryKind, list};

    let rig = Rig::new();
    let host = FakeHost::new(Arc::clone(&rig.clock) as Arc<dyn Clock>, 1);
    let (first, second) = (place(1), place(2));
    rig.run(host.stage(&first, ATTEMPT, &Contents::default())).expect("the runner is alive");
    let job = script(&["mkdir -p out/empty", "echo weights > out/model"]);
    rig.run(host.start(&first, ATTEMPT, &job, &BTreeMap::new())).expect("the runner is alive");
    let archive = rig.run(host.fetch(&first, ATTEMPT, "out")).expect("the runner is alive").archive;
    let archive = archive.expect("it is there");
    let entries = list(archive.reader().expect("it is there")).expect("it is a good archive");
    let found: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.size, entry.kind.clone())).collect();
    let expected = [("out/empty", 0, EntryKind::Folder), ("out/model", 8, EntryKind::File { executable: false })];
    assert_eq!(found, expected);

    let staged = rig.run(host.stage(&second, ATTEMPT, &Contents { archives: vec![archive] }));
    assert_eq!(staged, Ok(()));
    let job = script(&["cat out/model"]);
    rig.run(host.start(&second, ATTEMPT, &job, &BTreeMap::new())).expect("the runner is alive");
    let polled = rig.run(host.poll(&second, &[(ATTEMPT, 0)])).expect("the runner is alive").remove(0);
    assert_eq!(&polled.output[..], b"weights\n");
    let damaged = Contents { archives: vec![bytes::Bytes::from_static(b"no archive").into()] };
    let other = AttemptId { number: 2, ..ATTEMPT };
    assert!(matches!(rig.run(host.stage(&second, other, &damaged)), Err(HostError::Refused(_))));
}

#[test]
fn a_runner_hears_what_its_machine_is_told_and_whoever_asks_for_the_cloud_hears_nothing() {
    let rig = Rig::new();
    rig.cloud.set_faults(Faults { told_inside: 1_000, ..Faults::none() });
    let (machine, other) = (rig.launch(1), rig.launch(2));
    rig.pass(40);
    let (place, other_place) = (rig.place(&machine), rig.place(&other));
    assert_eq!(rig.run(rig.host.listen(&place, None)), Ok(Hearing::Listens));
    let mut listening = Box::pin(rig.host.listen(&place, Some(Hearing::Listens)));
    assert!((&mut listening).now_or_never().is_none());
    rig.cloud.interrupt(&machine);
    let deadline = At::from_micros(rig.clock.wall_micros() + 120_000_000);
    let noticed = Hearing::Noticed { deadline: Some(deadline) };
    assert_eq!((&mut listening).now_or_never(), Some(Ok(noticed)));
    assert!(rig.host.listen(&place, Some(noticed)).now_or_never().is_none());
    assert!(rig.cloud.notice().now_or_never().is_none());
    assert_eq!(rig.run(rig.host.listen(&other_place, None)), Ok(Hearing::Listens));
    rig.host.deafen(&other);
    assert_eq!(rig.run(rig.host.listen(&other_place, Some(Hearing::Listens))), Ok(Hearing::Deaf));
    rig.host.cut_link(&other, Span::from_secs(10));
    assert!(is_unreachable(&rig.run(rig.host.listen(&other_place, Some(Hearing::Deaf)))), "nothing would be heard");
}

#[test]
fn a_runner_without_a_cloud_hears_what_it_is_told_by_hand() {
    let clock = Arc::new(VirtualClock::new(1));
    let host = FakeHost::new(Arc::clone(&clock) as Arc<dyn Clock>, 1);
    let place = super::place(1);
    assert_eq!(drive(&clock, host.listen(&place, None)), Ok(Hearing::Listens));
    host.announce(&place.machine, None);
    let noticed = Hearing::Noticed { deadline: None };
    assert_eq!(drive(&clock, host.listen(&place, Some(Hearing::Listens))), Ok(noticed));
}
