//! One workflow with its variables filled in.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Name, Program, Retry, Shell, Span, WorkflowSpec};

use super::names::{check_env_name, is_shell_name};
use super::scope::Scope;
use super::sizes::parse_duration;
use super::words::{Section, check_key, nearest};
use super::workflows_file::Entry;
use super::yaml::{Node, Text, Value};
use super::{Place, ProjectError, resources};

/// Looks up the caller's own environment, for names in `env` that come without a value.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads all keys. Without `environment`, names in `env` that come without a value are left out: the workflow is only
/// checked.
pub(super) fn read(
    entry: &Entry,
    scope: &Scope<'_>,
    environment: Option<Environment<'_>>,
) -> Result<WorkflowSpec, ProjectError> {
    let mut spec = WorkflowSpec::script(entry.name.clone(), Vec::<String>::new());
    let mut has_commands = false;
    let mut artifacts = Vec::new();
    let mut env = BTreeMap::new();
    for (key, node) in &entry.keys {
        let text = || scope.fill(&node.text(&key.text)?);
        match key.text.as_str() {
            "commands" => {
                spec.program = Program::Commands(commands(node, scope)?);
                has_commands = true;
            }
            "shell" => spec.shell = shell(&text()?)?,
            "working-dir" => spec.working_dir = working_dir(&text()?)?,
            "env" => env = read_env(node, scope, environment)?,
            "artifacts" => artifacts = read_artifacts(node, scope)?,
            "resources" => spec.needs = resources::read(node, scope)?,
            "retry" => spec.retry = retry(node, scope)?,
            "timeout" => spec.timeout = timeout(&text()?)?,
            _ => spec.priority = priority(&text()?)?,
        }
    }
    if !has_commands {
        return Err(entry.place.error(format!("workflow `{}` has no `commands`: write `commands: [...]`", entry.name)));
    }
    spec.args = scope.args();
    spec.env = merged(scope, env, &entry.name)?;
    spec.artifacts = artifacts.into_iter().map(|artifact| artifact.text).collect();
    Ok(spec)
}

fn commands(node: &Node, scope: &Scope<'_>) -> Result<Vec<String>, ProjectError> {
    const FORM: &str = "a list of commands, or one block of text";
    let lines = match &node.value {
        Value::Text { .. } if !node.is_null() => vec![scope.fill_command(&node.text("commands")?)?.text],
        Value::List(items) => items.iter().map(|item| command(item, scope)).collect::<Result<_, _>>()?,
        Value::Text { .. } | Value::Map(_) => return Err(node.expected("commands", FORM)),
    };
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Err(node.error(format!("there is no command: `commands` should be {FORM}")));
    }
    Ok(lines)
}

fn command(item: &Node, scope: &Scope<'_>) -> Result<String, ProjectError> {
    match &item.value {
        Value::Text { .. } if item.is_null() => Err(item.error("an empty command: remove it, or put it into quotes")),
        Value::Text { .. } => Ok(scope.fill_command(&item.text("commands")?)?.text),
        Value::Map(_) => Err(item.error("a command that holds `: ` reads as a map: put the whole command into quotes")),
        Value::List(_) => Err(item.error("a command should be text: put it into quotes")),
    }
}

fn shell(text: &Text) -> Result<Shell, ProjectError> {
    match text.text.as_str() {
        "sh" => Ok(Shell::Sh),
        "bash" => Ok(Shell::Bash),
        word => {
            let hint = nearest(word, ["sh", "bash"].into_iter()).map(|near| format!(": did you mean `{near}`?"));
            Err(text.error(format!("`shell` should be sh or bash, not {word:?}{}", hint.unwrap_or_default())))
        }
    }
}

/// The path without `.` and a `/` at its end; empty for the folder itself.
fn relative_path(text: &Text, what: &str) -> Result<String, ProjectError> {
    let path = text.text.as_str();
    let refuse = |why: &str| Err(text.error(format!("{what} {path:?} {why}")));
    if path.is_empty() {
        return refuse("is empty: write a path inside the project");
    }
    if path.starts_with('/') {
        return refuse("is absolute: write a path inside the project");
    }
    if path == "~" || path.starts_with("~/") {
        return refuse("is in a home folder: write a path inside the project");
    }
    if path.split('/').any(|part| part == "..") {
        return refuse("climbs with `..`: write a path inside the project");
    }
    if path.chars().any(char::is_control) {
        return refuse("holds a control character: write a plain path");
    }
    if path.len() > 4096 {
        return refuse("is longer than 4096 bytes");
    }
    Ok(path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/"))
}

fn working_dir(text: &Text) -> Result<Option<String>, ProjectError> {
    let path = relative_path(text, "`working-dir`")?;
    Ok((!path.is_empty()).then_some(path))
}

fn read_artifacts(node: &Node, scope: &Scope<'_>) -> Result<Vec<Text>, ProjectError> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    let mut artifacts: Vec<Text> = Vec::new();
    for item in node.list("artifacts", "a list of paths, like [out]")? {
        let path = match &item.value {
            Value::Map(entries) => artifact_object(item, entries)?,
            // An empty path has its own message.
            Value::Text { text, .. } => Text { place: item.place.clone(), text: text.clone() },
            Value::List(_) => return Err(item.expected("artifacts", "a path")),
        };
        artifacts.push(artifact(&scope.fill(&path)?)?);
    }
    // In sorted order of their parts, a path stands right before what is inside it.
    let mut sorted: Vec<&Text> = artifacts.iter().collect();
    sorted.sort_by_key(|path| path.text.split('/').collect::<Vec<_>>());
    for pair in sorted.windows(2) {
        let (outer, inner) = (pair[0], pair[1]);
        let later = if outer.place > inner.place { outer } else { inner };
        match inner.text.strip_prefix(&outer.text) {
            Some("") => {
                return Err(later.error(format!("artifact `{}` is given twice: remove one of them", inner.text)));
            }
            Some(rest) if rest.starts_with('/') => {
                let (inner, outer) = (&inner.text, &outer.text);
                return Err(later.error(format!("artifact `{inner}` is inside artifact `{outer}`: remove one of them")));
            }
            Some(_) | None => {}
        }
    }
    Ok(artifacts)
}

fn artifact_object(item: &Node, entries: &[(Text, Node)]) -> Result<Text, ProjectError> {
    let mut path = None;
    for (key, node) in entries {
        check_key(Section::Artifact, key)?;
        let text = node.text(&key.text)?;
        match (key.text.as_str(), text.text.as_str()) {
            ("path", _) => path = Some(text),
            (_, "false") => {}
            _ => return Err(text.error("artifacts are not mounted but saved when the workflow ends: remove `mount`")),
        }
    }
    path.ok_or_else(|| item.error("the artifact has no `path`"))
}

fn artifact(text: &Text) -> Result<Text, ProjectError> {
    let path = relative_path(text, "artifact")?;
    if path.is_empty() {
        return Err(text.error(format!("artifact {:?} is the whole project: name a file or folder in it", text.text)));
    }
    if path.contains(['*', '?', '[']) {
        return Err(
            text.error(format!("artifact {path:?} is a pattern, but paths are literal: name the folder they are in"))
        );
    }
    Ok(Text { place: text.place.clone(), text: path })
}

/// Values by name; the place is for collisions.
type Env = BTreeMap<String, (Place, String)>;

fn read_env(node: &Node, scope: &Scope<'_>, environment: Option<Environment<'_>>) -> Result<Env, ProjectError> {
    const FORM: &str = "a map of names and values, or a list of NAME=VALUE";
    let mut env = Env::new();
    let mut add = |name: Text, value: String| {
        check_env_name(&name)?;
        match env.insert(name.text.clone(), (name.place.clone(), value)) {
            None => Ok(()),
            Some(_) => Err(name.error(format!("`{}` is given twice: remove one of them", name.text))),
        }
    };
    match &node.value {
        Value::Map(entries) => {
            for (name, node) in entries {
                check_env_name(name)?;
                if node.is_null() {
                    let name = &name.text;
                    return Err(node.error(format!(
                        "{name} has no value: write `{name}: \"\"` for an empty one, or the list `[{name}]` for your own"
                    )));
                }
                add(name.clone(), scope.fill(&node.text(&name.text)?)?.text)?;
            }
        }
        Value::List(items) => {
            for item in items {
                let text = match &item.value {
                    Value::Map(_) => return Err(item.error("in a list, write NAME=VALUE")),
                    Value::Text { .. } | Value::List(_) => item.text("env")?,
                };
                let (name, value) = text.text.split_once('=').map_or((text.text.as_str(), None), |(n, v)| (n, Some(v)));
                let at = |text: &str| Text { place: item.place.clone(), text: text.to_owned() };
                let name = at(name);
                match (value, environment) {
                    (Some(value), _) => {
                        // The name first: its message is the clearer one.
                        check_env_name(&name)?;
                        add(name, scope.fill(&at(value))?.text)?;
                    }
                    (None, None) => check_env_name(&name)?,
                    (None, Some(environment)) => {
                        check_env_name(&name)?;
                        let missing =
                            || name.error(format!("{} is not set: set it, or write {}=VALUE", name.text, name.text));
                        let value = environment(&name.text).ok_or_else(missing)?;
                        add(name, value)?;
                    }
                }
            }
        }
        Value::Text { .. } if node.is_null() => {}
        Value::Text { .. } => return Err(node.expected("env", FORM)),
    }
    Ok(env)
}

/// Variables and `env` together; one name with two values is an error.
fn merged(scope: &Scope<'_>, env: Env, workflow: &Name) -> Result<BTreeMap<String, String>, ProjectError> {
    let mut all = scope.env();
    for (name, (place, value)) in env {
        debug_assert!(is_shell_name(&name));
        if all.get(&name).is_some_and(|exported| *exported != value) {
            return Err(place.error(format!(
                "{name} is also what a variable of workflow `{workflow}` is exported as: give one of them another name"
            )));
        }
        all.insert(name, value);
    }
    Ok(all)
}

fn retry(node: &Node, scope: &Scope<'_>) -> Result<Option<Retry>, ProjectError> {
    if node.is_null() {
        return Ok(None);
    }
    let (mut max, mut on_exit_codes) = (None, Vec::new());
    for (key, node) in node.map("retry", "a map like {max: 3}")? {
        check_key(Section::Retry, key)?;
        if key.text == "max" {
            let text = scope.fill(&node.text("max")?)?;
            let wrong =
                |_| text.error(format!("{:?} is not a number of further attempts: write one like 3", text.text));
            max = Some(text.text.parse::<u32>().map_err(wrong)?);
        } else {
            let mut known = BTreeSet::new();
            for item in node.list("on-exit-codes", "a list of exit codes, like [1, 75]")? {
                let text = scope.fill(&item.text("on-exit-codes")?)?;
                match text.text.parse::<u8>() {
                    Ok(code) if code > 0 => drop(known.insert(code)),
                    Ok(_) | Err(_) => {
                        return Err(
                            text.error(format!("{:?} is not an exit code of a failure: write 1 to 255", text.text))
                        );
                    }
                }
            }
            if known.is_empty() {
                return Err(node.error("`on-exit-codes` is empty: drop the line to retry after any"));
            }
            on_exit_codes = known.into_iter().collect();
        }
    }
    let max = max.ok_or_else(|| node.error("`retry` has no `max`: write {max: 3}"))?;
    Ok(Some(Retry { max, on_exit_codes }))
}

fn timeout(text: &Text) -> Result<Option<Span>, ProjectError> {
    if text.text == "off" {
        return Ok(None);
    }
    match parse_duration(&text.text) {
        Ok(Span::ZERO) => Err(text.error("a timeout of nothing: write a length of time, like 2h, or off")),
        Ok(span) => Ok(Some(span)),
        Err(error) => Err(text.error(error.to_string())),
    }
}

fn priority(text: &Text) -> Result<i32, ProjectError> {
    text.text
        .parse()
        .map_err(|_| text.error(format!("{:?} is not a priority: write a whole number, like 10", text.text)))
}
