//! Tests of the whole module, by what people write.

mod cases;
mod files;
mod foreign;
mod hostile;
mod keys;
mod variables;

use crate::model::{Name, WorkflowSpec};

use super::*;

const FILE: &str = ".dstack/workflows.yaml";

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

fn nobody(_: &str) -> Option<String> {
    None
}

/// Loads and plans the first workflow of the file, with these values.
fn planned(text: &str, variables: Option<&str>, overrides: &[(&str, &str)]) -> Result<Planned, ProjectError> {
    let file = WorkflowsFile::load_str(FILE, text, variables)?;
    let target = file.workflows().next().expect("a file has a workflow").0.clone();
    let overrides: Vec<(String, String)> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    plan(&file, &target, &overrides, &nobody)
}

/// The only workflow of the file.
fn only(text: &str) -> WorkflowSpec {
    let mut planned = planned(text, None, &[]).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(planned.workflows.len(), 1);
    planned.workflows.remove(0)
}

/// A workflow `w` with these further lines, indented by four.
fn workflow(lines: &str) -> String {
    format!("workflows:\n  - name: w\n    commands: [\"true\"]\n    {}\n", lines.replace('\n', "\n    "))
}

fn error(text: &str) -> String {
    error_with(text, None)
}

fn error_with(text: &str, variables: Option<&str>) -> String {
    match planned(text, variables, &[]) {
        Ok(planned) => panic!("accepted: {:?}\n{text}", planned.workflows),
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains('\n'), "one line: {error}");
            error
        }
    }
}

/// Checks that these lines in a workflow are refused in this place of the file, with these words.
fn refused(lines: &str, place: &str, words: &[&str]) {
    let error = error(&workflow(lines));
    assert!(error.starts_with(&format!("{FILE}:{place}: ")), "{lines}: {error}");
    for word in words {
        assert!(error.contains(word), "{lines}: {error} should contain {word}");
    }
}
