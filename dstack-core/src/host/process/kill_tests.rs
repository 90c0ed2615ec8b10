//! What becomes of attempts when their supervisor or their processes are killed, and that the laws hold here.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::test_runner::{TestRunners, block_on, read_pid, supervisor_command};
use super::{Life, ProcessHost, READY, is_running};
use crate::blob::Payload;
use crate::host::laws::{Law, Subject};
use crate::host::test_archive;
use crate::host::{Begun, Closing, Contents, HostError, Job, Progress, RunnerHost};
use crate::model::{AttemptId, Exit, ExitCause, Place, Program, RunId, Shell, Span, WorkflowId};
use crate::secret::Secret;

struct Processes(TestRunners);

#[async_trait]
impl Subject for Processes {
    async fn place(&self) -> Place {
        self.0.start()
    }

    fn host(&self) -> Arc<dyn RunnerHost> {
        Arc::new(ProcessHost::new(self.0.root.path().to_owned()))
    }

    fn pack(&self, files: &BTreeMap<String, Vec<u8>>) -> Payload {
        test_archive::pack(files)
    }

    fn unpack(&self, archive: &Payload) -> BTreeMap<String, Vec<u8>> {
        test_archive::unpack(archive)
    }
}

fn drive(law: Law) {
    block_on(async { law(&Processes(TestRunners::new())).await });
}

crate::host_laws!(drive);

fn attempt(number: u64) -> AttemptId {
    AttemptId { workflow: WorkflowId { run: RunId::from_bits(number), index: 0 }, number: 1 }
}

fn job(program: Program) -> Job {
    Job { program, shell: Shell::Sh, args: Vec::new(), env: BTreeMap::new(), working_dir: None, timeout: None }
}

fn script(text: &str) -> Job {
    job(Program::Commands(vec![text.to_owned()]))
}

fn argv(words: &[&str]) -> Job {
    job(Program::Argv(words.iter().map(|word| (*word).to_owned()).collect()))
}

async fn start(host: &ProcessHost, place: &Place, attempt: AttemptId, job: &Job) -> Result<Begun, HostError> {
    host.stage(place, attempt, &Contents::default()).await?;
    host.start(place, attempt, job, &BTreeMap::new()).await
}

/// Follows an attempt until it is over, or has printed this.
async fn follow(host: &ProcessHost, place: &Place, attempt: AttemptId, until: Option<&str>) -> (Progress, String) {
    loop {
        let polled = host.poll(place, &[(attempt, 0)]).await.expect("it answers").remove(0);
        let output = String::from_utf8_lossy(&polled.output).into_owned();
        let is_over = !matches!(polled.progress, Progress::Staged | Progress::Running);
        if is_over || until == Some(output.as_str()) {
            return (polled.progress, output);
        }
        host.wait(place).await.expect("it answers");
    }
}

/// Runs one attempt to its end on a runner of its own.
fn run(job: &Job, secrets: &BTreeMap<String, Secret>) -> (Progress, String) {
    let runners = TestRunners::new();
    let host = ProcessHost::new(runners.root.path().to_owned());
    let place = runners.start();
    let mut over = None;
    block_on(async {
        assert_eq!(host.start(&place, attempt(1), job, secrets).await, Ok(Begun::Started));
        over = Some(follow(&host, &place, attempt(1), None).await);
    });
    over.expect("it ran to its end")
}

#[test]
fn with_its_supervisor_killed_a_begun_attempt_is_lost_and_its_processes_are_gone() {
    let runners = TestRunners::new();
    let host = ProcessHost::new(runners.root.path().to_owned());
    let outside = tempfile::tempdir().expect("a temporary folder can be made");
    let pids = ["leader", "child", "escaped"].map(|name| outside.path().join(name));
    let place = runners.start();
    block_on(async {
        let [leader, child, escaped] = pids.each_ref().map(|path| path.display());
        let text = format!(
            "trap '' TERM; echo $$ > {leader}; sleep 600 & echo $! > {child}\n\
             setsid sh -c 'echo $$ > {escaped}; sleep 600' &\n\
             while ! test -s {escaped}; do :; done; printf up; sleep 600"
        );
        assert_eq!(start(&host, &place, attempt(1), &script("exit 5")).await, Ok(Begun::Started));
        follow(&host, &place, attempt(1), None).await;
        assert_eq!(start(&host, &place, attempt(2), &script(&text)).await, Ok(Begun::Started));
        follow(&host, &place, attempt(2), Some("up")).await;
        let waiting = host.wait(&place);
        runners.kill(&place);
        waiting.await.expect("a wait returns when the supervisor is gone");
        let asked = [(attempt(1), 0), (attempt(2), 0), (attempt(3), 0)];
        for _ in 0..2 {
            let polled = host.poll(&place, &asked).await.expect("its folder answers");
            let progress: Vec<_> = polled.into_iter().map(|polled| polled.progress).collect();
            assert_eq!(progress, [Progress::Exited(Exit::exited(5)), Progress::Lost, Progress::NeverBegun]);
            for pid in pids.iter().map(|path| read_pid(path)) {
                assert!(!is_running(pid), "process {pid} is still there");
            }
        }
        assert_eq!(start(&host, &place, attempt(2), &script("exit 0")).await, Ok(Begun::Started));
        assert_eq!(start(&host, &place, attempt(3), &script("exit 0")).await, Ok(Begun::Closed));
        assert_eq!(follow(&host, &place, attempt(2), None).await.0, Progress::Lost);
    });
}

#[test]
fn killed_at_any_moment_a_supervisor_starts_no_attempt_twice() {
    let runners = TestRunners::new();
    let outside = tempfile::tempdir().expect("a temporary folder can be made");
    block_on(async {
        for round in 0..24_u32 {
            let place = runners.start();
            let host = ProcessHost::new(runners.root.path().to_owned());
            let marks = outside.path().join(round.to_string());
            let job = script(&format!("echo x >> {}; sleep 0.0{}", marks.display(), round % 3));
            let starting = start(&host, &place, attempt(1), &job);
            let killing = async {
                // Each round gets a little further before the kill.
                for _ in 0..round * 4 {
                    tokio::task::yield_now().await;
                }
                if round % 2 == 1 {
                    let _ = host.poll(&place, &[(attempt(1), 0)]).await;
                }
                runners.kill(&place);
            };
            let (begun, ()) = futures::future::join(starting, killing).await;
            let other = ProcessHost::new(runners.root.path().to_owned());
            let again = start(&other, &place, attempt(1), &job).await.expect("the folder answers");
            let (progress, _) = follow(&other, &place, attempt(1), None).await;
            let starts = std::fs::read_to_string(&marks).unwrap_or_default().lines().count();
            assert!(starts <= 1, "round {round}: {starts} starts");
            match (again, progress) {
                (Begun::Closed, Progress::NeverBegun) => {
                    assert_eq!(starts, 0, "round {round}");
                    assert_ne!(begun, Ok(Begun::Started), "round {round}");
                }
                (Begun::Started, Progress::Lost | Progress::Exited(_)) => {}
                other => panic!("round {round}: {other:?}"),
            }
            let marker = runners.path(&place).join("attempts");
            assert!(marker.exists());
        }
    });
}

#[test]
fn a_program_that_is_not_there_or_not_executable_says_so() {
    let none = BTreeMap::new();
    let not_started = |code| Progress::Exited(Exit { code, cause: ExitCause::NotStarted });
    assert_eq!(
        run(&argv(&["no-such-tool", "--train"]), &none),
        (not_started(127), "dstack: no-such-tool: not found\n".to_owned())
    );
    assert_eq!(
        run(&argv(&["/etc/passwd"]), &none),
        (not_started(126), "dstack: /etc/passwd: may not be executed\n".to_owned())
    );
    assert_eq!(
        run(&argv(&["printf", "%s", "a b;$HOME"]), &none),
        (Progress::Exited(Exit::exited(0)), "a b;$HOME".to_owned())
    );
    for folder in ["missing", "../..", "/"] {
        let job = Job { working_dir: Some(folder.to_owned()), ..script("printf no") };
        let (progress, output) = run(&job, &none);
        assert_eq!(progress, not_started(126), "{folder}");
        assert!(output.starts_with("dstack: "), "{output}");
    }
}

#[test]
fn case_06_a_missing_program_in_a_script_fails_it_and_ends_it() {
    let (progress, output) = run(&script("no-such-tool --train\necho done"), &BTreeMap::new());
    assert_eq!(progress, Progress::Exited(Exit::exited(127)));
    assert!(!output.contains("done"), "{output}");
    assert_eq!(run(&script("false || true\nfalse | cat\necho ok # fine"), &BTreeMap::new()).1, "ok\n");
}

#[test]
fn case_07_a_child_killed_by_a_signal_is_the_parents_business() {
    let (progress, _) = run(&script("sh -c 'kill -11 $$' || exit 3"), &BTreeMap::new());
    assert_eq!(progress, Progress::Exited(Exit::exited(3)));
}

#[test]
fn a_job_that_goes_to_the_background_ends_with_its_leader() {
    let outside = tempfile::tempdir().expect("a temporary folder can be made");
    let pid = outside.path().join("pid");
    let (progress, _) = run(&script(&format!("sleep 600 & echo $! > {}", pid.display())), &BTreeMap::new());
    assert_eq!(progress, Progress::Exited(Exit::exited(0)));
    assert!(!is_running(read_pid(&pid)));
}

#[test]
fn the_whole_group_may_use_the_grace_of_a_stop() {
    let runners = TestRunners::new();
    let host = ProcessHost::new(runners.root.path().to_owned());
    let place = runners.start();
    block_on(async {
        // The shell ends at once; its child takes its time to save what it has.
        let text =
            "sh -c 'trap \"sleep 0.3; echo saved; exit 0\" TERM; printf up; while :; do sleep 0.05; done' & wait";
        assert_eq!(start(&host, &place, attempt(1), &script(text)).await, Ok(Begun::Started));
        follow(&host, &place, attempt(1), Some("up")).await;
        host.close(&place, attempt(1), Closing::Stop { grace: Span::from_secs(60) }).await.expect("it answers");
        let stopped = Progress::Exited(Exit { code: 130, cause: ExitCause::Stopped });
        let (progress, output) = follow(&host, &place, attempt(1), None).await;
        assert_eq!(progress, stopped);
        // In between, some shells say that their own child was ended.
        assert!(output.starts_with("up") && output.ends_with("saved\n"), "{output:?}");
    });
}

#[test]
fn secrets_reach_the_job_and_no_file() {
    let runners = TestRunners::new();
    let host = ProcessHost::new(runners.root.path().to_owned());
    let place = runners.start();
    block_on(async {
        let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new("hunter2-hunter2".to_owned()))]);
        let job = script("test ${#TOKEN} = 15; tr '\\0' '\\n' < /proc/$$/cmdline | grep -c 'hunter[2]' || true");
        host.start(&place, attempt(1), &job, &secrets).await.expect("it answers");
        let over = follow(&host, &place, attempt(1), None).await;
        assert_eq!(over, (Progress::Exited(Exit::exited(0)), "0\n".to_owned()));
        let mut folders = vec![runners.path(&place)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("read") {
                let path = entry.expect("read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(content) = std::fs::read(&path) {
                    assert!(!content.windows(7).any(|part| part == b"hunter2"), "{}", path.display());
                }
            }
        }
    });
}

#[test]
fn a_second_supervisor_of_a_runner_leaves_at_once() {
    let runners = TestRunners::new();
    let place = runners.start();
    let command = supervisor_command();
    let again = || {
        let mut command_again = std::process::Command::new(&command[0]);
        command_again.args(&command[1..]).arg(runners.path(&place)).stdin(std::process::Stdio::null());
        command_again.output().expect("it ran to its end").stdout
    };
    assert!(!again().contains(&READY), "one lives");
    assert_eq!(runners.folder(&place).life().expect("read"), Life::Alive);
    runners.kill(&place);
    assert_eq!(runners.folder(&place).life().expect("read"), Life::Dead);
    assert!(!again().contains(&READY), "and none ever again");
    assert_eq!(runners.folder(&place).life().expect("read"), Life::Dead);
}
