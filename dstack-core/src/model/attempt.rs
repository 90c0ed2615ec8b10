//! How one try of a workflow ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Exit code of a workflow that ran longer than its timeout.
pub const TIMEOUT_CODE: u8 = 124;
/// Exit code of a workflow that was stopped.
pub const STOPPED_CODE: u8 = 130;

/// What ended the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCause {
    /// It exited by itself.
    #[default]
    Exited,
    /// A signal ended it.
    Signal(u8),
    /// It ran longer than its timeout.
    Timeout,
    /// A user stopped it.
    Stopped,
    /// The system ended it for want of memory.
    OutOfMemory,
    /// It could not be started at all.
    NotStarted,
}

impl ExitCause {
    const fn is_default(&self) -> bool {
        matches!(self, Self::Exited)
    }
}

/// How a command ended. Recorded once and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Exit {
    /// The command's own code, 128 + N for signal N, or 124 for a timeout.
    pub code: u8,
    /// What ended it.
    #[serde(default, skip_serializing_if = "ExitCause::is_default")]
    pub cause: ExitCause,
}

impl Exit {
    /// The command exited by itself with this code.
    pub const fn exited(code: u8) -> Self {
        Self { code, cause: ExitCause::Exited }
    }

    /// A signal ended the command.
    pub const fn signal(number: u8) -> Self {
        Self { code: number.wrapping_add(128), cause: ExitCause::Signal(number) }
    }

    /// Whether this is the exit of a command that did its work.
    pub const fn is_success(&self) -> bool {
        self.code == 0 && matches!(self.cause, ExitCause::Exited)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            ExitCause::Exited => write!(formatter, "exit code {}", self.code),
            ExitCause::Signal(number) => write!(formatter, "killed by {}", SignalName(number)),
            ExitCause::Timeout => formatter.write_str("ran longer than its timeout"),
            ExitCause::Stopped => formatter.write_str("stopped by its user"),
            ExitCause::OutOfMemory => formatter.write_str("out of memory: the system killed it"),
            ExitCause::NotStarted => write!(formatter, "could not be started (exit code {})", self.code),
        }
    }
}

/// A signal as people know it.
struct SignalName(u8);

impl fmt::Display for SignalName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "SIGHUP",
            2 => "SIGINT",
            3 => "SIGQUIT",
            4 => "SIGILL",
            6 => "SIGABRT",
            7 => "SIGBUS",
            8 => "SIGFPE",
            9 => "SIGKILL",
            11 => "SIGSEGV",
            13 => "SIGPIPE",
            14 => "SIGALRM",
            15 => "SIGTERM",
            24 => "SIGXCPU",
            25 => "SIGXFSZ",
            other => return write!(formatter, "signal {other}"),
        };
        write!(formatter, "signal {} ({name})", self.0)
    }
}

/// Why an attempt ended without a result that counts. The workflow goes back to the queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The runner it was on is gone.
    RunnerLost,
    /// The cloud took the runner back.
    Interrupted,
    /// The runner was shut down by a user's wish: a lower maximum, a removed rule, `disable`, or by hand.
    ShutDown,
    /// Its process is gone and left no exit record.
    ProcessLost,
    /// The command exited, but its results could not be brought home.
    ResultsLost,
    /// It was never begun.
    NeverBegun,
    /// It could not be started; the text says why.
    Refused(String),
}

/// Which of a workflow's losses one is counted with. Each has a bound of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossClass {
    /// Something broke: at most `max_losses` of the settings.
    Loss,
    /// The cloud took the runner back: at most `max_interruptions`.
    Interruption,
    /// Nobody's fault: not counted.
    Uncounted,
}

impl Loss {
    /// What this loss is counted with.
    pub const fn class(&self) -> LossClass {
        match self {
            Self::RunnerLost | Self::ProcessLost | Self::ResultsLost | Self::Refused(_) => LossClass::Loss,
            Self::Interrupted => LossClass::Interruption,
            Self::ShutDown | Self::NeverBegun => LossClass::Uncounted,
        }
    }

    /// Whether this loss counts against the number of losses that a workflow may suffer.
    pub const fn counts(&self) -> bool {
        !matches!(self.class(), LossClass::Uncounted)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Refused(why) => return write!(formatter, "it could not be started: {why}"),
            Self::RunnerLost => "its runner was lost",
            Self::Interrupted => "the cloud took its runner back",
            Self::ShutDown => "its runner was shut down",
            Self::ProcessLost => "its process was lost",
            Self::ResultsLost => "its results were lost",
            Self::NeverBegun => "it was never begun",
        };
        formatter.write_str(words)
    }
}
