//! `resources`: what a workflow needs of a runner. All quantities are minimums.

use crate::model::{Bytes, GpuNeed, MilliCpu, Needs, Purchase};

use super::ProjectError;
use super::scope::Scope;
use super::sizes::{parse_cpu, parse_size};
use super::words::{Section, check_key, nearest};
use super::yaml::{Node, Text, Value};

pub(super) fn read(node: &Node, scope: &Scope<'_>) -> Result<Needs, ProjectError> {
    let mut needs = Needs::default();
    if node.is_null() {
        return Ok(needs);
    }
    let mut interruptible = None;
    for (key, node) in node.map("resources", "a map like {cpu: 2, memory: 8GB}")? {
        check_key(Section::Resources, key)?;
        let text = || scope.fill(&node.text(&key.text)?);
        match key.text.as_str() {
            "cpu" => needs.cpu = Some(cpu(node, scope)?),
            "memory" => needs.memory = Some(size(&text()?)?),
            "disk" => needs.disk = Some(size(&text()?)?),
            "gpu" => needs.gpu = gpu(node, scope)?,
            "purchase" => needs.purchase = Some(purchase(&text()?)?),
            "instance-type" => needs.instance_type = Some(instance_type(&text()?)?),
            _ => interruptible = Some(text()?),
        }
    }
    if let Some(text) = interruptible {
        match (text.text.as_str(), needs.purchase) {
            ("true", Some(Purchase::OnDemand)) => {
                return Err(
                    text.error("`interruptible: true` means spot, `purchase` says on-demand: remove one of them")
                );
            }
            ("true", _) => needs.purchase = Some(Purchase::Spot),
            ("false", _) => {}
            _ => return Err(text.error("`interruptible` should be true or false (or write `purchase: spot`)")),
        }
    }
    Ok(needs)
}

fn purchase(text: &Text) -> Result<Purchase, ProjectError> {
    match text.text.as_str() {
        "spot" => Ok(Purchase::Spot),
        "on-demand" => Ok(Purchase::OnDemand),
        word => {
            let near = nearest(word, ["spot", "on-demand"].into_iter());
            let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            Err(text.error(format!("`purchase` should be spot or on-demand, not {word:?}{hint}")))
        }
    }
}

fn instance_type(text: &Text) -> Result<String, ProjectError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if text.text.is_empty() || !text.text.bytes().all(allowed) {
        return Err(text.error(format!("{:?} is not an instance type: write one, like m5.large", text.text)));
    }
    Ok(text.text.clone())
}

/// `2` and `2..` both mean at least two.
fn minimum(text: &Text) -> Result<Text, ProjectError> {
    match text.text.split_once("..") {
        None => Ok(text.clone()),
        Some((least, "")) if !least.is_empty() => Ok(Text { place: text.place.clone(), text: least.to_owned() }),
        Some((least, _)) => {
            let proposal = if least.is_empty() { String::new() } else { format!(": write {least}") };
            Err(text.error(format!("{:?} has an upper end, but resources are minimums{proposal}", text.text)))
        }
    }
}

fn cpu(node: &Node, scope: &Scope<'_>) -> Result<MilliCpu, ProjectError> {
    let text = match &node.value {
        Value::Map(entries) => match &entries[..] {
            [(key, count)] if key.text == "count" => count.text("count")?,
            _ => return Err(node.error("`cpu` should be a number or {count: NUMBER}")),
        },
        Value::Text { .. } | Value::List(_) => node.text("cpu")?,
    };
    let text = minimum(&scope.fill(&text)?)?;
    parse_cpu(&text.text).map_err(|error| text.error(error.to_string()))
}

fn size(text: &Text) -> Result<Bytes, ProjectError> {
    let text = minimum(text)?;
    match parse_size(&text.text) {
        Ok(Bytes(0)) => Err(text.error("the size is 0: write one, like 16GB, or drop the line")),
        Ok(size) => Ok(size),
        Err(error) => Err(text.error(error.to_string())),
    }
}

fn count(text: &Text) -> Result<u32, ProjectError> {
    let text = minimum(text)?;
    text.text.parse().map_err(|_| text.error(format!("{:?} is not a number of GPUs: write one like 1", text.text)))
}

/// Nothing for no GPU at all.
fn gpu(node: &Node, scope: &Scope<'_>) -> Result<Option<GpuNeed>, ProjectError> {
    let mut need = GpuNeed { names: Vec::new(), count: 1, memory: None };
    match &node.value {
        Value::Text { .. } => gpu_text(&scope.fill(&node.text("gpu")?)?, &mut need)?,
        Value::List(items) => need.names = names(items, scope)?,
        Value::Map(entries) => {
            for (key, node) in entries {
                check_key(Section::Gpu, key)?;
                match (key.text.as_str(), &node.value) {
                    ("name", Value::List(items)) => need.names = names(items, scope)?,
                    ("name", _) => need.names = split_names(&scope.fill(&node.text("name")?)?)?,
                    ("count", _) => need.count = count(&scope.fill(&node.text("count")?)?)?,
                    _ => need.memory = Some(size(&scope.fill(&node.text("memory")?)?)?),
                }
            }
        }
    }
    if need.count == 0 && (!need.names.is_empty() || need.memory.is_some()) {
        return Err(node.error("0 GPUs of a kind: write a count from 1, or drop the line"));
    }
    Ok((need.count > 0).then_some(need))
}

/// `2`, `A10G`, `A10G,A100`, `A100:40GB:2`, `24GB:1`.
fn gpu_text(text: &Text, need: &mut GpuNeed) -> Result<(), ProjectError> {
    let is_number = |part: &str| part.starts_with(|letter: char| letter.is_ascii_digit());
    let is_size = |part: &str| is_number(part) && part.trim_end_matches("..").ends_with(['B', 'b']);
    let is_count =
        |part: &str| !part.is_empty() && part.trim_end_matches('.').bytes().all(|byte| byte.is_ascii_digit());
    let (mut has_names, mut has_count) = (false, false);
    for part in text.text.split(':') {
        let part = Text { place: text.place.clone(), text: part.trim().to_owned() };
        match part.text.as_str() {
            word if is_size(word) && need.memory.is_none() && !has_count => need.memory = Some(size(&part)?),
            word if is_count(word) && !has_count => {
                need.count = count(&part)?;
                has_count = true;
            }
            _ if !has_names && need.memory.is_none() && !has_count => {
                need.names = split_names(&part)?;
                has_names = true;
            }
            _ => {
                return Err(text.error(format!(
                    "{:?} is not a GPU: write a count, or NAME[:MEMORY][:COUNT], like A100:40GB:2",
                    text.text
                )));
            }
        }
    }
    Ok(())
}

fn names(items: &[Node], scope: &Scope<'_>) -> Result<Vec<String>, ProjectError> {
    items.iter().map(|item| gpu_name(&scope.fill(&item.text("gpu")?)?)).collect()
}

fn split_names(text: &Text) -> Result<Vec<String>, ProjectError> {
    let parts = text.text.split(',').map(|part| Text { place: text.place.clone(), text: part.trim().to_owned() });
    parts.map(|part| gpu_name(&part)).collect()
}

fn gpu_name(text: &Text) -> Result<String, ProjectError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'_' | b'.');
    if text.text.contains("..") {
        minimum(text)?;
    }
    let begins = text.text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if !begins || !text.text.bytes().all(allowed) {
        return Err(text.error(format!("{:?} is not the name of a GPU: write one like A10G", text.text)));
    }
    Ok(text.text.clone())
}
