//! What stands where below the root, and what it proves. All of this waits for disks and processes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::cloud::{Absence, Known, Look, MachineState, Seen};
use crate::host::process::{Identity, Life, RunnerFolder, kill_leftovers, make_folders};
use crate::model::{Address, LaunchRequest, LogId, MachineId, Token};

/// How the name of a folder begins that is being taken away.
const GONE: &str = ".gone-";
/// How long a killed supervisor may take to be gone.
const KILL_WAIT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

pub(super) fn is_folder_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Tokens that are spent, by name: a machine of theirs is gone with its folder, or forbidden.
#[derive(Debug, Clone)]
pub(super) struct Tombstones(PathBuf);

impl Tombstones {
    pub(super) fn below(root: &Path) -> Self {
        Self(root.join(".spent"))
    }

    fn make(&self, token: &str) -> io::Result<()> {
        make_folders(&self.0)?;
        fs::write(self.0.join(token), "")
    }

    pub(super) fn has(&self, token: &str) -> io::Result<bool> {
        self.0.join(token).try_exists()
    }
}

/// The folder's request, if it is a runner's.
pub(super) fn request_of(folder: &RunnerFolder) -> io::Result<Option<LaunchRequest>> {
    match fs::read(folder.path().join("request")) {
        Ok(json) => Ok(serde_json::from_slice(&json).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the folder of a launch, with its request in it from the first moment on; whatever is there stays.
pub(super) fn make_runner_folder(root: &Path, request: &LaunchRequest) -> io::Result<()> {
    let token = request.token();
    let folder = root.join(&token.0);
    make_folders(root)?;
    if folder.try_exists()? {
        return Ok(());
    }
    let beside = root.join(format!(".new-{token}-{}", std::process::id()));
    make_folders(&beside)?;
    fs::write(beside.join("request"), serde_json::to_vec(request)?)?;
    let placed = match fs::rename(&beside, &folder) {
        Err(_) if folder.try_exists()? => Ok(()),
        other => other,
    };
    let _ = fs::remove_dir_all(&beside);
    placed
}

/// Takes a dead runner's folder away. Its token stays spent.
fn remove(root: &Path, token: &str) -> io::Result<()> {
    Tombstones::below(root).make(token)?;
    let gone = root.join(format!("{GONE}{token}"));
    match fs::rename(root.join(token), &gone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => match other.and_then(|()| fs::remove_dir_all(&gone)) {
            // Another look swept it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    }
}

/// Names of everything below the root that may be a runner's folder.
fn folder_names(root: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok().filter(|name| is_folder_name(name))));
    names.filter_map(Result::transpose).collect()
}

fn seen(name: &str, state: MachineState) -> Seen {
    Seen {
        id: MachineId(name.to_owned()),
        token: Some(Token(name.to_owned())),
        state,
        address: Some(Address(name.to_owned())),
        reason: None,
        is_taken_back: false,
    }
}

/// Notes that a look found nobody who needs this dead runner; false when one did before. Both of them tell of its end.
fn mark_unneeded(folder: &RunnerFolder) -> io::Result<bool> {
    match fs::OpenOptions::new().write(true).create_new(true).open(folder.path().join("unneeded")) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Finishes what a removal that was cut off has left.
fn sweep(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(GONE)) {
            match fs::remove_dir_all(entry.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// One folder in a look: what its machine does, or nothing where there is none any more.
fn look_at(root: &Path, name: &str, log: LogId, known: Option<&Known>) -> io::Result<Option<MachineState>> {
    let folder = RunnerFolder::new(root.join(name));
    if request_of(&folder)?.is_none_or(|request| request.log != log) {
        return Ok(None);
    }
    let is_forbidden = known.is_some_and(|known| known.is_final) && folder.life()? == Life::NeverStarted;
    if is_forbidden && folder.mark_started()? {
        remove(root, name)?;
        return Ok(None);
    }
    match folder.life()? {
        // Without a supervisor a folder is no machine. One may still come: absence proves nothing unless it is forbidden,
        // and sending the launch again starts one where a crash has left none.
        Life::Absent | Life::NeverStarted => Ok(None),
        Life::Alive => Ok(Some(MachineState::Running)),
        Life::Dead => {
            if kill_leftovers(&folder).is_err() {
                return Ok(Some(MachineState::ShuttingDown));
            }
            if known.is_none() && !mark_unneeded(&folder)? {
                remove(root, name)?;
            }
            Ok(Some(MachineState::Terminated))
        }
    }
}

pub(super) fn look(root: &Path, log: LogId, known: &[Known]) -> io::Result<Look> {
    let tombstones = Tombstones::below(root);
    for fenced in known.iter().filter(|known| known.is_final && is_folder_name(&known.token.0)) {
        if !root.join(&fenced.token.0).try_exists()? {
            tombstones.make(&fenced.token.0)?;
        }
    }
    make_folders(root)?;
    sweep(root)?;
    let mut look = Look::default();
    for name in folder_names(root)? {
        let known = known.iter().find(|known| known.token.0 == name);
        look.machines.extend(look_at(root, &name, log, known)?.map(|state| seen(&name, state)));
    }
    let is_seen = |known: &&Known| look.machines.iter().any(|machine| machine.id.0 == known.token.0);
    look.absent = known.iter().filter(|known| !is_seen(known)).map(|known| Absence(known.token.clone())).collect();
    Ok(look)
}

/// Ends what is left of a runner whose supervisor did not end it itself, and takes its attempts' files away.
pub(super) fn finish(folder: &RunnerFolder) -> io::Result<()> {
    // One that never started is forbidden to.
    if folder.mark_started()? || folder.life()? == Life::Alive {
        if let Some(process) =
            Identity::read(&folder.identity())?.map(|identity| identity.open()).transpose()?.flatten()
        {
            pidfd_send_signal(&process, Signal::KILL)?;
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&KILL_WAIT))?;
        }
        if folder.life()? == Life::Alive {
            return Err(io::Error::other("its supervisor cannot be ended"));
        }
    }
    kill_leftovers(folder)?;
    // In one act: whoever is reading them is not to take what is left for all there was.
    let aside = folder.path().join("removed");
    let is_there = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    is_there(fs::remove_dir_all(&aside))?;
    is_there(fs::rename(folder.attempts(), &aside))?;
    is_there(fs::remove_dir_all(&aside))
}
