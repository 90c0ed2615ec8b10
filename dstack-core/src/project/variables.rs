//! `.dstack/variables.yaml`: values by name, for all workflows or for one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ProjectError;
use super::names::check_variable_name;
use super::words::{Section, check_key};
use super::yaml::{Node, Text, Value, parse};

/// A variable that a workflow can be given, for its help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// As it is spelt in the file.
    pub name: String,
    /// Its value unless it is overridden.
    pub default: String,
    /// Whether it is declared for all workflows.
    pub is_global: bool,
}

/// A declared variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) name: Text,
    pub(super) value: String,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Variables {
    pub(super) global: Vec<Declaration>,
    /// By workflow, with the place of the section.
    pub(super) own: BTreeMap<String, (Text, Vec<Declaration>)>,
}

/// The spelling in which `_` and `-` are alike.
pub(super) fn canonical(name: &str) -> String {
    name.replace('_', "-")
}

impl Variables {
    pub(super) fn read(file: &Arc<str>, source: &str) -> Result<Self, ProjectError> {
        let mut variables = Self::default();
        let Some(root) = parse(file, source)? else { return Ok(variables) };
        for (key, sections) in root.map("variables.yaml", "a map that begins with `variables:`")? {
            check_key(Section::Variables, key)?;
            if sections.is_null() {
                continue;
            }
            for (section, node) in sections.map("variables", "a map of `global` and workflows' names")? {
                let declarations = read_section(section, node)?;
                if section.text == "global" {
                    variables.global = declarations;
                } else {
                    variables.own.insert(section.text.clone(), (section.clone(), declarations));
                }
            }
        }
        Ok(variables)
    }

    /// What holds for one workflow: its own, and the global ones that it does not replace. In the order of the file.
    pub(super) fn of(&self, workflow: &str) -> Vec<(&Declaration, bool)> {
        let own = self.own.get(workflow).map_or(&[][..], |(_, declarations)| declarations);
        let replaced: BTreeSet<String> = own.iter().map(|variable| canonical(&variable.name.text)).collect();
        let global = self.global.iter().filter(|variable| !replaced.contains(&canonical(&variable.name.text)));
        global.map(|variable| (variable, true)).chain(own.iter().map(|variable| (variable, false))).collect()
    }
}

fn read_section(section: &Text, node: &Node) -> Result<Vec<Declaration>, ProjectError> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    let mut declarations = Vec::new();
    let mut known = BTreeSet::new();
    for (name, node) in node.map(&section.text, "a map of variables")? {
        check_variable_name(name)?;
        if !known.insert(canonical(&name.text)) {
            return Err(name.error(format!("`{}` is given twice: `_` and `-` are alike", name.text)));
        }
        let Value::Text { text, .. } = &node.value else {
            return Err(node.expected(&name.text, "a text or number"));
        };
        if node.is_null() {
            return Err(node.error(format!(
                "`{}` has no value: write `\"\"` for an empty text, or put {} into quotes if that is meant",
                name.text,
                if text.is_empty() { "~" } else { text }
            )));
        }
        if text.contains('\0') {
            return Err(
                node.error(format!("the value of `{}` holds a NUL character, which no environment can", name.text))
            );
        }
        declarations.push(Declaration { name: name.clone(), value: text.clone() });
    }
    Ok(declarations)
}
