//! How runners hear of their own end.

use std::fmt;
use std::time::Duration;

use crate::host::Hearing;

/// How the machines of a cloud hear that they are taken back: whom they ask, and what his words mean. This host only has it
/// asked; it knows no cloud.
#[derive(Clone, Copy)]
pub struct Ear {
    /// Shell text for dash, bash and busybox that defines two functions. `can_hear` succeeds where what `hear` needs is
    /// installed. `hear` asks once: it fails where nobody answers; else it prints the announcement, if there is one, of
    /// which the first 1,000 bytes are told. Neither reads standard input, and what `hear` prints is never read as shell
    /// text. It must take no longer than a few seconds.
    pub script: &'static str,
    /// Between two questions.
    pub period: Duration,
    /// What these words mean, which may be anything.
    pub read: fn(&str) -> Hearing,
}

impl fmt::Debug for Ear {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ear").finish_non_exhaustive()
    }
}

impl Ear {
    /// What the runner's side reads before anything else.
    pub(super) fn text(&self) -> String {
        format!("hear_every={}.{:03}\n{}\n", self.period.as_secs(), self.period.subsec_millis(), self.script)
    }

    /// What a runner's side told, but for the mark of such lines.
    pub(super) fn understand(&self, told: &str) -> Option<Hearing> {
        match told.split_once(' ').unwrap_or((told, "")) {
            ("deaf", _) => Some(Hearing::Deaf),
            ("hears", _) => Some(Hearing::Listens),
            ("said", words) => Some((self.read)(words)),
            _ => None,
        }
    }
}
