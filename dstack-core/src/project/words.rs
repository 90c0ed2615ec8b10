//! Which words are ours, which belong to other tools, and which one was probably meant.

use super::ProjectError;
use super::yaml::Text;

/// Where in the files a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    File,
    Workflow,
    DependsOn,
    Artifact,
    Resources,
    Gpu,
    Retry,
    Variables,
}

impl Section {
    /// The keys that are ours there.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::File => &["workflows"],
            Self::Workflow => &[
                "name",
                "help",
                "commands",
                "shell",
                "working-dir",
                "env",
                "depends-on",
                "artifacts",
                "resources",
                "retry",
                "timeout",
                "priority",
            ],
            Self::DependsOn => &["workflows", "repo", "variables"],
            Self::Artifact => &["path", "mount"],
            Self::Resources => &["cpu", "memory", "gpu", "disk", "purchase", "instance-type", "interruptible"],
            Self::Gpu => &["name", "count", "memory"],
            Self::Retry => &["max", "on-exit-codes"],
            Self::Variables => &["variables"],
        }
    }
}

/// Keys of older versions and other tools: where, which, and what to do here.
pub(super) const FOREIGN: &[(Section, &str, &str)] = &[
    (Section::File, "variables", "variables stand in `.dstack/variables.yaml`"),
    (Section::File, "type", "a file is a list of workflows here: begin with `workflows:`"),
    (Section::Workflow, "image", "container images are not built yet: the commands run on the runner itself"),
    (
        Section::Workflow,
        "shm_size",
        "container images are not built yet, and without one shared memory has no limit to raise",
    ),
    (
        Section::Resources,
        "shm_size",
        "container images are not built yet, and without one shared memory has no limit to raise",
    ),
    (
        Section::Workflow,
        "provider",
        "there are no providers to choose here: for bash drop the line, for python write `python FILE` in `commands`, for docker see `image`",
    ),
    (Section::Workflow, "python", "the Python version is not chosen here: put what installs it in `commands`"),
    (Section::Workflow, "requirements", "write `pip install -r FILE` in `commands`"),
    (Section::Workflow, "script", "write `python FILE` in `commands`"),
    (Section::Workflow, "ports", "ports are not supported: a workflow runs to its end and serves nobody"),
    (Section::Workflow, "nodes", "a workflow runs on one runner: write several workflows"),
    (Section::Workflow, "volumes", "volumes are not supported: declare what is to be kept in `artifacts`"),
    (Section::Workflow, "ide", "development environments are not supported: `commands` run to their end"),
    (Section::Workflow, "deps", "write `depends-on: [NAME]`"),
    (Section::Workflow, "dependencies", "write `depends-on: [NAME]`"),
    (Section::Workflow, "environment", "write `env`"),
    (Section::Workflow, "type", "every workflow runs its `commands` to their end: drop the line"),
    (
        Section::Workflow,
        "spot_policy",
        "write `purchase: spot` or `purchase: on-demand` below `resources`; unset means the cheapest allowed",
    ),
    (
        Section::Resources,
        "spot_policy",
        "write `purchase: spot` or `purchase: on-demand`; unset means the cheapest allowed",
    ),
    (Section::Resources, "spot", "write `purchase: spot`"),
    (Section::Workflow, "max_duration", "write `timeout`"),
    (Section::Workflow, "max_price", "rules say what may be spent: `dstack autoscale allow INSTANCE_TYPE --max N`"),
    (
        Section::Workflow,
        "regions",
        "rules say where runners start: `dstack autoscale allow INSTANCE_TYPE --max N --region REGION`",
    ),
    (
        Section::Workflow,
        "instance_types",
        "rules say which types may be used: `dstack autoscale allow INSTANCE_TYPE`; one of them is chosen by `instance-type` below `resources`",
    ),
    (Section::Workflow, "idle_duration", "it holds for all runners: `dstack autoscale set --idle-timeout 5m`"),
    (Section::Workflow, "cpu", "it belongs below `resources`"),
    (Section::Workflow, "memory", "it belongs below `resources`"),
    (Section::Workflow, "gpu", "it belongs below `resources`"),
    (Section::Workflow, "disk", "it belongs below `resources`"),
    (Section::Workflow, "purchase", "it belongs below `resources`"),
    (Section::Workflow, "interruptible", "it belongs below `resources`"),
    (Section::Workflow, "instance-type", "it belongs below `resources`"),
    (Section::Gpu, "vendor", "name the model: `name: A10G`"),
    (Section::Gpu, "total_memory", "memory is said for each device: `memory`"),
    (
        Section::Retry,
        "on_events",
        "lack of capacity and loss of a runner are always retried; for failures write `max` and, if only some, `on-exit-codes`",
    ),
    (Section::Retry, "duration", "write `max`, a number of further attempts"),
];

/// Checks that a key is ours; the error says what is meant here, or which word is near.
pub(super) fn check_key(section: Section, key: &Text) -> Result<(), ProjectError> {
    let word = key.text.as_str();
    if section.keys().contains(&word) {
        return Ok(());
    }
    if let Some((.., instead)) = FOREIGN.iter().find(|(place, known, _)| *place == section && *known == word) {
        return Err(key.error(format!("`{word}` is not a key here: {instead}")));
    }
    if let Some(model) = word.strip_suffix("/gpu").filter(|_| section == Section::Resources) {
        return Err(key.error(format!("`{word}` is not a key here: write `gpu: {{name: {model}, count: 1}}`")));
    }
    Err(key.error(match nearest(word, section.keys().iter().copied()) {
        Some(near) => format!("unknown key `{word}`: did you mean `{near}`?"),
        None => format!("unknown key `{word}`: known here are {}", section.keys().join(", ")),
    }))
}

/// The candidate that is most like the word, if one is like it at all; `_`, `-` and letter case do not count.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word: String = plain(word).chars().take(100).collect();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let score = strsim::jaro_winkler(&word, &plain(candidate));
        if score > ALIKE && best.is_none_or(|(most, _)| score > most) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
