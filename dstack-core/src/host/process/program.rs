//! From a job to a process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Component, Path};
use std::process::{Child, Command, Stdio};

use super::folder::AttemptFolder;
use super::leftovers::MARKER;
use crate::host::Job;
use crate::model::{Exit, ExitCause, Program, Shell};

/// What every command finds in its environment if the supervisor's has it, besides `LC_*`: who and where it is, and in
/// which language and time. Everything else comes from the job. `TERM` is left out: output goes to a file.
const INHERITED: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"];

/// Exit code where a program was found but cannot be run.
const CANNOT_RUN_CODE: u8 = 126;
/// Exit code where there is no such program.
const NOT_FOUND_CODE: u8 = 127;

/// The environment that all commands of a supervisor share.
pub(crate) fn base_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_")))
        .collect()
}

/// Longest script that its shell is handed as an argument: half of what Linux allows for one. Making a file costs more than
/// starting a process where many were deleted lately.
const MAX_ARGUMENT: usize = 64 * 1024;

/// The script of these lines. Secrets are not in it.
fn script(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

/// Whether the script of these lines is too long for an argument.
fn is_long(lines: &[String]) -> bool {
    lines.iter().map(|line| line.len() + 1).sum::<usize>() > MAX_ARGUMENT
}

/// Writes the script into a file, if the job is one that is too long for an argument.
pub(crate) fn write_script(folder: &AttemptFolder, job: &Job) -> io::Result<()> {
    match &job.program {
        Program::Commands(lines) if is_long(lines) => fs::write(folder.script(), script(lines)),
        Program::Commands(_) | Program::Argv(_) => Ok(()),
    }
}

/// Starts the job's command in a process group of its own, printing to `output`. Where that cannot be, the output says why.
pub(crate) fn spawn(
    folder: &AttemptFolder,
    job: &Job,
    secrets: &BTreeMap<String, String>,
    base: &[(OsString, OsString)],
    output: &File,
) -> Result<Child, Exit> {
    let refuse = |code, words: String| {
        // The exit tells the same without the words, so a full disk does not hide it.
        let _ = (&*output).write_all(format!("dstack: {words}\n").as_bytes());
        Err(Exit { code, cause: ExitCause::NotStarted })
    };
    let directory = Path::new(job.working_dir.as_deref().unwrap_or(""));
    if !directory.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return refuse(CANNOT_RUN_CODE, format!("the working folder {} leads out of the project", directory.display()));
    }
    let directory = folder.work().join(directory);
    let mut command = match &job.program {
        Program::Commands(lines) => {
            let mut command = Command::new(match job.shell {
                Shell::Sh => "/bin/sh",
                Shell::Bash => "bash",
            });
            if is_long(lines) {
                command.arg("-e").arg(folder.script());
            } else {
                // What comes after it is `$0`: it begins what the shell says about mistakes in the script.
                command.args(["-e", "-c", &script(lines), "script"]);
            }
            command.args(&job.args);
            command
        }
        Program::Argv(words) => {
            let Some((program, arguments)) = words.split_first() else {
                return refuse(NOT_FOUND_CODE, "there is no program to run".to_owned());
            };
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
    };
    let (Ok(stdout), Ok(stderr)) = (output.try_clone(), output.try_clone()) else {
        return refuse(CANNOT_RUN_CODE, "too many files are open".to_owned());
    };
    command
        .env_clear()
        .envs(base.iter().map(|(name, value)| (name, value)))
        .envs(&job.env)
        .envs(secrets)
        .env(MARKER, folder.work())
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    let error = match command.spawn() {
        Ok(child) => return Ok(child),
        Err(error) => error,
    };
    let name = command.get_program();
    match error.kind() {
        _ if !directory.is_dir() => {
            let inside = directory.strip_prefix(folder.work()).unwrap_or(&directory);
            refuse(CANNOT_RUN_CODE, format!("there is no folder {} to run in", inside.display()))
        }
        io::ErrorKind::NotFound => refuse(NOT_FOUND_CODE, format!("{}: not found", shown(name))),
        io::ErrorKind::PermissionDenied => refuse(CANNOT_RUN_CODE, format!("{}: may not be executed", shown(name))),
        _ => refuse(CANNOT_RUN_CODE, format!("{}: cannot be started: {error}", shown(name))),
    }
}

fn shown(name: &OsStr) -> String {
    name.to_string_lossy().escape_debug().to_string()
}
