//! What an attempt's folder says when no supervisor has it in hand.

use std::io;
use std::path::Path;

use super::folder::{AttemptFolder, RunnerFolder, Verdict};
use super::leftovers::kill_leftovers;
use super::wire::Standing;
use crate::archive::{self, ArchiveError, Limits};
use crate::host::{Begun, Closing, Contents, Progress};
use crate::model::AttemptId;

/// How far it is; `undecided` where nothing was decided yet.
pub(crate) fn standing(attempt: &AttemptFolder, undecided: Progress) -> io::Result<Standing> {
    let progress = match attempt.verdict_and_exit()? {
        (_, Some(record)) => return Ok(Standing { progress: Progress::Exited(record.exit), output: record.output }),
        (None, None) => undecided,
        (Some(Verdict::Stop | Verdict::Lost), None) => Progress::NeverBegun,
        (Some(Verdict::Supervisor), None) => Progress::Lost,
    };
    let output = match attempt.output().metadata() {
        Ok(facts) => facts.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(Standing { progress, output })
}

/// How far attempts of a dead runner are. Before one is called lost, everything that it left is ended.
pub(crate) fn standings(runner: &RunnerFolder, attempts: &[AttemptId]) -> io::Result<Vec<Standing>> {
    let standings = attempts.iter().map(|id| standing(&runner.attempt(*id), Progress::NeverBegun));
    let standings = standings.collect::<io::Result<Vec<_>>>()?;
    if standings.iter().any(|standing| standing.progress == Progress::Lost) {
        kill_leftovers(runner)?;
    }
    Ok(standings)
}

/// Forbids its start, if it was not begun.
pub(crate) fn forbid(attempt: &AttemptFolder, closing: Closing) -> io::Result<()> {
    attempt.decide(match closing {
        Closing::Stop { .. } => Verdict::Stop,
        Closing::Lost => Verdict::Lost,
    })?;
    Ok(())
}

/// The answer to a start on a dead runner: what was begun was; what was not never will be.
pub(crate) fn start(runner: &RunnerFolder, attempt: AttemptId) -> io::Result<Begun> {
    let attempt = runner.attempt(attempt);
    forbid(&attempt, Closing::Lost)?;
    Ok(match attempt.verdict()? {
        Some(Verdict::Supervisor) => Begun::Started,
        Some(Verdict::Stop | Verdict::Lost) | None => Begun::Closed,
    })
}

/// Ends an attempt of a dead runner, or forbids its start.
pub(crate) fn close(runner: &RunnerFolder, attempt: AttemptId, closing: Closing) -> io::Result<()> {
    let attempt = runner.attempt(attempt);
    forbid(&attempt, closing)?;
    if attempt.verdict_and_exit()? == (Some(Verdict::Supervisor), None) {
        kill_leftovers(runner)?;
    }
    Ok(())
}

/// Lays the contents into the attempt's working folder, unless it has one or was decided about.
///
/// They are unpacked beside it, in a folder of this name, and then take its name in one act.
pub(crate) fn stage(attempt: &AttemptFolder, contents: &Contents, temporary: &str) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Io { path: attempt.work().display().to_string(), source };
    let work = attempt.work();
    if attempt.verdict().map_err(failed)?.is_some() || work.try_exists().map_err(failed)? {
        return Ok(());
    }
    let beside = attempt.beside(temporary);
    let unpacked = contents.archives.iter().try_for_each(|archive| {
        archive::unpack(archive.reader().map_err(failed)?, &beside, &Limits::default())?;
        Ok(())
    });
    match unpacked.and_then(|()| place(&beside, work).map_err(failed)) {
        Ok(true) => Ok(()),
        other => {
            let _ = std::fs::remove_dir_all(&beside);
            other.map(drop)
        }
    }
}

/// Renames; false where another was first.
fn place(from: &Path, to: &Path) -> io::Result<bool> {
    match std::fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(_) if to.try_exists()? => Ok(false),
        Err(error) => Err(error),
    }
}
