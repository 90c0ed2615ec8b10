//! Jobs of tests, and following them.

use std::collections::BTreeMap;

use crate::host::{Begun, Contents, HostError, Job, Progress, RunnerHost};
use crate::model::{AttemptId, Place, Program, RunId, Shell, WorkflowId};

pub(super) fn attempt(number: u64) -> AttemptId {
    AttemptId { workflow: WorkflowId { run: RunId::from_bits(number), index: 0 }, number: 1 }
}

pub(super) fn job(program: Program) -> Job {
    Job { program, shell: Shell::Sh, args: Vec::new(), env: BTreeMap::new(), working_dir: None, timeout: None }
}

pub(super) fn script(text: &str) -> Job {
    job(Program::Commands(vec![text.to_owned()]))
}

pub(super) fn argv(words: &[&str]) -> Job {
    job(Program::Argv(words.iter().map(|word| (*word).to_owned()).collect()))
}

pub(super) async fn start(
    host: &dyn RunnerHost,
    place: &Place,
    attempt: AttemptId,
    job: &Job,
) -> Result<Begun, HostError> {
    host.stage(place, attempt, &Contents::default()).await?;
    host.start(place, attempt, job, &BTreeMap::new()).await
}

/// Follows an attempt until it is over, or has printed this.
pub(super) async fn follow(
    host: &dyn RunnerHost,
    place: &Place,
    attempt: AttemptId,
    until: Option<&str>,
) -> (Progress, Vec<u8>) {
    let mut output = Vec::new();
    loop {
        let polled = host.poll(place, &[(attempt, output.len() as u64)]).await.expect("it answers").remove(0);
        output.extend_from_slice(&polled.output);
        let is_over = !matches!(polled.progress, Progress::Staged | Progress::Running) && !polled.has_more;
        if is_over || until.is_some_and(|until| until.as_bytes() == output) {
            return (polled.progress, output);
        }
        if !polled.has_more {
            host.wait(place).await.expect("it answers");
        }
    }
}

/// Runs one job to its end: its progress there and what it printed, as text.
pub(super) async fn run(host: &dyn RunnerHost, place: &Place, number: u64, job: &Job) -> (Progress, String) {
    assert_eq!(start(host, place, attempt(number), job).await, Ok(Begun::Started));
    let (progress, output) = follow(host, place, attempt(number), None).await;
    (progress, String::from_utf8_lossy(&output).into_owned())
}
