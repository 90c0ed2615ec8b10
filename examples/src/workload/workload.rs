//! Jobs: read from a CSV, or made from a seed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use dstack_core::cloud::Draw;
use dstack_core::model::{Bytes, GpuNeed, MilliCpu, Name, Needs, Program, Span, WorkflowSpec};

/// The columns, in their order.
pub const HEADER: &str = "job_id,submit_s,duration_s,cpu_milli,memory_mib,gpu_count,gpu_name,depends_on";

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Unique name.
    pub name: Name,
    /// When it is submitted, since the beginning.
    pub submit: Span,
    /// How long it runs.
    pub duration: Span,
    /// What it needs.
    pub needs: Needs,
    /// Places of jobs before it in the list that must succeed first.
    pub depends_on: Vec<usize>,
}

/// Why the CSV cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct CsvError {
    line: usize,
    why: String,
}

/// Reads the CSV's text.
///
/// # Errors
/// Names the first line that is not a job.
pub fn read_csv(text: &str) -> Result<Vec<Job>, CsvError> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (line, row) in (1..).zip(text.lines()) {
        if line == 1 {
            if row.trim() != HEADER {
                return Err(CsvError { line, why: format!("the columns must be {HEADER}") });
            }
            continue;
        }
        if row.trim().is_empty() {
            continue;
        }
        let job = job(row, &places).map_err(|why| CsvError { line, why })?;
        let id = row.split(',').next().unwrap_or_default().trim();
        if places.insert(id.to_owned(), jobs.len()).is_some() {
            return Err(CsvError { line, why: format!("job {id} was there before") });
        }
        jobs.push(job);
    }
    Ok(jobs)
}

fn job(row: &str, places: &BTreeMap<String, usize>) -> Result<Job, String> {
    let fields: Vec<&str> = row.split(',').map(str::trim).collect();
    let [id, submit, duration, cpu, memory, gpus, gpu_names, depends_on] = fields[..] else {
        return Err(format!("8 fields are needed, there are {}", fields.len()));
    };
    let place = |id: &str| places.get(id).copied().ok_or_else(|| format!("job {id} does not come before it"));
    let listed = |list: &'static [char], text: &str| -> Vec<String> {
        text.split(list).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let (cpu, memory, count) = (number("cpu_milli", cpu)?, number("memory_mib", memory)?, number("gpu_count", gpus)?);
    let gpu = (count > 0).then(|| GpuNeed { names: listed(&['|'], gpu_names), count, memory: None });
    Ok(Job {
        name: id.to_lowercase().replace('_', "-").parse().map_err(|error| format!("job_id: {error}"))?,
        submit: Span::from_secs(number("submit_s", submit)?),
        duration: Span::from_secs(number("duration_s", duration)?),
        needs: needs(cpu, memory, gpu),
        depends_on: listed(&[';'], depends_on).iter().map(|id| place(id)).collect::<Result<_, _>>()?,
    })
}

fn number<N: FromStr<Err: Display>>(column: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|error| format!("{column} is {text:?}: {error}"))
}

/// Nothing asked for is no wish.
fn needs(cpu_milli: u64, memory_mib: u64, gpu: Option<GpuNeed>) -> Needs {
    Needs {
        cpu: (cpu_milli > 0).then_some(MilliCpu(cpu_milli)),
        memory: (memory_mib > 0).then(|| Bytes::from_mib(memory_mib)),
        gpu,
        ..Needs::default()
    }
}

/// Days full of small jobs with quiet nights between them; some come in threes, each after the one before it.
pub fn generate(seed: u64, count: usize) -> Vec<Job> {
    const DAY_S: u64 = 86_400;
    let mut draw = Draw::new(seed);
    let mut jobs: Vec<Job> = Vec::with_capacity(count);
    let mut now_s = 8 * 3_600;
    let mut left_of_chain = 0;
    while jobs.len() < count {
        let is_link = left_of_chain > 0;
        if is_link {
            left_of_chain -= 1;
        } else {
            let is_night = !(8 * 3_600..19 * 3_600).contains(&(now_s % DAY_S));
            now_s += draw.below(if is_night { 1_800 } else { 120 });
            left_of_chain = if draw.chance(100) { 2 } else { 0 };
        }
        let longest_s = 60 << draw.below(6);
        let gpu = draw.chance(50).then(|| GpuNeed { names: Vec::new(), count: 1, memory: None });
        let cpu_milli = 500 << draw.below(4);
        jobs.push(Job {
            name: format!("job-{}", jobs.len()).parse().expect("it has only letters, digits and a hyphen"),
            submit: Span::from_secs(now_s),
            duration: Span::from_secs(longest_s / 2 + draw.below(longest_s)),
            needs: needs(cpu_milli, cpu_milli * (1 + draw.below(3)), gpu),
            depends_on: if is_link { vec![jobs.len() - 1] } else { Vec::new() },
        });
    }
    jobs
}

/// A run: jobs that depend on each other, submitted together when the last of them is.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// When.
    pub submit: Span,
    /// Places of its jobs, ascending.
    pub jobs: Vec<usize>,
}

/// Jobs that depend on each other, however far, are of one group; the groups are in order of submission.
pub fn groups(jobs: &[Job]) -> Vec<Group> {
    let mut root: Vec<usize> = (0..jobs.len()).collect();
    fn find(root: &mut [usize], mut place: usize) -> usize {
        while root[place] != place {
            root[place] = root[root[place]];
            place = root[place];
        }
        place
    }
    for (place, job) in jobs.iter().enumerate() {
        for before in &job.depends_on {
            let (one, other) = (find(&mut root, place), find(&mut root, *before));
            root[one.max(other)] = one.min(other);
        }
    }
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for (place, job) in jobs.iter().enumerate() {
        let first = find(&mut root, place);
        let group = groups.entry(first).or_insert_with(|| Group { submit: job.submit, jobs: Vec::new() });
        group.submit = group.submit.max(job.submit);
        group.jobs.push(place);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| (group.submit, group.jobs[0]));
    groups
}

/// The group's jobs as workflows of one run.
///
/// # Panics
/// If a job of the group depends on one that is not of it.
pub fn specs(jobs: &[Job], group: &Group) -> Vec<WorkflowSpec> {
    let index_of = |place: &usize| {
        let index = group.jobs.binary_search(place).expect("what a job depends on is of its group");
        u32::try_from(index).expect("a run has fewer workflows")
    };
    let spec = |place: &usize| {
        let job = &jobs[*place];
        let mut spec = WorkflowSpec::script(job.name.clone(), [""; 0]);
        spec.program = Program::Argv(vec!["sleep".into(), job.duration.as_secs().to_string()]);
        spec.needs = job.needs.clone();
        spec.depends_on = job.depends_on.iter().map(index_of).collect();
        spec
    };
    group.jobs.iter().map(spec).collect()
}

/// How long a job runs, by what [`specs`] has made of it.
pub fn duration_of(program: &Program) -> Span {
    let secs = match program {
        Program::Argv(words) => words.get(1).and_then(|secs| secs.parse().ok()),
        Program::Commands(_) => None,
    };
    Span::from_secs(secs.unwrap_or(0))
}
