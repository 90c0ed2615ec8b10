//! Workflows of a schedule, and what they do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::swarm::{Swarm, small};
use crate::cloud::{Draw, builtin_offerings};
use crate::host::{Job, Simulated};
use crate::model::{AttemptId, Bytes, Exit, GpuNeed, MilliCpu, Name, Needs, Retry, Span, WorkflowSpec};

/// Beyond what one poll brings.
const LARGE_OUTPUT: usize = 1_100_000;
/// The artifact that workflows declare.
const ARTIFACT: &str = "out";

/// Workflows that depend on each other here and there, each of which some rule of the schedule fits.
pub(super) fn workflows(draw: &mut Draw, swarm: &Swarm) -> Vec<WorkflowSpec> {
    (0..=small(draw, 4)).map(|index| workflow(draw, swarm, index)).collect()
}

fn workflow(draw: &mut Draw, swarm: &Swarm, index: u32) -> WorkflowSpec {
    let name: Name = format!("w{index}").parse().expect("it is a name");
    let mut spec = WorkflowSpec::script(name, ["job"]);
    spec.depends_on = (0..index).filter(|_| draw.chance(300)).collect();
    if draw.chance(400) {
        spec.artifacts = vec![ARTIFACT.to_owned()];
    }
    spec.needs = needs(draw, swarm);
    if draw.chance(300) {
        spec.retry = Some(Retry { max: 1 + small(draw, 2), on_exit_codes: Vec::new() });
    }
    if draw.chance(200) {
        spec.timeout = Some(Span::from_secs(30 + draw.below(300)));
    }
    if draw.chance(300) {
        spec.priority = i32::try_from(draw.below(5)).unwrap_or(0) - 2;
    }
    spec
}

/// Needs that some rule fits.
fn needs(draw: &mut Draw, swarm: &Swarm) -> Needs {
    let place = usize::try_from(draw.below(swarm.rules.len() as u64)).unwrap_or(0);
    let rule = &swarm.rules[place];
    let mut needs = Needs::default();
    match draw.below(5) {
        0 | 1 => {
            needs.cpu = Some(MilliCpu(500 << draw.below(3)));
            needs.memory = Some(Bytes::from_mib(512 << draw.below(3)));
        }
        2 => needs.instance_type = Some(rule.instance_type.clone()),
        3 => needs.purchase = Some(rule.purchase),
        _ => {}
    }
    let has_gpu =
        |offering: &crate::model::Offering| offering.instance_type == rule.instance_type && offering.gpus.is_some();
    if needs.instance_type.is_none()
        && needs.purchase.is_none()
        && builtin_offerings().iter().any(has_gpu)
        && draw.chance(500)
    {
        needs.gpu = Some(GpuNeed { names: Vec::new(), count: 1, memory: None });
    }
    needs
}

/// How often each fault of jobs came about.
#[derive(Debug, Clone, Default)]
pub(super) struct JobHits(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl JobHits {
    fn hit(&self, name: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What each attempt does: drawn from its id alone, so that who starts it when changes nothing.
pub(super) fn simulation(
    swarm: &Swarm,
    hits: JobHits,
) -> impl Fn(AttemptId, &Job) -> Simulated + Send + Sync + 'static {
    let (seed, rates) = (swarm.seed, swarm.rates.clone());
    move |attempt, _job| {
        let id = attempt.workflow.run.to_bits().rotate_left(attempt.workflow.index) ^ u64::from(attempt.number) << 56;
        let mut draw = Draw::new(seed ^ id);
        let mut befalls = |draw: &mut Draw, name: &'static str| {
            let is_hit = draw.chance(rates.get(name).copied().unwrap_or(0));
            if is_hit {
                hits.hit(name);
            }
            is_hit
        };
        simulated(&mut draw, attempt, &mut befalls)
    }
}

fn simulated(
    draw: &mut Draw,
    attempt: AttemptId,
    befalls: &mut dyn FnMut(&mut Draw, &'static str) -> bool,
) -> Simulated {
    let length = 1_000_000 * (1 + draw.below(20)) * (1 + draw.below(30));
    let exit = if befalls(draw, "job.fails") {
        Exit::exited(1 + u8::try_from(draw.below(100)).unwrap_or(0))
    } else if befalls(draw, "job.killed_by_signal") {
        Exit::signal(9)
    } else {
        Exit::exited(0)
    };
    let moment = |draw: &mut Draw| Span::from_micros(draw.below(length + 1));
    let mut output: Vec<(Span, Vec<u8>)> = Vec::new();
    for line in 0..draw.below(4) {
        output.push((moment(draw), format!("{attempt} line {line}\n").into_bytes()));
    }
    if befalls(draw, "job.garbage_output") {
        output.push((moment(draw), b"\x1b]0;title\x07\xff\xfe\0\x9b31m\r\r\n".to_vec()));
    }
    if befalls(draw, "job.large_output") {
        output.push((moment(draw), vec![b'x'; LARGE_OUTPUT]));
    }
    output.sort_by_key(|(moment, _)| *moment);
    let mut files = Vec::new();
    if !befalls(draw, "job.artifact_missing") {
        files.push((Span::from_micros(length / 2), format!("{ARTIFACT}/model"), b"half".to_vec()));
        files.push((Span::from_micros(length), format!("{ARTIFACT}/model"), attempt.to_string().into_bytes()));
    }
    if befalls(draw, "job.artifact_changes") {
        for number in 0..3 {
            files.push((moment(draw), format!("{ARTIFACT}/part{number}"), vec![b'p'; 100]));
        }
    }
    files.sort();
    let deaf_from = befalls(draw, "job.ignores_stop").then_some(Span::ZERO);
    Simulated { duration: Span::from_micros(length), exit, output, files, deaf_from }
}
