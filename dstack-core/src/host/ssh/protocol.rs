//! What is said to the runner's side: lines, each field preceded by its number of lines.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::ear::Ear;
use super::replies::Expected;
use crate::host::{Closing, HostError, Job};
use crate::model::{AttemptId, Program, Shell, Span};
use crate::secret::Secret;

/// All that is ever said to the login shell: it starts a shell that reads the runner's side, as lines, up to its end.
pub(super) const LOADER: &str = r##"exec /bin/sh -c 'n=$(printf "\n."); n=${n%.}; s=; e=; while IFS= read -r l; do [ "$l" = "#end" ] && e=1 && break; s=$s$l$n; done; [ -n "$e" ] && eval "$s"'"##;

/// The runner's side.
const RUNNER_SIDE: &str = concat!(
    include_str!("common.sh"),
    include_str!("supervisor.sh"),
    include_str!("requests.sh"),
    include_str!("channels.sh"),
);

/// Names that shells keep for themselves: setting them there fails or means something else.
const SHELL_OWN: [&str; 17] = [
    "_",
    "BASHOPTS",
    "BASH_VERSINFO",
    "BASHPID",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "IFS",
    "LINENO",
    "OPTARG",
    "OPTIND",
    "PPID",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "UID",
];
/// Longest span in seconds that a runner is told: three hundred years.
const LONGEST_SECONDS: u64 = 10_000_000_000;

/// Exit code where a command cannot be run as it is.
const CANNOT_RUN_CODE: u8 = 126;

/// What a channel is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    Serve,
    /// With an ear, which is used only where that is asked for.
    Watch(Option<Ear>),
    Stage,
    Fetch,
}

/// The runner's side as it is sent, and what this channel is for. `nonce` marks its answers.
pub(super) fn opening(mode: Mode, nonce: &str) -> Vec<u8> {
    let (mode, ear) = match mode {
        Mode::Serve => ("serve", None),
        Mode::Watch(ear) => ("watch", ear),
        Mode::Stage => ("stage", None),
        Mode::Fetch => ("fetch", None),
    };
    let mut out = without_comments(&ear.map_or_else(String::new, |ear| ear.text())).into_bytes();
    out.extend_from_slice(without_comments(RUNNER_SIDE).as_bytes());
    out.extend_from_slice(format!("#end\n{mode} {nonce}\n").as_bytes());
    out
}

/// A script of ours without indentation, comments and empty lines: none of its texts goes over several lines with those.
pub(super) fn without_comments(script: &str) -> String {
    let lines = script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The name of an attempt's folder.
pub(super) fn folder_name(attempt: AttemptId) -> String {
    format!("{}-{}-{}", attempt.workflow.run, attempt.workflow.index, attempt.number)
}

/// Adds a field: the number of its lines, and these.
pub(super) fn field(out: &mut Vec<u8>, value: &str) -> Result<(), HostError> {
    if value.contains('\0') {
        return Err(HostError::Refused("a value holds a zero byte, which no command can be given".to_owned()));
    }
    let lines = value.bytes().filter(|byte| *byte == b'\n').count() + 1;
    out.extend_from_slice(format!("{lines}\n").as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
    Ok(())
}

fn fields<'a>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = &'a str>) -> Result<(), HostError> {
    field(out, &values.len().to_string())?;
    values.into_iter().try_for_each(|value| field(out, value))
}

/// A request on its way, and what its answer looks like. There is no `Debug`, since secrets travel with a start.
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) expected: Expected,
}

impl Request {
    fn new(verb: &str, attempt: AttemptId) -> Result<Self, HostError> {
        let mut bytes = format!("{verb}\n").into_bytes();
        field(&mut bytes, &folder_name(attempt))?;
        Ok(Self { bytes, expected: Expected::Word })
    }

    pub(super) fn start(attempt: AttemptId, job: &Job, secrets: &BTreeMap<String, Secret>) -> Result<Self, HostError> {
        let mut request = Self::new("start", attempt)?;
        let out = &mut request.bytes;
        field(out, &job.timeout.map_or_else(String::new, seconds))?;
        let folder = job.working_dir.as_deref().unwrap_or("");
        field(out, folder)?;
        field(out, &refusal(folder))?;
        field(out, job.env.get("PATH").map_or("", String::as_str))?;
        let (kind, script, words): (_, _, Vec<&str>) = match &job.program {
            Program::Commands(lines) => {
                let shell = match job.shell {
                    Shell::Sh => "/bin/sh",
                    Shell::Bash => "bash",
                };
                (shell, lines.join("\n"), job.args.iter().map(String::as_str).collect())
            }
            Program::Argv(words) => ("argv", String::new(), words.iter().map(String::as_str).collect()),
        };
        field(out, kind)?;
        field(out, &script)?;
        let mut exported = Vec::new();
        let mut through_env = Vec::new();
        for (name, value) in job.env.iter().filter(|(name, _)| !secrets.contains_key(*name)) {
            let list = if is_settable(name) { &mut exported } else { &mut through_env };
            list.push(format!("{name}={value}"));
        }
        for (name, secret) in secrets {
            if !is_settable(name) {
                return Err(HostError::Refused(format!("a secret cannot be a variable of the name {name:?} there")));
            }
            exported.push(format!("{name}={}", secret.expose()));
        }
        fields(out, exported.iter().map(String::as_str))?;
        fields(out, through_env.iter().map(String::as_str))?;
        fields(out, words.into_iter())?;
        Ok(request)
    }

    pub(super) fn poll(attempts: &[(AttemptId, u64)]) -> Result<Self, HostError> {
        let mut bytes = b"poll\n".to_vec();
        field(&mut bytes, &attempts.len().to_string())?;
        for (attempt, offset) in attempts {
            field(&mut bytes, &folder_name(*attempt))?;
            field(&mut bytes, &offset.to_string())?;
        }
        Ok(Self { bytes, expected: Expected::Standings(attempts.len()) })
    }

    pub(super) fn close(attempt: AttemptId, closing: Closing) -> Result<Self, HostError> {
        let mut request = Self::new("close", attempt)?;
        let order = match closing {
            Closing::Stop { grace } => format!("stop {}", seconds(grace)),
            Closing::Lost => "lost".to_owned(),
        };
        field(&mut request.bytes, &order)?;
        Ok(request)
    }

    pub(super) fn release(attempt: AttemptId) -> Result<Self, HostError> {
        Self::new("release", attempt)
    }
}

/// A name that a shell can give to a variable, and that means nothing to it.
fn is_settable(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(is_word)
        && !SHELL_OWN.contains(&name)
}

/// Why the job is not started, as its exit code and words; empty where there is no reason.
fn refusal(folder: &str) -> String {
    let is_inside = Path::new(folder).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if is_inside {
        String::new()
    } else {
        format!("{CANNOT_RUN_CODE} the working folder {folder} leads out of the project")
    }
}

fn seconds(span: Span) -> String {
    let span = span.to_std();
    if span.as_secs() >= LONGEST_SECONDS {
        return LONGEST_SECONDS.to_string();
    }
    match span.subsec_millis() {
        0 => span.as_secs().to_string(),
        rest => format!("{}.{rest:03}", span.as_secs()),
    }
}
