//! The laws on real folders and processes, and what only they can show.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process};

use super::LocalCloud;
use crate::cloud::laws::{Law, Subject};
use crate::cloud::{CloudProvider, Known, LaunchError, Machine, MachineState};
use crate::host::process::test_runner::{block_on, read_pid, supervisor_command};
use crate::host::process::{Identity, ProcessHost, RunnerFolder, kill_leftovers};
use crate::host::test_archive::unpack;
use crate::host::{Begun, Contents, HostError, Job, Progress, RunnerHost};
use crate::model::{
    Address, AttemptId, LaunchId, LaunchRequest, LogId, MachineId, Place, Program, RunId, RunnerId, Scope, Shell,
    WorkflowId,
};

const LOG: LogId = LogId::from_bytes([7; 16]);

/// A root of its own. Whatever still runs there ends with it.
struct Here(tempfile::TempDir);

impl Here {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn local(&self) -> LocalCloud {
        LocalCloud::new(self.root().to_owned(), supervisor_command())
    }

    fn folder(&self, machine: &Machine) -> RunnerFolder {
        RunnerFolder::new(self.root().join(&machine.id.0))
    }

    fn kill_supervisor(&self, machine: &Machine) {
        let identity = Identity::read(&self.folder(machine).identity()).expect("read").expect("it was written");
        let process = identity.open().expect("looked up").expect("it lives");
        kill_process(Pid::from_raw(identity.pid).expect("a process has a number"), Signal::KILL).expect("killed");
        rustix::event::poll(&mut [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)], None)
            .expect("gone");
    }

    fn host(&self) -> ProcessHost {
        ProcessHost::new(self.root().to_owned())
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let folder = RunnerFolder::new(entry.path());
            if let Ok(Some(identity)) = Identity::read(&folder.identity()) {
                if let (Ok(Some(_)), Some(pid)) = (identity.open(), Pid::from_raw(identity.pid)) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                let _ = kill_leftovers(&folder);
            }
        }
    }
}

#[async_trait]
impl Subject for Here {
    fn cloud(&self) -> Arc<dyn CloudProvider> {
        Arc::new(self.local())
    }

    fn region(&self) -> String {
        "local".to_owned()
    }

    async fn settle(&self) {
        tokio::task::yield_now().await;
    }
}

fn drive(law: Law) {
    block_on(async { law(&Here::new()).await });
}

crate::cloud_laws!(drive);

async fn scope(cloud: &LocalCloud) -> Scope {
    cloud.scope("local").await.expect("there is one")
}

async fn request(cloud: &LocalCloud, log: LogId, launch: u64) -> LaunchRequest {
    let offering = cloud.catalogue("local").await.expect("there is one").remove(0);
    LaunchRequest::new(log, LaunchId::from_bits(launch), &offering, offering.zones[0].clone())
}

fn known(request: &LaunchRequest, is_final: bool) -> Known {
    Known { token: request.token(), machine: None, is_final, is_unheard: false }
}

fn place(machine: &Machine) -> Place {
    let address = machine.address.clone().unwrap_or_default();
    Place { runner: RunnerId::from_bits(1), machine: machine.id.clone(), address, identity: None }
}

fn attempt(number: u64) -> AttemptId {
    AttemptId { workflow: WorkflowId { run: RunId::from_bits(number), index: 0 }, number: 1 }
}

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

/// Starts a job that leaves a process in its group and one in a session of its own, and returns their numbers.
async fn start_job_with_children(host: &ProcessHost, place: &Place, outside: &Path) -> Vec<i32> {
    let pids = ["leader", "child", "escaped"].map(|name| outside.join(name));
    let job = script(&[
        &format!("trap '' TERM; echo $$ > {}", pids[0].display()),
        &format!("sleep 600 & echo $! > {}", pids[1].display()),
        &format!("setsid sh -c 'trap \"\" TERM; echo $$ > {}; sleep 600' &", pids[2].display()),
        "while ! test -s \"$1\"; do :; done; printf up; sleep 600",
    ]);
    let job = Job { args: vec![pids[2].display().to_string()], ..job };
    host.stage(place, attempt(1), &Contents::default()).await.expect("nothing to stage");
    host.start(place, attempt(1), &job, &BTreeMap::new()).await.expect("it lives");
    while host.poll(place, &[(attempt(1), 0)]).await.expect("it lives")[0].output != "up" {
        host.wait(place).await.expect("it lives");
    }
    pids.iter().map(|path| read_pid(path)).collect()
}

fn assert_gone(pids: &[i32]) {
    for pid in pids {
        assert!(!crate::host::process::is_running(*pid), "process {pid} is still there");
    }
}

#[test]
fn launches_of_one_token_at_once_make_one_machine() {
    block_on(async {
        let here = Here::new();
        let (one, two) = (here.local(), here.local());
        let request = request(&one, LOG, 1).await;
        let launches = (0..20).map(|turn| if turn % 2 == 0 { one.launch(&request) } else { two.launch(&request) });
        let machines: Vec<Machine> = join_all(launches).await.into_iter().map(|machine| machine.expect("up")).collect();
        assert!(machines.iter().all(|machine| *machine == machines[0]));
        let look = two.look(&scope(&two).await, LOG, &[]).await.expect("looked");
        assert_eq!(look.machines.len(), 1);
        assert_eq!(look.machines[0].state, MachineState::Running);
    });
}

#[test]
fn terminating_kills_jobs_wherever_they_went_and_takes_their_files_away() {
    block_on(async {
        let (here, outside) = (Here::new(), tempfile::tempdir().expect("made"));
        let cloud = here.local();
        let machine = cloud.launch(&request(&cloud, LOG, 1).await).await.expect("up");
        let host = here.host();
        let pids = start_job_with_children(&host, &place(&machine), outside.path()).await;
        assert_eq!(cloud.terminate(&scope(&cloud).await, std::slice::from_ref(&machine.id)).await, [Ok(())]);
        assert_gone(&pids);
        assert!(!here.folder(&machine).attempts().exists());
        let polled = host.poll(&place(&machine), &[]).await;
        assert_eq!(polled, Ok(Vec::new()), "a dead runner still answers from its folder");
    });
}

#[test]
fn a_supervisor_that_hangs_is_killed_with_all_it_has() {
    block_on(async {
        let (here, outside) = (Here::new(), tempfile::tempdir().expect("made"));
        let cloud = here.local();
        let machine = cloud.launch(&request(&cloud, LOG, 1).await).await.expect("up");
        let pids = start_job_with_children(&here.host(), &place(&machine), outside.path()).await;
        let identity = Identity::read(&here.folder(&machine).identity()).expect("read").expect("written");
        kill_process(Pid::from_raw(identity.pid).expect("a number"), Signal::STOP).expect("it hangs");
        assert_eq!(cloud.terminate(&scope(&cloud).await, std::slice::from_ref(&machine.id)).await, [Ok(())]);
        assert_gone(&pids);
        assert_gone(&[identity.pid]);
    });
}

#[test]
fn a_supervisor_that_hangs_is_out_of_reach_and_no_call_waits_for_it_for_ever() {
    block_on(async {
        let here = Here::new();
        let cloud = here.local();
        let machine = cloud.launch(&request(&cloud, LOG, 1).await).await.expect("up");
        here.host().poll(&place(&machine), &[]).await.expect("it answers");
        let host = here.host().with_answer_limit(Duration::from_millis(100));
        let identity = Identity::read(&here.folder(&machine).identity()).expect("read").expect("written");
        let supervisor = Pid::from_raw(identity.pid).expect("a number");
        kill_process(supervisor, Signal::STOP).expect("it hangs");
        while !fs::read_to_string(format!("/proc/{}/stat", identity.pid)).expect("it lives").contains(") T ") {
            std::thread::yield_now();
        }
        let polled = host.poll(&place(&machine), &[]).await;
        assert!(matches!(polled, Err(HostError::Unreachable(_))), "{polled:?}");
        kill_process(supervisor, Signal::CONT).expect("it goes on");
        here.host().poll(&place(&machine), &[]).await.expect("it answers again");
    });
}

#[test]
fn a_look_at_a_machine_whose_supervisor_died_ends_what_it_left() {
    block_on(async {
        let (here, outside) = (Here::new(), tempfile::tempdir().expect("made"));
        let cloud = here.local();
        let request = request(&cloud, LOG, 1).await;
        let machine = cloud.launch(&request).await.expect("up");
        let host = here.host();
        let pids = start_job_with_children(&host, &place(&machine), outside.path()).await;
        here.kill_supervisor(&machine);
        for _ in 0..2 {
            let look = cloud.look(&scope(&cloud).await, LOG, &[known(&request, false)]).await.expect("looked");
            assert_eq!(look.machines.iter().map(|seen| seen.state).collect::<Vec<_>>(), [MachineState::Terminated]);
            assert_gone(&pids);
        }
        assert_eq!(host.poll(&place(&machine), &[(attempt(1), 0)]).await.expect("answers")[0].progress, Progress::Lost);
        // Once nobody asks for it, two looks still report it, and its folder goes; its token stays spent.
        assert_eq!(cloud.look(&scope(&cloud).await, LOG, &[]).await.expect("looked").machines.len(), 1);
        assert_eq!(cloud.look(&scope(&cloud).await, LOG, &[]).await.expect("looked").machines.len(), 1);
        assert_eq!(cloud.look(&scope(&cloud).await, LOG, &[]).await.expect("looked").machines, []);
        assert!(!here.root().join(&machine.id.0).exists());
        assert_eq!(cloud.launch(&request).await, Err(LaunchError::Ended));
        let polled = host.poll(&place(&machine), &[]).await;
        assert!(matches!(polled, Err(HostError::Unreachable(_))), "{polled:?}");
    });
}

#[test]
fn a_launch_that_was_cut_off_before_its_supervisor_is_no_machine_until_it_is_sent_again() {
    block_on(async {
        let here = Here::new();
        let cloud = here.local();
        let request = request(&cloud, LOG, 1).await;
        // What a caller leaves that was killed between its two acts.
        super::folders::make_runner_folder(here.root(), &request).expect("made");
        let look = cloud.look(&scope(&cloud).await, LOG, &[known(&request, false)]).await.expect("looked");
        assert_eq!((look.machines, look.absent), (Vec::new(), vec![crate::cloud::Absence(request.token())]));
        let machine = cloud.launch(&request).await.expect("nothing was forbidden");
        let look = cloud.look(&scope(&cloud).await, LOG, &[known(&request, false)]).await.expect("looked");
        let seen: Vec<_> = look.machines.iter().map(|seen| (&seen.id, seen.state)).collect();
        assert_eq!(seen, [(&machine.id, MachineState::Running)]);
    });
}

#[test]
fn a_final_look_forbids_a_launch_that_is_still_on_its_way() {
    block_on(async {
        let here = Here::new();
        let cloud = here.local();
        for launch in 1..=10 {
            let request = request(&cloud, LOG, launch).await;
            let asked = [known(&request, true)];
            let scope = scope(&cloud).await;
            // Both at once: whichever wins, the look and the launch never contradict each other for good.
            let (looked, launched) =
                futures::future::join(cloud.look(&scope, LOG, &asked), cloud.launch(&request)).await;
            let is_absent = looked.expect("looked").absent.len() == 1;
            let again = cloud.look(&scope, LOG, &[known(&request, false)]).await.expect("looked");
            let is_alive =
                again.machines.iter().any(|seen| seen.id.0 == request.token().0 && seen.state == MachineState::Running);
            assert!(!(is_absent && is_alive), "a machine after its death certificate");
            assert_eq!(launched.is_ok(), is_alive);
        }
    });
}

#[test]
fn machines_of_other_logs_are_not_touched() {
    block_on(async {
        let here = Here::new();
        let cloud = here.local();
        let other = LogId::from_bytes([8; 16]);
        let request = request(&cloud, other, 1).await;
        let machine = cloud.launch(&request).await.expect("up");
        here.kill_supervisor(&machine);
        fs::create_dir(here.root().join("not-a-runner")).expect("made");
        fs::create_dir_all(here.root().join(".gone-half/attempts")).expect("made");
        let look = cloud.look(&scope(&cloud).await, LOG, &[]).await.expect("looked");
        assert_eq!(look.machines, []);
        assert!(!here.root().join(".gone-half").exists(), "a removal that was cut off is finished");
        assert!(here.folder(&machine).path().exists());
        assert!(here.root().join("not-a-runner").exists());
        let looked = cloud.terminate(&scope(&cloud).await, &[MachineId("not-a-runner".to_owned())]).await;
        assert_eq!(looked, [Err(crate::cloud::CloudError::NotFound)]);
        assert!(here.root().join("not-a-runner").exists());
    });
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    block_on(async {
        let here = Here::new();
        let cloud = here.local();
        for name in ["", ".", "..", "../x", "/etc", ".spent", "a/b"] {
            let answers = cloud.terminate(&scope(&cloud).await, &[MachineId(name.to_owned())]).await;
            assert!(matches!(answers[0], Err(crate::cloud::CloudError::Invalid(_))), "{name:?}");
            let place = Place {
                runner: RunnerId::from_bits(1),
                machine: MachineId(name.to_owned()),
                address: Address::default(),
                identity: None,
            };
            assert!(matches!(here.host().poll(&place, &[]).await, Err(HostError::Refused(_))), "{name:?}");
        }
    });
}

#[test]
fn a_very_long_path_to_a_runner_is_no_obstacle() {
    block_on(async {
        let here = Here::new();
        let root = here.root().join("long".repeat(50)).join("longer".repeat(20));
        let cloud = LocalCloud::new(root.clone(), supervisor_command());
        let machine = cloud.launch(&request(&cloud, LOG, 1).await).await.expect("up");
        let host = ProcessHost::new(root);
        let begun = host.start(&place(&machine), attempt(1), &script(&["exit 0"]), &BTreeMap::new()).await;
        assert_eq!(begun, Ok(Begun::Started));
        assert_eq!(cloud.terminate(&scope(&cloud).await, &[machine.id]).await, [Ok(())]);
    });
}

/// A new runner on which this was run to its end.
async fn after(cloud: &LocalCloud, host: &ProcessHost, launch: u64, line: &str) -> Place {
    let machine = cloud.launch(&request(cloud, LOG, launch).await).await.expect("it starts");
    let place = place(&machine);
    let begun = host.start(&place, attempt(1), &script(&[line]), &BTreeMap::new()).await;
    assert_eq!(begun, Ok(Begun::Started));
    while host.poll(&place, &[(attempt(1), 0)]).await.expect("it answers")[0].progress == Progress::Running {
        host.wait(&place).await.expect("it answers");
    }
    place
}

/// Its first file takes long to read. The others are to be read when the runner is gone, until that has once been so.
#[test]
fn of_a_runner_that_is_ended_an_artifact_comes_whole_or_not_at_all() {
    let here = Here::new();
    block_on(async {
        let (cloud, host) = (here.local(), here.host());
        let scope = scope(&cloud).await;
        for round in 1..=20 {
            let make = "mkdir out; cd out; seq 2000 2099 | xargs touch; dd if=/dev/zero of=1 bs=1 count=0 seek=64M";
            let place = after(&cloud, &host, round, make).await;
            let fetching = host.fetch(&place, attempt(1), "out");
            let ending = cloud.terminate(&scope, std::slice::from_ref(&place.machine));
            match futures::future::join(fetching, ending).await.0 {
                Ok(fetched) => {
                    let archive = fetched.archive.expect("it was made");
                    assert_eq!(unpack(&archive).len(), 101, "round {round}");
                }
                Err(HostError::UnknownAttempt(_)) => return,
                Err(other) => panic!("round {round}: {other}"),
            }
        }
        panic!("no end came in time");
    });
}

#[test]
fn an_artifact_that_nobody_can_read_is_told_and_not_asked_for_again() {
    let here = Here::new();
    block_on(async {
        let (cloud, host) = (here.local(), here.host());
        let place = after(&cloud, &host, 1, "ln -s loop loop").await;
        let fetched = host.fetch(&place, attempt(1), "loop/x").await.expect("it is an answer");
        assert!(fetched.archive.is_none() && fetched.unreadable.is_some(), "{fetched:?}");
    });
}
