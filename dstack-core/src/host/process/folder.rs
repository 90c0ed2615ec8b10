//! What stands where in a runner's folder, and what it proves.
//!
//! | name | what |
//! |---|---|
//! | `lock` | held by the supervisor for as long as it lives, by a record lock: asking for its holder takes nothing |
//! | `started` | made once, by the supervisor that holds the lock, or by whoever forbids that there ever is one |
//! | `identity` | which process the supervisor is |
//! | `socket` | where it listens |
//! | `attempts/ID/` | where the command of attempt `ID` (`RUN-INDEX-NUMBER`) is run, with the files that were staged |
//! | `attempts/ID.begun` | made exclusively: who decided about the attempt, and, once it is over, how it ended |
//! | `attempts/ID.script`, `attempts/ID.output` | what the command is, if that is long, and what it prints |
//!
//! Each file costs more than the start of a process does: there are no more of them than that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
use serde::{Deserialize, Serialize};

use crate::model::{AttemptId, Exit};

/// The first line where the supervisor has begun the attempt.
const SUPERVISOR: &str = "supervisor\n";
/// The last line of a complete exit record.
const END_MARK: &str = "\nend\n";

/// Tells records apart that this process writes at the same time.
static CLOSED_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// What is known of a runner from its folder alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// There is no folder.
    Absent,
    /// No supervisor has started yet.
    NeverStarted,
    /// Its supervisor lives.
    Alive,
    /// Its supervisor is gone, or is forbidden for ever: none will come again.
    Dead,
}

/// A runner's folder.
#[derive(Debug, Clone)]
pub(crate) struct RunnerFolder(PathBuf);

impl RunnerFolder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    pub(crate) fn attempts(&self) -> PathBuf {
        self.0.join("attempts")
    }

    pub(crate) fn attempt(&self, attempt: AttemptId) -> AttemptFolder {
        let AttemptId { workflow, number } = attempt;
        AttemptFolder(self.0.join(format!("attempts/{}-{}-{number}", workflow.run, workflow.index)))
    }

    /// Takes the lock for as long as the file is open and this process lives; `None` when another process has it.
    ///
    /// The lock goes when this process closes *any* handle to the file: nothing else in a supervisor may open it.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        let file = lock_options().create(true).open(self.0.join("lock"))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes `started`; false when it was there. Whoever makes it without the lock forbids every supervisor.
    pub(crate) fn mark_started(&self) -> io::Result<bool> {
        create_once(&self.0.join("started"), "")
    }

    fn is_locked(&self) -> io::Result<bool> {
        let file = match lock_options().open(self.0.join("lock")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let question =
            Flock { start: 0, length: 0, pid: None, typ: FlockType::WriteLock, offset_type: FlockOffsetType::Set };
        Ok(fcntl_getlk(&file, &question)?.is_some_and(|holder| holder.typ != FlockType::Unlocked))
    }

    /// What the folder says of its runner.
    ///
    /// A supervisor makes `started` with the lock in its hand, and holds it until it dies. So once `started` is there, a
    /// lock that nobody holds proves its death.
    pub(crate) fn life(&self) -> io::Result<Life> {
        if !self.0.join("started").try_exists()? {
            return Ok(if self.0.try_exists()? { Life::NeverStarted } else { Life::Absent });
        }
        Ok(if self.is_locked()? { Life::Alive } else { Life::Dead })
    }
}

fn lock_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes the file with this content; false when it was there.
fn create_once(path: &Path, content: &str) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(content.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the folder with those above it, for its owner alone.
pub(crate) fn make_folders(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Who made `begun`, and so decided whether the command is ever started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The supervisor, as its last act before the command. Also what it says is not complete: then it may have been.
    Supervisor,
    /// Somebody who stopped it.
    Stop,
    /// Somebody who gave it up.
    Lost,
}

/// How an attempt ended, as it is written beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    /// How its command ended.
    pub(crate) exit: Exit,
    /// Length of its output then.
    pub(crate) output: u64,
}

/// An attempt's files, which share the beginning of their names.
#[derive(Debug, Clone)]
pub(crate) struct AttemptFolder(PathBuf);

impl AttemptFolder {
    /// The folder in which the command is run, as it was staged. Its path names the attempt.
    pub(crate) fn work(&self) -> &Path {
        &self.0
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.0.with_extension("script")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.0.with_extension("output")
    }

    fn begun(&self) -> PathBuf {
        self.0.with_extension("begun")
    }

    /// A name beside the others for something that is not to stay.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.with_extension(name)
    }

    /// The folder in which all of it is.
    pub(crate) fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(&self.0)
    }

    /// Makes an empty working folder, if none was staged.
    pub(crate) fn make_work(&self) -> io::Result<()> {
        make_folder(&self.0)
    }

    /// Opens the file to which the command prints.
    pub(crate) fn open_output(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.output())
    }

    /// Decides, unless it was decided before.
    pub(crate) fn decide(&self, verdict: Verdict) -> io::Result<bool> {
        let decided = || match verdict {
            Verdict::Supervisor => create_once(&self.begun(), SUPERVISOR),
            Verdict::Stop => self.close("stop\n"),
            Verdict::Lost => self.close("lost\n"),
        };
        match decided() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folders(self.parent())?;
                decided()
            }
            other => other,
        }
    }

    /// An incomplete record reads as the supervisor's, so this one is there only with all it says: its name comes last.
    fn close(&self, word: &str) -> io::Result<bool> {
        let number = CLOSED_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let own = self.beside(&format!("closing-{}-{number}", std::process::id()));
        // It may be left of a process that had this number before, and be the same file as the record.
        match fs::remove_file(&own) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        create_once(&own, word)?;
        let linked = fs::hard_link(&own, self.begun());
        fs::remove_file(&own)?;
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was decided, if anything was, and how it ended, if a complete record of that is there.
    pub(crate) fn verdict_and_exit(&self) -> io::Result<(Option<Verdict>, Option<ExitRecord>)> {
        let text = match fs::read(self.begun()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
            Err(error) => return Err(error),
        };
        Ok(match text.as_slice() {
            b"stop\n" => (Some(Verdict::Stop), None),
            b"lost\n" => (Some(Verdict::Lost), None),
            text => (Some(Verdict::Supervisor), exit_in(text)),
        })
    }

    /// What was decided, if anything was.
    pub(crate) fn verdict(&self) -> io::Result<Option<Verdict>> {
        Ok(self.verdict_and_exit()?.0)
    }

    /// Writes the exit record, which counts from its last byte on. Only for whoever has decided that it is begun.
    pub(crate) fn write_exit(&self, record: &ExitRecord) -> io::Result<()> {
        let mut text = serde_json::to_string(record)?;
        text.push_str(END_MARK);
        OpenOptions::new().append(true).open(self.begun())?.write_all(text.as_bytes())
    }

    /// Takes away everything but what was decided and how it ended.
    pub(crate) fn empty(&self) -> io::Result<()> {
        for removed in [fs::remove_dir_all(self.work()), fs::remove_file(self.output()), fs::remove_file(self.script())]
        {
            match removed {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

fn exit_in(begun: &[u8]) -> Option<ExitRecord> {
    let record = begun.strip_prefix(SUPERVISOR.as_bytes())?.strip_suffix(END_MARK.as_bytes())?;
    serde_json::from_slice(record).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunId, WorkflowId};

    fn folder() -> (tempfile::TempDir, RunnerFolder, AttemptFolder) {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let runner = RunnerFolder::new(root.path().join("runner"));
        let id = AttemptId { workflow: WorkflowId { run: RunId::from_bits(7), index: 3 }, number: 2 };
        let attempt = runner.attempt(id);
        (root, runner, attempt)
    }

    #[test]
    fn an_exit_record_counts_only_when_all_of_it_is_there() {
        let (_root, _, attempt) = folder();
        assert!(attempt.decide(Verdict::Supervisor).expect("made"));
        let record = ExitRecord { exit: Exit::signal(9), output: 12 };
        attempt.write_exit(&record).expect("written");
        assert_eq!(attempt.verdict_and_exit().expect("read"), (Some(Verdict::Supervisor), Some(record)));
        let path = attempt.begun();
        let whole = fs::read(&path).expect("read");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            let read = attempt.verdict_and_exit().expect("read");
            assert_eq!(read, (Some(Verdict::Supervisor), None), "{length} bytes of {}", whole.len());
        }
    }

    #[test]
    fn the_first_verdict_stays() {
        let (_root, _, attempt) = folder();
        assert_eq!(attempt.verdict().expect("read"), None);
        assert!(attempt.decide(Verdict::Stop).expect("made"));
        assert!(!attempt.decide(Verdict::Supervisor).expect("seen"));
        assert_eq!(attempt.verdict().expect("read"), Some(Verdict::Stop));
        fs::write(attempt.begun(), "sto").expect("written");
        assert_eq!(attempt.verdict().expect("read"), Some(Verdict::Supervisor), "an incomplete one reads as taken");
    }

    #[test]
    fn a_folder_tells_whether_its_runner_lives() {
        let (_root, runner, _) = folder();
        assert_eq!(runner.life().expect("read"), Life::Absent);
        make_folders(runner.path()).expect("made");
        assert_eq!(runner.life().expect("read"), Life::NeverStarted);
        assert!(runner.mark_started().expect("made"));
        assert!(!runner.mark_started().expect("seen"), "a runner lives once");
        assert_eq!(runner.life().expect("read"), Life::Dead);
    }

    #[test]
    fn emptying_keeps_the_verdict_and_the_exit() {
        let (_root, _, attempt) = folder();
        attempt.empty().expect("nothing is there");
        make_folders(attempt.parent()).expect("made");
        attempt.make_work().expect("made");
        fs::write(attempt.work().join("big"), "x").expect("written");
        attempt.decide(Verdict::Supervisor).expect("made");
        fs::write(attempt.script(), "exit 0").expect("written");
        drop(attempt.open_output().expect("made"));
        let record = ExitRecord { exit: Exit::exited(0), output: 0 };
        attempt.write_exit(&record).expect("written");
        attempt.empty().expect("emptied");
        let left = fs::read_dir(attempt.parent()).expect("read").map(|entry| entry.expect("read").path());
        assert_eq!(left.collect::<Vec<_>>(), [attempt.begun()]);
        assert_eq!(attempt.verdict_and_exit().expect("read"), (Some(Verdict::Supervisor), Some(record)));
    }
}
