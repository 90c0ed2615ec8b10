//! Waiting until runners that are shut down are gone.

use std::time::Duration;

use dstack_core::Client;
use dstack_core::model::{RunnerId, State};

use crate::app::App;
use crate::background;
use crate::commands::some;
use crate::failure::{DETACHED, Failure};
use crate::interrupt::interrupts;
use crate::live::Live;
use crate::presence::Presence;

/// How often it is looked whether a controller is live.
const CONTROLLER_EVERY: Duration = Duration::from_secs(1);

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
