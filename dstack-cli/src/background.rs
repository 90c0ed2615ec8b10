//! The controller that works while no command does.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dstack_core::home::Home;
use dstack_core::model::{At, Bytes, State};

use crate::app::{App, own_program};
use crate::failure::{Failure, refused};
use crate::presence::gone;
use crate::view::Overview;

/// How often a command that waits looks for a controller.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the pause between two looks may double: about a minute then.
const MAX_DOUBLINGS: u32 = 6;
/// With which start in vain the controllers' own log is pointed to.
const STARTS_TOLD: u32 = 4;
/// How often, and how many times, it is looked for a controller that may just have been started.
const START_LOOK_EVERY: Duration = Duration::from_millis(50);
const START_LOOKS: u32 = 10;
/// With less space than this in bytes, the log's next append may find none.
const SPACE_MIN: u64 = 256 * 1024;

/// Starts a controller if something is left to do and none is live; true if one was started.
///
/// What there is to do must be in the log by now: a controller that leaves lets go of the lock and then reads the log.
pub(crate) fn ensure(home: &Home, state: &State, now: At) -> Result<bool, Failure> {
    if !Overview::new(state, now).is_work_owed() {
        return Ok(false);
    }
    if !home.log_path().exists() {
        // It was read a moment ago. Taking the lock would make a new one.
        return Err(gone(home.path()));
    }
    if is_live(home)? {
        return Ok(false);
    }
    start(home)?;
    tracing::info!(log = %home.controller_log_path().display(), "no controller was live: one is started");
    Ok(true)
}

/// Sees to it that somebody drives the work that a command waits for.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    looked: Option<Instant>,
    started: u32,
    is_space_told: bool,
}

impl Driver {
    /// For a command that has just made sure of it: one that was started may not have come to its lock yet.
    pub(crate) fn assured() -> Self {
        Self { looked: Some(Instant::now()), ..Self::default() }
    }

    /// Starts a controller where none is live, and tells of what keeps any from working. It looks once a second, and less
    /// often with each one that it has started.
    pub(crate) fn ensure(&mut self, app: &App, state: &State, now: At, say: impl Fn(&str)) -> Result<(), Failure> {
        // One that ends again and again is not started each second.
        let pause = LOOK_EVERY.saturating_mul(1 << self.started.min(MAX_DOUBLINGS));
        if self.looked.is_some_and(|looked| looked.elapsed() < pause) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        if ensure(&app.home, state, now)? {
            self.started += 1;
            let log = app.home.controller_log_path();
            match self.started {
                1 => say("no controller was live: one is started"),
                STARTS_TOLD => say(&format!("controllers end again and again: {} says why", log.display())),
                _ => {}
            }
        }
        if let Some(line) = want_of_space(&app.home).filter(|_| !self.is_space_told) {
            say(&line);
            self.is_space_told = true;
        }
        Ok(())
    }
}

/// What keeps the work that is owed from being done, in one line; nothing where nothing does. It starts nothing and makes
/// no file.
pub(crate) async fn obstacle(home: &Home, state: &State, now: At) -> Option<String> {
    if !Overview::new(state, now).is_work_owed() {
        return None;
    }
    if let Some(line) = want_of_space(home) {
        return Some(line);
    }
    // One that was just started may not have come to its lock yet.
    for _ in 0..START_LOOKS {
        if home.is_controller_live() != Some(false) {
            return None;
        }
        tokio::time::sleep(START_LOOK_EVERY).await;
    }
    Some(
        "no controller is live, so nothing goes on by itself: `dstack controller --until-idle` goes on with it, and so \
         does `dstack ps -w` or `dstack logs RUN -f`"
            .to_owned(),
    )
}

/// The line for a disk that takes no more records.
pub(crate) fn want_of_space(home: &Home) -> Option<String> {
    let disk = rustix::fs::statvfs(home.path()).ok()?;
    space_line(home, disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn space_line(home: &Home, free: u64) -> Option<String> {
    let path = home.path().display();
    let line =
        || format!("the disk of {path} is full ({} left), so nothing goes on: free some, then it does", Bytes(free));
    (free < SPACE_MIN).then(line)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_home_and_one_with_room_is_not() {
        let home = Home::new("/somewhere/home");
        let line = space_line(&home, 4096).expect("it is full");
        assert!(line.contains("/somewhere/home") && line.contains("full") && !line.contains('\n'), "{line}");
        assert_eq!(space_line(&home, SPACE_MIN), None);
    }
}
