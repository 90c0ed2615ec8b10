//! One command against the state.

use super::{rules, stop, submit};
use crate::model::event::{AutoscalingEnabled, SettingsChanged};
use crate::model::{Command, Event, Rejection, State};

/// The events that carry out `command`, its consequences included; none when everything is already so.
///
/// They are appended at the place that `state` stands at, or decided anew.
///
/// # Errors
/// The rejection says why the command cannot be carried out. Nothing has happened then.
pub fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
    if let Some(why) = state.unreadable() {
        return Err(Rejection::ReadOnly(why.to_owned()));
    }
    match command {
        Command::Allow { offering, max, min } => rules::allow(state, *offering, max, min),
        Command::Remove(filter) => rules::remove(state, &filter),
        Command::Enable if state.is_enabled() => Ok(Vec::new()),
        Command::Enable => Ok(vec![AutoscalingEnabled {}.into()]),
        Command::Disable => Ok(rules::disable(state)),
        Command::Set(settings) if settings == *state.settings() => Ok(Vec::new()),
        Command::Set(settings) => Ok(vec![SettingsChanged { settings }.into()]),
        Command::Submit(submission) => submit::submit(state, *submission),
        Command::Stop { run, workflow, abort } => stop::stop(state, run, workflow, abort),
        Command::StopRunner(runner) => stop::stop_runner(state, runner),
    }
}
