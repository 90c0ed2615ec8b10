//! Which process a process is, beyond its number.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

/// A process for as long as this machine stays up: numbers are used again, but not with the same start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks from the machine's start to the process's.
    pub(crate) start_ticks: u64,
    /// The machine's start.
    pub(crate) boot_id: String,
}

impl Identity {
    /// This process.
    pub(crate) fn own() -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let stat = Stat::of(pid)?.ok_or_else(|| io::Error::other("this process is not in /proc"))?;
        Ok(Self { pid, start_ticks: stat.start_ticks, boot_id: boot_id()? })
    }

    /// The one that was written to this file, if it was written in full.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(json) => Ok(serde_json::from_slice(&json).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it to this file.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec(self)?)
    }

    /// A handle to the process, if it still runs. The handle cannot come to mean another.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        if self.boot_id != boot_id()? {
            return Ok(None);
        }
        open_if(self.pid, |stat| stat.start_ticks == self.start_ticks)
    }
}

/// A handle to the process of this number, if `is_meant` holds of what the handle is of.
pub(crate) fn open_if(pid: i32, is_meant: impl FnOnce(&Stat) -> bool) -> io::Result<Option<OwnedFd>> {
    let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
    let handle = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Read after the handle was opened: if the number went to another process in between, its facts differ.
    Ok(Stat::of(pid)?.filter(|stat| !stat.is_over() && is_meant(stat)).map(|_| handle))
}

/// The boot of this machine.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// What `/proc/PID/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    state: u8,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) start_ticks: u64,
}

impl Stat {
    /// Of the process with this number, if there is one.
    pub(crate) fn of(pid: i32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The command's name, in parentheses, may itself hold spaces and parentheses: what counts comes after the last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it runs no more and only waits for its parent to notice.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Numbers of all processes there are.
pub(crate) fn all_pids() -> io::Result<impl Iterator<Item = i32>> {
    Ok(fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_hides_nothing() {
        let line = b"42 (a) R 1 (x) S 7 40 41 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 1 1\n";
        let stat = Stat { state: b'S', group: 40, session: 41, start_ticks: 9876 };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse(b"42 (sh"), None);
    }

    #[test]
    fn an_identity_finds_its_own_process_and_no_other() {
        let own = Identity::own().expect("this process is there");
        assert!(own.open().expect("looked up").is_some());
        let later = Identity { start_ticks: own.start_ticks + 1, ..own.clone() };
        assert!(later.open().expect("looked up").is_none());
        let elsewhere = Identity { boot_id: "another".to_owned(), ..own };
        assert!(elsewhere.open().expect("looked up").is_none());
    }
}
