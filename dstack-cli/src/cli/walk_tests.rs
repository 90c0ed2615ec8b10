//! Every flag of every command, with a value, as far as the code that reads it.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory};

use super::{Cli, ParseError, parse};

/// What each command needs besides the flag that is tried; the first that goes with the flag is taken.
const BASES: &[(&str, &[&str])] = &[
    ("dstack", &["ps"]),
    ("dstack autoscale allow", &["local --max 1 -d", "local --max 1", "local -d"]),
    ("dstack autoscale remove", &["local", ""]),
    ("dstack autoscale set", &["", "--idle-timeout 5m"]),
    ("dstack run", &["train", "", "-- true"]),
    ("dstack logs", &["r"]),
    ("dstack stop", &["r", ""]),
    ("dstack artifacts", &["r"]),
    ("dstack artifacts list", &["r"]),
    ("dstack artifacts download", &["r"]),
    ("dstack runners stop", &["3q8z6k2v9d4tn"]),
    ("dstack secrets set", &["TOKEN"]),
    ("dstack secrets remove", &["TOKEN"]),
    ("dstack supervise", &["folder"]),
];

/// A value that the flag takes.
fn sample(arg: &Arg) -> &'static str {
    match arg.get_id().as_str() {
        "variables" => "a=b",
        "idle_timeout" | "boot_timeout" | "result_hold" | "since" => "15m",
        "ssh_from" => "203.0.113.7/32",
        "memory" => "4GB",
        "purchase" => "spot",
        _ => "1",
    }
}

/// The spellings of a flag, each with its value where it takes one.
fn spellings(arg: &Arg) -> Vec<String> {
    let long = arg.get_long_and_visible_aliases().unwrap_or_default().into_iter().map(|name| format!("--{name}"));
    let short = arg.get_short_and_visible_aliases().unwrap_or_default().into_iter().map(|name| format!("-{name}"));
    let takes_value = arg.get_num_args().expect("it is built").takes_values();
    let with_value = |name: String| if takes_value { format!("{name} {}", sample(arg)) } else { name };
    long.chain(short).map(with_value).collect()
}

/// Reads the line in earnest: a value of another type than the code asks for panics here.
fn is_read(line: &str) -> Result<(), String> {
    let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    match parse(&args) {
        Ok(_) => Ok(()),
        Err(ParseError::Clap(error)) if !error.use_stderr() => Ok(()),
        Err(ParseError::Clap(error)) => Err(error.to_string()),
        Err(ParseError::Value(line)) => Err(line),
        Err(ParseError::Project(error)) => Err(error.to_string()),
    }
}

fn visit(command: &Command, path: &str, tried: &mut usize) {
    let bases = BASES.iter().find(|(of, _)| *of == path).map_or(&[""][..], |(_, bases)| bases);
    // What only stands for others has no flags but theirs.
    let is_group = command.is_subcommand_required_set() && path != "dstack";
    for arg in command.get_arguments().filter(|arg| !is_group && !arg.is_positional()) {
        for flag in spellings(arg) {
            let lines = bases.iter().map(|base| format!("{path} {flag} {base}"));
            let refusals: Vec<String> = lines.map_while(|line| is_read(&line).err()).collect();
            assert!(refusals.len() < bases.len(), "{path} {flag}: {refusals:#?}");
            *tried += 1;
        }
    }
    for child in command.get_subcommands() {
        visit(child, &format!("{path} {}", child.get_name()), tried);
    }
}

#[test]
fn every_flag_of_every_command_is_read_as_the_type_that_it_has() {
    let mut command = Cli::command();
    command.build();
    let mut tried = 0;
    visit(&command, "dstack", &mut tried);
    assert!(tried > 100, "only {tried} flags were found");
}
