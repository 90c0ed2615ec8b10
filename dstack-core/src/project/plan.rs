//! What a run of one workflow submits.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Name, WorkflowSpec};

use super::reader;
use super::scope::{Overrides, Scope};
use super::variables::canonical;
use super::words::nearest;
use super::{Place, ProjectError, WorkflowsFile, graph};

pub use super::reader::Environment;

/// Something that is accepted but does not do what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands.
    pub place: Place,
    /// What does not happen.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)
    }
}

/// The workflows of one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The target and all that it depends on. What a workflow depends on stands before it, so the target is the last.
    pub workflows: Vec<WorkflowSpec>,
    /// The target's variables with their values, in the order of the files.
    pub variables: Vec<(String, String)>,
    /// What to tell, once.
    pub warnings: Vec<Warning>,
}

/// Makes the submission of `target` with these values for its variables, in which `_` and `-` are alike; the last of two
/// values for one variable counts. `environment` answers for names in `env` that come without a value.
///
/// All workflows of the file are checked, not only those that are submitted.
///
/// # Errors
/// The first thing that is wrong in the files, with its place; an unknown target or variable, with the nearest name.
pub fn plan(
    file: &WorkflowsFile,
    target: &Name,
    overrides: &[(String, String)],
    environment: Environment<'_>,
) -> Result<Planned, ProjectError> {
    let target = file.find(target)?;
    let (global, own) = sort_overrides(file, target, overrides)?;
    let depends_on = file.dependencies();
    let wanted = graph::closure(&depends_on, target);
    let none = Overrides::new();
    let mut artifacts: Vec<Vec<String>> = vec![Vec::new(); file.workflows.len()];
    let mut read: BTreeMap<usize, WorkflowSpec> = BTreeMap::new();
    let mut variables = Vec::new();
    for (at, entry) in file.workflows.iter().enumerate() {
        let own = if at == target { &own } else { &none };
        let scope = Scope::new(&file.variables, entry.name.as_str(), &global, own)?;
        let is_wanted = wanted.contains(&at);
        let workflow = reader::read(entry, &scope, is_wanted.then_some(environment))?;
        artifacts[at].clone_from(&workflow.artifacts);
        if at == target {
            variables = scope.pairs();
        }
        if is_wanted {
            read.insert(at, workflow);
        }
    }
    check_dependencies_artifacts(file, &artifacts)?;
    let order = file.order.iter().copied().filter(|at| wanted.contains(at));
    let places: BTreeMap<usize, u32> = order.clone().zip(0..).collect();
    let workflows = order.filter_map(|at| {
        let mut spec = read.remove(&at)?;
        spec.depends_on = depends_on[at].iter().filter_map(|dependency| places.get(dependency).copied()).collect();
        Some(spec)
    });
    Ok(Planned { workflows: workflows.collect(), variables, warnings: file.warnings.clone() })
}

/// Which values are for global variables and which for the target's own.
fn sort_overrides(
    file: &WorkflowsFile,
    target: usize,
    overrides: &[(String, String)],
) -> Result<(Overrides, Overrides), ProjectError> {
    let name = &file.workflows[target].name;
    let declared = file.variables.of(name.as_str());
    let (mut global, mut own) = (Overrides::new(), Overrides::new());
    for (key, value) in overrides {
        let wanted = canonical(key);
        let found = declared.iter().find(|(declaration, _)| canonical(&declaration.name.text) == wanted);
        let Some((_, is_global)) = found else {
            let near = nearest(key, declared.iter().map(|(declaration, _)| declaration.name.text.as_str()));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let hint = hint.unwrap_or_else(|| "declare it in `.dstack/variables.yaml`".to_owned());
            return Err(ProjectError::Asked(format!("workflow `{name}` has no variable `{key}`: {hint}")));
        };
        if value.contains('\0') {
            return Err(ProjectError::Asked(format!(
                "the value of `{key}` holds a NUL character, which no environment can"
            )));
        }
        let sorted = if *is_global { &mut global } else { &mut own };
        sorted.insert(wanted, value.clone());
    }
    Ok((global, own))
}

/// Artifacts of all dependencies are laid into one folder: two of the same path would hide each other.
fn check_dependencies_artifacts(file: &WorkflowsFile, artifacts: &[Vec<String>]) -> Result<(), ProjectError> {
    for entry in &file.workflows {
        let mut known: BTreeMap<&str, &Name> = BTreeMap::new();
        for (at, place) in &entry.depends_on {
            let name = &file.workflows[*at].name;
            for path in &artifacts[*at] {
                if let Some(other) = known.insert(path, name) {
                    return Err(place.error(format!(
                        "workflows `{other}` and `{name}` both have the artifact `{path}`, and `{}` would get both: \
                         rename one of them",
                        entry.name
                    )));
                }
            }
        }
    }
    Ok(())
}
