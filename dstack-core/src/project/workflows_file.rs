//! `.dstack/workflows.yaml`: which workflows there are, and what waits for what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::Name;

use super::plan::Warning;
use super::variables::{Declared, Variables};
use super::words::{Section, check_key, nearest};
use super::yaml::{Node, Text, Value, parse};
use super::{Place, ProjectError, graph};

/// The workflows of a project with their places, and its variables. What the keys of a workflow say is checked by
/// [`plan`](super::plan), once variables have their values.
#[derive(Debug, Clone)]
pub struct WorkflowsFile {
    pub(super) workflows: Vec<Entry>,
    pub(super) index: BTreeMap<Name, usize>,
    pub(super) variables: Variables,
    /// All workflows, dependencies first.
    pub(super) order: Vec<usize>,
    pub(super) warnings: Vec<Warning>,
}

/// One workflow before its variables are filled in.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) place: Place,
    pub(super) help: Option<String>,
    /// All keys but `name`, `help` and `depends-on`.
    pub(super) keys: Vec<(Text, Node)>,
    pub(super) depends_on: Vec<(usize, Place)>,
}

const FORM: &str = "a list of workflows: `workflows: [{name: hello, commands: [echo hello]}]`";

impl WorkflowsFile {
    /// Reads both files from memory; `name` is what messages call the first.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load_str(name: &str, text: &str, variables_text: Option<&str>) -> Result<Self, ProjectError> {
        let file: Arc<str> = name.into();
        let variables = match variables_text {
            Some(text) => Variables::read(&variables_name(name).into(), text)?,
            None => Variables::default(),
        };
        let start = Place { file: Arc::clone(&file), line: 1, column: 1 };
        let root =
            parse(&file, text)?.ok_or_else(|| start.error(format!("the file is empty: it should hold {FORM}")))?;
        let mut list = None;
        for (key, node) in root.map("workflows.yaml", "a map that begins with `workflows:`")? {
            check_key(Section::File, key)?;
            list = Some(node);
        }
        let list = list.ok_or_else(|| start.error(format!("`workflows` is missing: the file should hold {FORM}")))?;
        let mut warnings = Vec::new();
        let (workflows, index) = read_all(list, &mut warnings)?;
        let order = ordered(&workflows)?;
        for (section, _) in variables.own.values() {
            if !index.keys().any(|name| name.as_str() == section.text) {
                let known = index.keys().map(Name::as_str).chain(["global"]);
                let hint = nearest(&section.text, known).map(|near| format!(": did you mean `{near}`?"));
                let hint = hint.unwrap_or_else(|| ": name a workflow, or write `global`".to_owned());
                return Err(section.error(format!("there is no workflow `{}`{hint}", section.text)));
            }
        }
        Ok(Self { workflows, index, variables, order, warnings })
    }

    /// The workflows' names and what their `help` says, in the order of the file.
    pub fn workflows(&self) -> impl Iterator<Item = (&Name, Option<&str>)> {
        self.workflows.iter().map(|entry| (&entry.name, entry.help.as_deref()))
    }

    /// The variables that can be given to this workflow, global ones first.
    ///
    /// # Errors
    /// When there is no such workflow; names the nearest.
    pub fn declared_variables(&self, target: &Name) -> Result<Vec<Declared>, ProjectError> {
        self.find(target)?;
        let declared = self.variables.of(target.as_str()).into_iter().map(|(declaration, is_global)| Declared {
            name: declaration.name.text.clone(),
            default: declaration.value.clone(),
            is_global,
        });
        Ok(declared.collect())
    }

    pub(super) fn find(&self, target: &Name) -> Result<usize, ProjectError> {
        self.index.get(target).copied().ok_or_else(|| {
            let hint = nearest(target.as_str(), self.index.keys().map(Name::as_str));
            let hint = hint.map(|near| format!("did you mean `{near}`?")).unwrap_or_else(|| {
                let names: Vec<&str> = self.workflows.iter().take(10).map(|entry| entry.name.as_str()).collect();
                format!("there are {}", names.join(", "))
            });
            ProjectError::Asked(format!("there is no workflow `{target}`: {hint}"))
        })
    }

    pub(super) fn dependencies(&self) -> Vec<Vec<usize>> {
        self.workflows.iter().map(places_of).collect()
    }
}

fn places_of(entry: &Entry) -> Vec<usize> {
    entry.depends_on.iter().map(|(at, _)| *at).collect()
}

fn variables_name(workflows: &str) -> String {
    match workflows.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/variables.yaml"),
        None => "variables.yaml".to_owned(),
    }
}

fn read_all(list: &Node, warnings: &mut Vec<Warning>) -> Result<(Vec<Entry>, BTreeMap<Name, usize>), ProjectError> {
    let items = list.list("workflows", "a list")?;
    if items.is_empty() {
        return Err(list.error(format!("there is no workflow: write {FORM}")));
    }
    let mut workflows = Vec::with_capacity(items.len());
    let mut index = BTreeMap::new();
    for item in items {
        let entry = read_entry(item)?;
        if let Some(other) = index.insert(entry.name.clone(), workflows.len()) {
            let other: &Entry = &workflows[other];
            return Err(entry.place.error(format!(
                "two workflows are named `{}` (the other in line {}): give one of them another name",
                entry.name, other.place.line
            )));
        }
        workflows.push(entry);
    }
    for (item, at) in items.iter().zip(0..) {
        let Value::Map(keys) = &item.value else { continue };
        if let Some((_, node)) = keys.iter().find(|(key, _)| key.text == "depends-on") {
            workflows[at].depends_on = read_dependencies(node, at, &index, warnings)?;
        }
    }
    Ok((workflows, index))
}

fn read_entry(item: &Node) -> Result<Entry, ProjectError> {
    let (mut name, mut help, mut keys) = (None, None, Vec::new());
    for (key, node) in item.map("a workflow", "a map with `name` and `commands`")? {
        check_key(Section::Workflow, key)?;
        match key.text.as_str() {
            "name" => {
                // An empty or `~` name is a name that does not fit, not a missing one.
                let Value::Text { text, .. } = &node.value else { return Err(node.expected("name", "a text")) };
                let parsed: Name = text.parse().map_err(|error| node.error(format!("{error}")))?;
                name = Some((parsed, node.place.clone()));
            }
            "help" => help = Some(node.text("help")?.text),
            "depends-on" => {}
            _ => keys.push((key.clone(), node.clone())),
        }
    }
    let (name, place) = name.ok_or_else(|| item.error("the workflow has no `name`: write `name: hello`"))?;
    Ok(Entry { name, place, help, keys, depends_on: Vec::new() })
}

fn read_dependencies(
    node: &Node,
    itself: usize,
    index: &BTreeMap<Name, usize>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<(usize, Place)>, ProjectError> {
    const LIST: &str = "a list of workflows' names, like [prepare]";
    let list = match &node.value {
        Value::Map(entries) => {
            let mut list = None;
            for (key, node) in entries {
                check_key(Section::DependsOn, key)?;
                if key.text == "workflows" {
                    list = Some(node);
                }
            }
            if let Some((key, _)) = entries.iter().find(|(key, _)| key.text != "workflows") {
                let message = format!("`{}` has no effect here: every run has its own files and variables", key.text);
                warnings.push(Warning { place: key.place.clone(), message });
            }
            match list {
                Some(list) => list,
                None => return Ok(Vec::new()),
            }
        }
        Value::Text { .. } if node.is_null() => return Ok(Vec::new()),
        Value::Text { .. } | Value::List(_) => node,
    };
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for item in list.list("depends-on", LIST)? {
        let name = item.text("depends-on")?;
        let at = dependency(&name, index)?;
        if at == itself {
            return Err(name.error(format!("workflow `{}` depends on itself: remove it here", name.text)));
        }
        if !known.insert(at) {
            return Err(name.error(format!("`{}` is given twice: remove one of them", name.text)));
        }
        found.push((at, name.place));
    }
    Ok(found)
}

fn dependency(name: &Text, index: &BTreeMap<Name, usize>) -> Result<usize, ProjectError> {
    if name.text.contains("${{") {
        return Err(name.error("variables are not filled in here: write the workflow's name"));
    }
    let missing = || {
        let hint = nearest(&name.text, index.keys().map(Name::as_str));
        let hint = hint
            .map(|near| format!(": did you mean `{near}`?"))
            .unwrap_or_else(|| ": define it in this file".to_owned());
        name.error(format!("there is no workflow `{}`{hint}", name.text))
    };
    if let Some((workflow, _)) = name.text.split_once(':') {
        return Err(name.error(format!("tags (NAME:TAG) are not built yet: write `{workflow}`, which then runs first")));
    }
    let parsed: Name = name.text.parse().map_err(|_| missing())?;
    index.get(&parsed).copied().ok_or_else(missing)
}

fn ordered(workflows: &[Entry]) -> Result<Vec<usize>, ProjectError> {
    let depends_on: Vec<Vec<usize>> = workflows.iter().map(places_of).collect();
    graph::order(&depends_on).map_err(|ring| {
        let mut names: Vec<&str> = ring.iter().take(20).map(|at| workflows[*at].name.as_str()).collect();
        names.extend(names.first().copied());
        let next = ring.get(1).or(ring.first()).copied();
        let first = &workflows[ring[0]];
        let place = first.depends_on.iter().find(|(at, _)| Some(*at) == next).map_or(&first.place, |(_, place)| place);
        place.error(format!("workflows wait for each other: {}; remove one of these dependencies", names.join(" -> ")))
    })
}
