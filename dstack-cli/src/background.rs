//! The controller that works while no command does.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use dstack_core::home::Home;
use dstack_core::model::{At, State};

use crate::app::own_program;
use crate::failure::{Failure, refused};
use crate::view::Overview;

/// Starts a controller if something is left to do and none is live; true if one was started.
///
/// What there is to do must be in the log by now: a controller that leaves lets go of the lock and then reads the log.
pub(crate) fn ensure(home: &Home, state: &State, now: At) -> Result<bool, Failure> {
    if !Overview::new(state, now).is_work_owed() || is_live(home)? {
        return Ok(false);
    }
    start(home)?;
    Ok(true)
}

/// Whether a controller is live.
pub(crate) fn is_live(home: &Home) -> Result<bool, Failure> {
    Ok(home.try_lock()?.is_none())
}

/// Starts a controller that outlives this command and its terminal. Where another is faster, it leaves again at once.
fn start(home: &Home) -> Result<(), Failure> {
    let status = launcher(home, "--background")?
        // Ctrl-C in the terminal goes to the group of the command alone.
        .process_group(0)
        .status()
        .map_err(|error| refused(format!("no controller can be started in the background: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        let log = home.controller_log_path();
        Err(refused(format!("no controller could be started in the background: see {}", log.display())))
    }
}

/// The first of two steps into the background: only a process that leads no group can begin a session of its own.
pub(crate) fn step_back(home: &Home) -> Result<(), Failure> {
    launcher(home, "--detached")?.spawn().map_err(Failure::Io)?;
    Ok(())
}

/// The second step: away from the terminal.
pub(crate) fn leave_terminal() {
    // It fails only where this process leads a session already, which is as good.
    let _ = rustix::process::setsid();
}

fn launcher(home: &Home, how: &str) -> Result<Command, Failure> {
    let mut command = Command::new(own_program()?);
    command
        .arg("--home")
        .arg(home.path())
        .args(["controller", "--until-idle", how])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}
