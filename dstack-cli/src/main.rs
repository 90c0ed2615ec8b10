//! The command line of dstack: runners on demand in your own cloud.

#[cfg(feature = "aws")]
mod account;
mod app;
mod background;
mod cli;
mod commands;
mod failure;
mod interrupt;
mod live;
mod presence;
mod print;
mod run_name;
mod target;
mod view;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::app::App;
use crate::cli::{Cli, Command, ParseError, Parsed};
use crate::failure::Failure;

// Bugs on purpose are for the checks of the checks alone.
const _: () = assert!(!dstack_core::planted::IS_ON, "dstack is not built with the feature `planted` of dstack-core");

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let parsed = match cli::parse(&args) {
        Ok(parsed) => parsed,
        Err(ParseError::Project(error)) => return end(Err(error.into())),
        Err(ParseError::Value(line)) => return end(Err(Failure::Usage(line))),
        Err(ParseError::Clap(error)) => return misread(&error, &args),
    };
    // Before any thread is started, and before anything is opened.
    if let Some(Command::Supervise { folder }) = &parsed.cli.command {
        return dstack_core::host::process::supervise(folder);
    }
    end(run(parsed))
}

/// Says what is left to say and gives the exit code.
fn end(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(line) = failure.line() {
                print::error(&line);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// A command line that asks for help or makes no sense.
fn misread(error: &clap::Error, args: &[OsString]) -> ExitCode {
    if let Some(line) = hint(error, args) {
        return end(Err(Failure::Usage(line)));
    }
    if error.kind() == ErrorKind::ValueValidation {
        // It says by itself what to write.
        let text = error.render().to_string();
        print::say(text.lines().next().unwrap_or_default());
        return ExitCode::from(2);
    }
    if error.use_stderr() {
        // Nobody to tell if standard error is closed.
        let _ = error.print();
        return ExitCode::from(2);
    }
    let text = error.render();
    let is_colored = std::io::IsTerminal::is_terminal(&std::io::stdout())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = if is_colored { text.ansi().to_string() } else { text.to_string() };
    end(print::results(text.as_bytes()))
}

/// What to type instead, in one line, where that can be told.
fn hint(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(_) | None => None,
    };
    let all = || args.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
    match error.kind() {
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument => {
            let flag = text(ContextKind::InvalidArg).and_then(|flag| words::flag_answer(&flag));
            flag.or_else(|| words::answer(&plain_words(args))).or_else(|| words::command_answer(&all()))
        }
        // The first of two words was taken for a run.
        ErrorKind::ArgumentConflict => words::answer(&plain_words(args)),
        ErrorKind::MissingRequiredArgument => words::command_answer(&all()).or_else(|| cli::nothing_to_run(args)),
        // A flag that should have a value, and has none.
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_some_and(|value| value.is_empty()) => {
            let flag = text(ContextKind::InvalidArg)?;
            let name = flag.split(' ').next().unwrap_or(&flag);
            Some(format!("`{name}` has no value: write `{flag}`, or `{name}=VALUE` where it begins with a dash"))
        }
        _ => None,
    }
}

/// The words of the command line that are no flags of every command.
fn plain_words(args: &[OsString]) -> Vec<String> {
    let mut words = Vec::new();
    let mut args = args.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = args.next() {
        if word == "--home" || word == "-C" {
            args.next();
        } else if !word.starts_with('-') {
            words.push(word);
        }
    }
    words
}

fn run(parsed: Parsed) -> Result<(), Failure> {
    let Parsed { cli, variables, warnings } = parsed;
    warnings.iter().for_each(|warning| print::warn(warning));
    match &cli.command {
        None if cli.verbose > 0 => return print::line(&format!("dstack {}", env!("CARGO_PKG_VERSION"))),
        None => {
            let usage = <Cli as clap::CommandFactory>::command().render_help();
            return Err(Failure::Usage(format!("a command is needed\n\n{usage}")));
        }
        Some(_) => {}
    }
    let app = App::new(&cli)?;
    let command = cli.command.expect("that there is none was looked at before");
    let is_background = matches!(&command, Command::Controller(args) if args.background || args.detached);
    if !is_background {
        trace_to_stderr(app.verbose);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(commands::run(&app, command, variables));
    // Whatever still waits in a thread of its own is given up: nothing hangs on it.
    runtime.shutdown_background();
    outcome.map_err(|failure| failure.of_home(app.home.path()))
}

fn trace_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::ERROR,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        3.. => tracing::Level::TRACE,
    };
    let is_colored = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(is_colored)
        .with_target(false)
        .init();
}
