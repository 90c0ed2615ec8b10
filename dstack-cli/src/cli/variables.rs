//! Declared variables as flags: `dstack run train --epochs 3`.
//!
//! Which flags there are depends on the project's files, so they are looked at before the command line is read in earnest.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use dstack_core::model::Name;
use dstack_core::project::{Declared, Project, ProjectError};

use super::{Cli, listing};

/// The command line as it was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// What clap made of it.
    pub cli: Cli,
    /// Variables that were given as flags of their own.
    pub variables: Vec<(String, String)>,
    /// What to tell people besides.
    pub warnings: Vec<String>,
}

/// Why it cannot be read.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// It makes no sense, or asks for help.
    Clap(clap::Error),
    /// A variable has no value; the line says what to write.
    Value(String),
    /// It might make sense if the project's files did.
    Project(ProjectError),
}

impl From<clap::Error> for ParseError {
    fn from(error: clap::Error) -> Self {
        Self::Clap(error)
    }
}

/// Flags of `run` and of every command that take no value.
const SWITCHES: &[&str] = &["detach", "follow", "local", "queue", "raw", "help", "version"];

/// Reads the command line; `args` begins with the program's name.
pub(crate) fn parse(args: &[OsString]) -> Result<Parsed, ParseError> {
    let target = Target::find(args);
    let declared = target.as_ref().map_or_else(|| Ok(Vec::new()), Target::declared);
    let (declared, problem) = match declared {
        Ok(declared) => (declared, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let flags = Flags::new(&declared);
    let command = flags.add_to(Cli::command(), target.as_ref().map_or("", |target| &target.workflow));
    let command = listing::add_to(command, args);
    if let Some(line) = flags.without_value(&command, args) {
        return Err(ParseError::Value(line));
    }
    let matches = match (command.try_get_matches_from(args), problem) {
        (Ok(matches), _) => matches,
        // A word too many is no flag that the files could know.
        (Err(error), Some(problem)) if error.kind() == ErrorKind::UnknownArgument && is_flag(&error) => {
            return Err(ParseError::Project(problem));
        }
        (Err(error), _) => return Err(error.into()),
    };
    let (variables, warnings) = flags.read(&matches);
    Ok(Parsed { cli: Cli::from_arg_matches(&matches)?, variables, warnings })
}

/// Whether what makes no sense looks like a flag.
fn is_flag(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(text)) if text.starts_with('-'))
}

/// The workflow that is to be run, as far as can be told before the flags are known.
struct Target {
    folder: PathBuf,
    workflow: String,
}

impl Target {
    fn find(args: &[OsString]) -> Option<Self> {
        let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
        let mut folder = PathBuf::from(".");
        let mut is_run = false;
        while let Some(word) = words.next() {
            if word == "--" {
                return None;
            }
            if let Some(flag) = word.strip_prefix("--") {
                if !flag.contains('=') && !SWITCHES.contains(&flag) {
                    words.next();
                }
            } else if let Some(shorts) = word.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
                if let Some((_, attached)) = shorts.split_once('C') {
                    folder = if attached.is_empty() { words.next()?.as_ref().into() } else { attached.into() };
                }
            } else if is_run {
                return Some(Self { folder, workflow: word.into_owned() });
            } else if word == "run" {
                is_run = true;
            } else {
                return None;
            }
        }
        None
    }

    fn declared(&self) -> Result<Vec<Declared>, ProjectError> {
        let Ok(name) = self.workflow.parse::<Name>() else { return Ok(Vec::new()) };
        match Project::find(Path::new(&self.folder))? {
            Some(project) => project.load()?.declared_variables(&name),
            None => Ok(Vec::new()),
        }
    }
}

/// Declared variables, by whether they can be flags.
struct Flags<'a> {
    flags: Vec<&'a Declared>,
    /// Named like a flag of ours.
    hidden: Vec<&'a Declared>,
}

fn canonical(name: &str) -> String {
    name.replace('_', "-")
}

fn id(declared: &Declared) -> String {
    format!("variable:{}", declared.name)
}

/// Flags of ours that a variable cannot take over: all but those that only make sense with `-- CMD`.
fn reserved() -> BTreeSet<String> {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("there is such a command");
    let own = run.get_arguments().filter(|arg| !is_resource(arg));
    let longs = command.get_arguments().chain(own).filter_map(|arg| arg.get_long().map(str::to_owned));
    longs.chain(["help".to_owned(), "version".to_owned()]).collect()
}

fn is_resource(arg: &Arg) -> bool {
    arg.get_help_heading().is_some_and(|heading| heading.starts_with("Resources"))
}

impl<'a> Flags<'a> {
    fn new(declared: &'a [Declared]) -> Self {
        let reserved = if declared.is_empty() { BTreeSet::new() } else { reserved() };
        let (hidden, flags) = declared.iter().partition(|declared| reserved.contains(&canonical(&declared.name)));
        Self { flags, hidden }
    }

    fn add_to(&self, command: clap::Command, workflow: &str) -> clap::Command {
        if self.flags.is_empty() && self.hidden.is_empty() {
            return command;
        }
        let heading = format!("Variables of {workflow}");
        command.mut_subcommand("run", |mut run| {
            let taken: BTreeSet<String> = self.flags.iter().map(|declared| canonical(&declared.name)).collect();
            let resources: Vec<(String, String)> = run
                .get_arguments()
                .filter(|arg| is_resource(arg))
                .filter_map(|arg| Some((arg.get_id().to_string(), arg.get_long()?.to_owned())))
                .collect();
            for (id, long) in resources {
                // With a workflow they make no sense, and their names are free for its variables.
                run = run.mut_arg(id, |arg| {
                    let arg = arg.hide(true);
                    if taken.contains(&long) { arg.long(format!("resource-{long}")) } else { arg }
                });
            }
            for declared in &self.flags {
                run = run.arg(flag(declared).help_heading(heading.clone()));
            }
            let hidden = self.hidden.iter().map(|declared| {
                format!("  --var {}=VALUE  (default: {})\n", declared.name, declared.default.escape_debug())
            });
            let hidden: String = hidden.collect();
            if hidden.is_empty() {
                run
            } else {
                run.after_help(format!(
                    "Variables that are named like a flag:\n{hidden}\nExample:\n  dstack run {workflow}"
                ))
            }
        })
    }

    /// The line for a variable that a flag of the command follows, which is not meant as its value.
    fn without_value(&self, command: &clap::Command, args: &[OsString]) -> Option<String> {
        let run = command.find_subcommand("run")?;
        let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--").collect();
        let is_variable = |word: &str| {
            let name = word.strip_prefix("--").map(canonical);
            name.is_some_and(|name| self.flags.iter().any(|declared| canonical(&declared.name) == name))
        };
        let is_flag = |word: &str| {
            let mut known = command.get_arguments().chain(run.get_arguments());
            let name = word.split('=').next().unwrap_or(word);
            match (name.strip_prefix("--"), word.strip_prefix('-').map(|rest| rest.chars().collect::<Vec<_>>())) {
                (Some(long), _) => is_variable(name) || long == "help" || known.any(|arg| arg.get_long() == Some(long)),
                (None, Some(shorts)) => matches!(*shorts, [short] if known.any(|arg| arg.get_short() == Some(short))),
                (None, None) => false,
            }
        };
        let pair = words.windows(2).find(|pair| is_variable(&pair[0]) && is_flag(&pair[1]))?;
        let (name, next) = (&pair[0], &pair[1]);
        Some(format!("`{name}` has no value: write `{name} VALUE`, or `{name}={next}` if that is its value"))
    }

    fn read(&self, matches: &ArgMatches) -> (Vec<(String, String)>, Vec<String>) {
        let Some(("run", run)) = matches.subcommand() else { return Default::default() };
        let given = self.flags.iter().flat_map(|declared| {
            let values = run.get_many::<String>(&id(declared)).into_iter().flatten();
            values.map(|value| (declared.name.clone(), value.clone()))
        });
        let was_used = |declared: &&&Declared| {
            let name = declared.name.replace('-', "_");
            let source = run.try_contains_id(&name).ok().and_then(|_| run.value_source(&name));
            source == Some(clap::parser::ValueSource::CommandLine)
        };
        let warnings = self.hidden.iter().filter(was_used).map(|declared| {
            let name = &declared.name;
            format!("`--{name}` is a flag of dstack; the variable {name} is given as `--var {name}=VALUE`")
        });
        (given.collect(), warnings.collect())
    }
}

fn flag(declared: &Declared) -> Arg {
    let name = canonical(&declared.name);
    let underscored = declared.name.replace('-', "_");
    let mut arg = Arg::new(id(declared))
        .long(name.clone())
        .value_name("VALUE")
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .help(format!("(default: {})", declared.default.escape_debug()));
    for alias in BTreeSet::from([underscored, declared.name.clone()]) {
        if alias != name {
            arg = arg.alias(alias);
        }
    }
    arg
}
