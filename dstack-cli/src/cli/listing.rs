//! The workflows of the project at hand, with what their `help` says: where a workflow is to be named.

use std::ffi::OsString;
use std::path::PathBuf;

use dstack_core::project::Project;

/// Workflows that are listed.
const MOST: usize = 50;

/// The help of `run` with the workflows that there are.
pub(super) fn add_to(command: clap::Command, args: &[OsString]) -> clap::Command {
    let asks_for_help = args.iter().any(|word| word == "--help" || word == "-h");
    let is_run = args.iter().any(|word| word == "run");
    let listed = if asks_for_help && is_run { workflows(args) } else { None };
    let Some(listed) = listed else { return command };
    command.mut_subcommand("run", |run| run.before_help(format!("Workflows of this project:\n{listed}")))
}

/// The line where `run` names nothing, with the workflows that it could name.
pub(crate) fn nothing_to_run(args: &[OsString]) -> Option<String> {
    if !args.iter().any(|word| word == "run") {
        return None;
    }
    let line = "what is to be run? `dstack run WORKFLOW`, or `dstack run -- CMD`";
    Some(match workflows(args) {
        Some(listed) => format!("{line}; this project has\n{}", listed.trim_end()),
        None => line.to_owned(),
    })
}

/// A line for each workflow. What is wrong in the files is told by what needs them.
fn workflows(args: &[OsString]) -> Option<String> {
    let mut folder = PathBuf::from(".");
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.to_str().and_then(|word| word.strip_prefix("-C")) {
            Some("") => folder = words.next()?.into(),
            Some(attached) => folder = attached.into(),
            None => {}
        }
    }
    let file = Project::find(&folder).ok()??.load().ok()?;
    let all: Vec<(String, String)> = file
        .workflows()
        .map(|(name, help)| (name.to_string(), help.unwrap_or_default().lines().next().unwrap_or_default().to_owned()))
        .collect();
    let width = all.iter().map(|(name, _)| name.len()).max()?;
    let line = |(name, help): &(String, String)| format!("  {name:<width$}  {help}").trim_end().to_owned() + "\n";
    let mut text: String = all.iter().take(MOST).map(line).collect();
    if all.len() > MOST {
        text += &format!("  and {} more\n", all.len() - MOST);
    }
    Some(crate::view::clean_lines(&text))
}
