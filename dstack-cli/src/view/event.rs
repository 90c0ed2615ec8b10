//! Records as people and programs read them.

use dstack_core::model::{Content, Record};
use serde_json::{Value, json};

use super::table::clean;
use super::time::local_time;

/// A record as one line of JSON.
pub(crate) fn event_json(record: &Record) -> String {
    let (kind, data, problem) = match &record.content {
        Content::Known(event) => {
            let data = serde_json::from_slice(&event.encode().json).unwrap_or(Value::Null);
            (event.kind().to_owned(), data, None)
        }
        Content::Unknown(error) => (error.kind.clone(), Value::Null, Some(error.to_string())),
    };
    let mut document = json!({
        "seq": record.seq.get(),
        "at": record.at.to_string(),
        "kind": kind,
        "data": data,
        "append": record.append.to_string(),
        "hash": format!("{:?}", record.hash),
    });
    if let (Some(problem), Some(fields)) = (problem, document.as_object_mut()) {
        fields.insert("error".to_owned(), problem.into());
    }
    document.to_string()
}

/// A record as one line for people.
pub(crate) fn event_line(record: &Record) -> String {
    let (kind, text) = match &record.content {
        Content::Known(event) => {
            let data = serde_json::from_slice(&event.encode().json).unwrap_or(Value::Null);
            (event.kind(), fields(&data, 0))
        }
        Content::Unknown(error) => (error.kind.as_str(), error.to_string()),
    };
    clean(format!("{:>6}  {}  {kind:<20}  {text}", record.seq.get(), local_time(record.at)).trim_end())
}

fn fields(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(map) if depth < 2 => {
            let fields = map.iter().map(|(name, value)| format!("{name}={}", fields(value, depth + 1)));
            let joined = fields.collect::<Vec<_>>().join(" ");
            if depth == 0 { joined } else { format!("({joined})") }
        }
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
