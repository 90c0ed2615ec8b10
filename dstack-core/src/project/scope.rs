//! The variables of one workflow, and what becomes of a text that names them.

use std::collections::BTreeMap;

use super::ProjectError;
use super::names::exported;
use super::variables::{Declaration, Variables, canonical};
use super::words::nearest;
use super::yaml::Text;

/// Values that a caller gave for variables: by their canonical name.
pub(super) type Overrides = BTreeMap<String, String>;

/// The variables of one workflow with their values.
pub(super) struct Scope<'a> {
    variables: Vec<(&'a Declaration, &'a str)>,
    /// Names in the environment, and which variable each of them is.
    exported: BTreeMap<String, usize>,
}

impl<'a> Scope<'a> {
    /// # Errors
    /// When two variables would have the same name in the environment.
    pub(super) fn new(
        variables: &'a Variables,
        workflow: &str,
        global: &'a Overrides,
        own: &'a Overrides,
    ) -> Result<Self, ProjectError> {
        let mut scope = Self { variables: Vec::new(), exported: BTreeMap::new() };
        for (declaration, is_global) in variables.of(workflow) {
            let overrides = if is_global { global } else { own };
            let value = overrides.get(&canonical(&declaration.name.text)).unwrap_or(&declaration.value);
            for name in exported(&declaration.name.text) {
                if let Some(other) = scope.exported.insert(name.clone(), scope.variables.len()) {
                    let other = &scope.variables[other].0.name;
                    return Err(declaration.name.error(format!(
                        "variables `{}` and `{}` would both be exported as {name}: give one of them another name",
                        other.text, declaration.name.text
                    )));
                }
            }
            scope.variables.push((declaration, value));
        }
        Ok(scope)
    }

    /// The environment that the variables make.
    pub(super) fn env(&self) -> BTreeMap<String, String> {
        self.exported.iter().map(|(name, at)| (name.clone(), self.variables[*at].1.to_owned())).collect()
    }

    /// Names and values, in the order of the files.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let pair = |(declaration, value): &(&Declaration, &str)| (declaration.name.text.clone(), (*value).to_owned());
        self.variables.iter().map(pair).collect()
    }

    /// All variables as `--name value`.
    pub(super) fn args(&self) -> Vec<String> {
        self.variables
            .iter()
            .flat_map(|(declaration, value)| [format!("--{}", declaration.name.text), (*value).to_owned()])
            .collect()
    }

    /// A text that no shell reads, with its variables' values.
    pub(super) fn fill(&self, text: &Text) -> Result<Text, ProjectError> {
        if let Some((dollar, variable)) = self.shell_reference(&text.text) {
            return Err(text.error(format!("no shell reads `{dollar}` here: write `${{{{ {variable} }}}}`")));
        }
        self.replace(text, |_, value| Ok(value))
    }

    /// A text that a shell reads. Values that the shell would act on are refused.
    pub(super) fn fill_command(&self, text: &Text) -> Result<Text, ProjectError> {
        if ["$variables_as_args", "${variables_as_args}"].iter().any(|old| text.text.contains(old)) {
            return Err(text.error("`$variables_as_args` is written `\"$@\"` here: all variables as `--name value`"));
        }
        self.replace(text, |name, value| {
            let is_plain = |letter: char| letter.is_alphanumeric() || "_-./:=,@%+".contains(letter);
            if value.chars().all(is_plain) {
                return Ok(value);
            }
            let shell_name = exported(name).swap_remove(0);
            Err(text.error(format!(
                "a shell would act on the value of `{name}`: write \"${shell_name}\" instead of ${{{{ {name} }}}}"
            )))
        })
    }

    fn replace<'v>(
        &'v self,
        text: &Text,
        check: impl Fn(&str, &'v str) -> Result<&'v str, ProjectError>,
    ) -> Result<Text, ProjectError> {
        if text.text.contains('\0') {
            return Err(text.error("the text holds a NUL character: remove it"));
        }
        let mut filled = String::with_capacity(text.text.len());
        let mut rest = text.text.as_str();
        while let Some((before, after)) = rest.split_once("${{") {
            let Some((name, behind)) = after.split_once("}}") else {
                return Err(text.error("`${{` has no `}}`: write `${{ NAME }}`"));
            };
            let (name, value) = self.find(name.trim()).ok_or_else(|| text.error(self.unknown(name.trim())))?;
            filled.push_str(before);
            filled.push_str(check(name, value)?);
            rest = behind;
        }
        filled.push_str(rest);
        Ok(Text { place: text.place.clone(), text: filled })
    }

    fn find(&self, name: &str) -> Option<(&str, &str)> {
        let wanted = canonical(name);
        let found = self.variables.iter().find(|(known, _)| canonical(&known.name.text) == wanted)?;
        Some((&found.0.name.text, found.1))
    }

    fn unknown(&self, name: &str) -> String {
        match nearest(name, self.variables.iter().map(|(known, _)| known.name.text.as_str())) {
            Some(near) => format!("there is no variable `{name}`: did you mean `{near}`?"),
            None => format!("there is no variable `{name}`: declare it in `.dstack/variables.yaml`"),
        }
    }

    /// The first `$name` or `${name}` of a declared variable, and that variable.
    fn shell_reference(&self, text: &str) -> Option<(String, &str)> {
        text.match_indices('$').find_map(|(at, _)| {
            let rest = &text[at + 1..];
            let (brace, rest) = rest.strip_prefix('{').map_or(("", rest), |rest| ("{", rest));
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            let variable = *self.exported.get(name)?;
            let closing = if brace.is_empty() { "" } else { "}" };
            (closing.is_empty() || behind.starts_with('}'))
                .then(|| (format!("${brace}{name}{closing}"), self.variables[variable].0.name.text.as_str()))
        })
    }
}
