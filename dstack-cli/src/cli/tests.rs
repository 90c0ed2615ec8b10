use std::ffi::OsString;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::{Cli, ParseError, Parsed, parse};

fn args(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn parsed(line: &str) -> Result<Parsed, clap::Error> {
    match parse(&args(line)) {
        Ok(parsed) => Ok(parsed),
        Err(ParseError::Clap(error)) => Err(error),
        Err(ParseError::Value(line)) => Err(clap::Error::raw(clap::error::ErrorKind::InvalidValue, line)),
        Err(ParseError::Project(error)) => panic!("the project is in order: {error}"),
    }
}

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let dot = folder.path().join(".dstack");
    std::fs::create_dir(&dot).expect("it can be made");
    let workflows = "workflows:\n  - name: train\n    commands: [\"true\"]\n";
    std::fs::write(dot.join("workflows.yaml"), workflows).expect("it can be written");
    let variables = "variables:\n  global:\n    gpu: 1\n    name: x\n  train:\n    batch_size: 8\n    epochs: 0.10\n";
    std::fs::write(dot.join("variables.yaml"), variables).expect("it can be written");
    folder
}

fn in_project(folder: &Path, line: &str) -> Result<Parsed, clap::Error> {
    parsed(&line.replace("PROJECT", &folder.display().to_string()))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_help_page_carries_an_example() {
    fn visit(command: &Command, path: &str) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example"), "`{path} --help` has no example");
        assert!(help.contains("dstack "), "the example of `{path}` runs something");
        for child in command.get_subcommands() {
            visit(child, &format!("{path} {}", child.get_name()));
        }
    }
    visit(&Cli::command(), "dstack");
}

#[test]
fn the_examples_of_the_help_pages_can_be_parsed() {
    fn visit(command: &Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter_map(|line| line.find("dstack ").map(|at| &line[at..])) {
            let line = line.split("   ").next().unwrap_or(line).split(" > ").next().unwrap_or(line);
            if line.contains("--epochs") || line.ends_with("--help") {
                continue;
            }
            if let Err(error) = parsed(line) {
                panic!("`{line}`: {error}");
            }
        }
        command.get_subcommands().for_each(visit);
    }
    visit(&Cli::command());
}

#[test]
fn exactly_one_purchase_is_chosen_when_allowing() {
    assert!(parsed("dstack autoscale allow local -m 1 -d").is_ok());
    for wrong in [
        "allow local -m 1",
        "allow local -m 1 -s -d",
        "allow local -d",
        "allow local -m -1 -d",
        "allow local -m 1.5 -d",
    ] {
        let error = parsed(&format!("dstack autoscale {wrong}")).expect_err("it is wrong");
        assert_eq!(error.exit_code(), 2, "{wrong}");
    }
}

#[test]
fn removing_names_a_type_or_all_and_not_both() {
    assert!(parsed("dstack autoscale remove local").is_ok());
    assert!(parsed("dstack autoscale remove -a").is_ok());
    assert_eq!(parsed("dstack autoscale remove").expect_err("it says nothing").exit_code(), 2);
    assert_eq!(parsed("dstack autoscale remove local --all").expect_err("it says both").exit_code(), 2);
}

#[test]
fn declared_variables_are_flags_in_both_spellings() {
    let folder = project();
    let line = "dstack -C PROJECT run train --batch-size 16 -d --epochs -3 --batch_size 32 --gpu 2";
    let mut given = in_project(folder.path(), line).expect("all of them are declared").variables;
    given.sort();
    let expected = [("batch_size", "16"), ("batch_size", "32"), ("epochs", "-3"), ("gpu", "2")];
    assert_eq!(given, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_flag_is_never_the_value_of_a_variable_before_it() {
    let folder = project();
    for line in [
        "run train --epochs --local",
        "run train --epochs -d",
        "run train --epochs",
        "run train --epochs --batch_size 3",
    ] {
        let error = in_project(folder.path(), &format!("dstack -C PROJECT {line}")).expect_err("there is no value");
        assert_eq!(error.exit_code(), 2, "{line}: {error}");
    }
    for (value, given) in [("-3", "-3"), ("-0.5", "-0.5"), ("-1e-5", "-1e-5"), ("-O3", "-O3")] {
        let line = format!("dstack -C PROJECT run train --epochs {value}");
        assert_eq!(in_project(folder.path(), &line).expect("it is a number").variables[0].1, given);
    }
    let line = "dstack -C PROJECT run train --epochs=--local";
    assert_eq!(in_project(folder.path(), line).expect("it is meant").variables[0].1, "--local");
}

#[test]
fn flags_may_stand_before_the_workflow() {
    let folder = project();
    let given = in_project(folder.path(), "dstack run -C PROJECT --epochs 3 train").expect("it is declared").variables;
    assert_eq!(given, [("epochs".to_owned(), "3".to_owned())]);
}

#[test]
fn no_prefix_of_a_variable_passes_and_the_nearest_name_is_told() {
    let folder = project();
    let error = in_project(folder.path(), "dstack -C PROJECT run train --epoch 3").expect_err("it is no variable");
    assert!(error.to_string().contains("--epochs"), "{error}");
}

#[test]
fn the_help_of_a_workflow_lists_its_variables_as_they_are_spelt() {
    let folder = project();
    let help = in_project(folder.path(), "dstack -C PROJECT run train --help").expect_err("help is asked").to_string();
    assert!(help.contains("--epochs <VALUE>") && help.contains("default: 0.10"), "{help}");
    assert!(help.contains("--var name=VALUE"), "{help}");
}

#[test]
fn a_variable_named_like_a_flag_of_ours_is_told_about() {
    let folder = project();
    let parsed = in_project(folder.path(), "dstack -C PROJECT run train --name y").expect("it is our flag");
    assert_eq!(parsed.warnings.len(), 1);
    assert!(parsed.warnings[0].contains("--var name="));
    assert!(in_project(folder.path(), "dstack -C PROJECT run train").expect("it is right").warnings.is_empty());
}

#[test]
fn resources_belong_to_a_command_without_a_file() {
    let run = parsed("dstack run --cpu 2 --memory 4GB --gpu 1 -- sh -c true").expect("it is right");
    let Some(super::Command::Run(run)) = run.cli.command else { panic!("it runs something") };
    assert_eq!(run.argv, ["sh", "-c", "true"]);
    assert_eq!(run.resources.given(), Some("--cpu"));
}
