//! The scheduled unit: what a user wants run, and what it needs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::text_serde;
use super::rule::{Offering, Purchase};
use super::{Bytes, MilliCpu, Span};

/// Longest name of a workflow or run, in characters.
pub const MAX_NAME_LEN: usize = 63;

/// A name of a workflow or run: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// The text is not a name; says which one would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid name: lower-case letters, digits and hyphens, at most 63, beginning with a letter or digit{}",
    .proposal.as_ref().map(|name| format!(" (for example: {name})")).unwrap_or_default()
)]
pub struct NameError {
    /// What was given.
    pub text: String,
    /// A name near to it that would pass, if there is one.
    pub proposal: Option<String>,
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_valid(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !text.is_empty() && text.len() <= MAX_NAME_LEN && text.bytes().all(allowed) && !text.starts_with('-')
    }

    fn proposal(text: &str) -> Option<String> {
        let mut near = String::new();
        for letter in text.chars().flat_map(char::to_lowercase) {
            let plain = match letter {
                'a'..='z' | '0'..='9' => letter,
                'ä' | 'à' | 'á' | 'â' => 'a',
                'ö' | 'ò' | 'ó' | 'ô' => 'o',
                'ü' | 'ù' | 'ú' | 'û' => 'u',
                'è' | 'é' | 'ê' | 'ë' => 'e',
                _ => '-',
            };
            if plain != '-' || !near.ends_with('-') {
                near.push(plain);
            }
        }
        let near: String = near.trim_matches('-').chars().take(MAX_NAME_LEN).collect();
        Self::is_valid(&near).then_some(near)
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if Self::is_valid(text) {
            Ok(Self(text.into()))
        } else {
            Err(NameError { text: text.to_owned(), proposal: Self::proposal(text) })
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

text_serde!(Name);

/// Accelerators that a workflow needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GpuNeed {
    /// Any of these models, compared whole and without letter case; none named means any model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// At least that many devices.
    pub count: u32,
    /// At least that much memory on each device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
}

/// What a workflow needs of a runner: minimums and wishes. Workflows with equal needs are one *shape* to the scheduler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// At least that much processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<MilliCpu>,
    /// At least that much memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// At least these accelerators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuNeed>,
    /// At least that much disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Bytes>,
    /// Only runners bought like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purchase: Option<Purchase>,
    /// Only runners of this type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Only runners of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl Needs {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a workflow with these needs may share its runner with others: it states both processor and memory.
    pub const fn may_share(&self) -> bool {
        self.cpu.is_some() && self.memory.is_some()
    }

    /// Whether an empty machine of this offering meets the needs.
    pub fn fit(&self, offering: &Offering) -> bool {
        let gpus_fit = self.gpu.as_ref().is_none_or(|need| {
            offering.gpus.as_ref().is_some_and(|gpus| {
                let named =
                    need.names.is_empty() || need.names.iter().any(|name| name.eq_ignore_ascii_case(&gpus.name));
                named && need.count <= gpus.count && need.memory.is_none_or(|memory| memory <= gpus.memory)
            })
        });
        gpus_fit
            && self.cpu.is_none_or(|cpu| cpu <= offering.cpu)
            && self.memory.is_none_or(|memory| memory <= offering.memory)
            && self.disk.is_none_or(|disk| disk <= offering.disk)
            && self.purchase.is_none_or(|purchase| purchase == offering.purchase)
            && self.instance_type.as_ref().is_none_or(|name| *name == offering.instance_type)
            && self.provider.as_ref().is_none_or(|name| *name == offering.scope.provider)
    }
}

impl fmt::Display for Needs {
    /// As a reader would say it: `2 CPU, 8GB memory, 1 GPU`, or `a runner of its own`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.cpu.map(|cpu| format!("{cpu} CPU")));
        words.extend(self.memory.map(|memory| format!("{memory} memory")));
        words.extend(self.disk.map(|disk| format!("{disk} disk")));
        words.extend(self.gpu.as_ref().map(|gpu| {
            let names = gpu.names.join(" or ");
            let memory = gpu.memory.map(|memory| format!(" of {memory}")).unwrap_or_default();
            format!("{} {names}{}GPU{memory}", gpu.count, if names.is_empty() { "" } else { " " })
        }));
        words.extend(self.instance_type.as_ref().map(|name| format!("type {name}")));
        words.extend(self.purchase.map(|purchase| purchase.to_string()));
        words.extend(self.provider.as_ref().map(|name| format!("provider {name}")));
        if words.is_empty() {
            formatter.write_str("a runner of its own")
        } else {
            formatter.write_str(&words.join(", "))
        }
    }
}

/// When a command that failed is tried again. Exits and timeouts are counted apart, and losses of a runner apart from both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retry {
    /// At most that many more attempts after failures, and as many after timeouts.
    pub max: u32,
    /// Only after one of these exit codes, of which 124 is a timeout; empty means after any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_exit_codes: Vec<u8>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// Lines of one shell script, run in order in one shell, which ends at the first that fails.
    Commands(Vec<String>),
    /// A program and its arguments, run without a shell's reading of them.
    Argv(Vec<String>),
}

/// Which shell reads the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shell {
    /// The POSIX shell, `sh`.
    #[default]
    Sh,
    /// `bash`, for commands that need it.
    Bash,
}

impl Shell {
    const fn is_default(&self) -> bool {
        matches!(self, Self::Sh)
    }
}

/// One workflow as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkflowSpec {
    /// Unique within its run.
    pub name: Name,
    /// What is run.
    #[serde(rename = "run")]
    pub program: Program,
    /// Which shell reads the commands.
    #[serde(default, skip_serializing_if = "Shell::is_default")]
    pub shell: Shell,
    /// The script's positional parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment, byte for byte; secrets are not in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Folder below the project's root in which it is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Places in the same run of the workflows that must have succeeded before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<u32>,
    /// Relative paths that are kept when it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// What it needs of a runner.
    #[serde(default, skip_serializing_if = "Needs::is_empty")]
    pub needs: Needs,
    /// Whether a failure is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Longest running time of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over by reference")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

impl WorkflowSpec {
    /// A workflow with this name that runs this shell script, with no wishes.
    pub fn script(name: Name, commands: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name,
            program: Program::Commands(commands.into_iter().map(Into::into).collect()),
            shell: Shell::Sh,
            args: Vec::new(),
            env: BTreeMap::new(),
            working_dir: None,
            depends_on: Vec::new(),
            artifacts: Vec::new(),
            needs: Needs::default(),
            retry: None,
            timeout: None,
            priority: 0,
        }
    }
}
