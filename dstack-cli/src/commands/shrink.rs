//! Waiting until runners that are shut down are gone.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use dstack_core::Client;
use dstack_core::home::Home;
use dstack_core::model::{RunnerId, State};

use crate::app::App;
use crate::background;
use crate::commands::some;
use crate::failure::{DETACHED, Failure};
use crate::interrupt::interrupts;
use crate::live::Live;
use crate::presence::Presence;
use crate::view::clean;

/// How often it is looked whether a controller is live.
const CONTROLLER_EVERY: Duration = Duration::from_secs(1);
/// Who waits longer is told if the cloud cannot be asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of the controller's log that are read for it.
const LOG_BYTES_MOST: u64 = 64 * 1024;

/// Waits until these runners are gone, with progress. Ctrl-C leaves the wait and stops nothing.
pub(crate) async fn wait(
    app: &App,
    client: &mut Client,
    remaining: impl Fn(&State) -> Vec<RunnerId>,
) -> Result<(), Failure> {
    let mut interrupts = interrupts()?;
    let presence = Presence::of(&app.home);
    let mut live = Live::new(app.terminal.stderr, app.terminal.width);
    let mut said = None;
    let began = Instant::now();
    let log_length = log_length(&app.home);
    let mut is_told = false;
    loop {
        presence.check()?;
        let head = client.refresh().await?;
        background::ensure(&app.home, client.state(), head.now)?;
        let left = remaining(client.state());
        if left.is_empty() {
            live.clear();
            if said.is_some() {
                live.say("all of them are gone");
            }
            return Ok(());
        }
        if said != Some(left.len()) {
            let names: Vec<String> = left.iter().map(ToString::to_string).collect();
            let plural = if left.len() == 1 { "runner is" } else { "runners are" };
            let line = format!("{} {plural} shutting down ({})", left.len(), some(&names));
            if app.terminal.stderr {
                live.draw(vec![line]);
            } else {
                live.say(&line);
            }
            said = Some(left.len());
        }
        if !is_told && began.elapsed() >= PATIENCE {
            // Looks that fail change nothing, so the log of events does not have them.
            if let Some(why) = trouble(&app.home, log_length) {
                let log = app.home.controller_log_path();
                live.say(&format!(
                    "the cloud cannot be asked whether they have ended ({why}); it is asked again and again: {} says more",
                    log.display()
                ));
                is_told = true;
            }
        }
        let seq = client.state().seq();
        tokio::select! {
            biased;
            _ = interrupts.recv() => {
                live.clear();
                live.say("they go on shutting down: `dstack runners` shows them");
                return Err(Failure::Code(DETACHED));
            }
            () = client.store().wait(seq) => {}
            () = tokio::time::sleep(CONTROLLER_EVERY) => {}
        }
    }
}

/// Those that have not yet gone.
pub(crate) fn alive(state: &State, runners: impl IntoIterator<Item = RunnerId>) -> Vec<RunnerId> {
    let may_live = |id: &RunnerId| state.runners().get(id).is_some_and(|runner| runner.may_live());
    runners.into_iter().filter(may_live).collect()
}

fn log_length(home: &Home) -> u64 {
    std::fs::metadata(home.controller_log_path()).map_or(0, |facts| facts.len())
}

/// Why the controller's newest look that failed did so, by what its log has beyond this length.
fn trouble(home: &Home, since: u64) -> Option<String> {
    let mut log = File::open(home.controller_log_path()).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(since.max(length.saturating_sub(LOG_BYTES_MOST)))).ok()?;
    let mut text = Vec::new();
    log.take(LOG_BYTES_MOST).read_to_end(&mut text).ok()?;
    why(&String::from_utf8_lossy(&text))
}

/// The words of the last look that failed, in the text of a controller's log.
fn why(text: &str) -> Option<String> {
    let line = text.lines().rfind(|line| line.contains(" a look failed"))?;
    Some(clean(line.split_once(" why=")?.1))
}

#[cfg(test)]
mod tests {
    use super::why;

    #[test]
    fn the_newest_look_that_failed_is_told_in_its_own_words() {
        let line = |words: &str| {
            format!("2026-01-01T00:00:00Z  WARN step: a look failed scope=aws/1/x failures=1 why={words}\n")
        };
        let other = "2026-01-01T00:00:00Z  INFO step: something else why=no\n";
        assert_eq!(
            why(&format!("{}{}{other}", line("first"), line("no answer: it = gone"))).as_deref(),
            Some("no answer: it = gone")
        );
        assert_eq!(why(other), None);
        assert_eq!(why(""), None);
    }
}
