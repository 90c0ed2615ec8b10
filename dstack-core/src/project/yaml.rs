//! A YAML file as a tree of places and source text: no number, truth value or date is ever made of what was written.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle};

use super::{Place, ProjectError};

/// Largest file that is read, in bytes.
pub(super) const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 4_000_000;

/// One value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A scalar as it was spelt, a list, or a map in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text { text: String, is_plain: bool },
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

/// A scalar with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) place: Place,
    pub(super) text: String,
}

impl Text {
    pub(super) fn error(&self, message: impl Into<String>) -> ProjectError {
        self.place.error(message)
    }
}

impl Node {
    pub(super) fn error(&self, message: impl Into<String>) -> ProjectError {
        self.place.error(message)
    }

    /// Whether nothing was written here.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Text { text, is_plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text { .. } if self.is_null() => "nothing",
            Value::Text { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The scalar, or an error that says what was expected.
    pub(super) fn text(&self, what: &str) -> Result<Text, ProjectError> {
        match &self.value {
            Value::Text { text, .. } if !self.is_null() => Ok(Text { place: self.place.clone(), text: text.clone() }),
            Value::Text { .. } | Value::List(_) | Value::Map(_) => Err(self.expected(what, "a text or number")),
        }
    }

    /// The list, or an error that says what was expected.
    pub(super) fn list(&self, what: &str, form: &str) -> Result<&[Node], ProjectError> {
        match &self.value {
            Value::List(items) => Ok(items),
            Value::Text { .. } | Value::Map(_) => Err(self.expected(what, form)),
        }
    }

    /// The map, or an error that says what was expected.
    pub(super) fn map(&self, what: &str, form: &str) -> Result<&[(Text, Node)], ProjectError> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            Value::Text { .. } | Value::List(_) => Err(self.expected(what, form)),
        }
    }

    pub(super) fn expected(&self, what: &str, form: &str) -> ProjectError {
        self.error(format!("`{what}` should be {form}, not {}", self.kind()))
    }
}

/// Reads one document. `None` when there is nothing in it.
pub(super) fn parse(file: &Arc<str>, source: &str) -> Result<Option<Node>, ProjectError> {
    let start = Place { file: Arc::clone(file), line: 1, column: 1 };
    if source.len() > MAX_FILE_BYTES {
        return Err(start.error(format!("the file has {} bytes; at most {MAX_FILE_BYTES} are read", source.len())));
    }
    let mut builder = Builder { file: Arc::clone(file), open: Vec::new(), root: None, nodes: 0, documents: 0 };
    for event in Parser::new_from_str(source) {
        let (event, span) = event.map_err(|error| {
            let place = builder.place(*error.marker());
            let line = source.lines().nth(place.line - 1).unwrap_or_default();
            let hint =
                if line.contains("${{") { " (inside [ ] or { }, put a value with ${{ }} into quotes)" } else { "" };
            place.error(format!("not valid YAML: {}{hint}", first_line(error.info())))
        })?;
        let place = builder.place(span.start);
        builder.take(event, place)?;
    }
    Ok(builder.root)
}

fn first_line(text: impl AsRef<str>) -> String {
    text.as_ref().lines().next().unwrap_or_default().to_owned()
}

/// A list or map whose end has not come yet.
enum Open {
    List(Place, Vec<Node>),
    Map { place: Place, entries: Vec<(Text, Node)>, keys: BTreeSet<String>, key: Option<Text> },
}

struct Builder {
    file: Arc<str>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder {
    fn place(&self, marker: Marker) -> Place {
        Place { file: Arc::clone(&self.file), line: marker.line().max(1), column: marker.col() + 1 }
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), ProjectError> {
        if event.anchor_id().is_some() {
            return Err(place.error("anchors (&name) are not used here: write the value out where it is needed"));
        }
        if event.tag().is_some() {
            return Err(place.error("tags (!name) are not used here: every value is read as it is written"));
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(place.error("a second document begins here: one file holds one (remove the `---`)"));
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(
                    place.error("aliases (*name) are not used here: write the value out, or put it into quotes")
                );
            }
            Event::Scalar(text, style, ..) => {
                let value = Value::Text { text: text.into_owned(), is_plain: style == ScalarStyle::Plain };
                self.close(Node { place, value })?;
            }
            Event::SequenceStart(..) => self.push(Open::List(place.clone(), Vec::new()), &place)?,
            Event::MappingStart(..) => {
                let open = Open::Map { place: place.clone(), entries: Vec::new(), keys: BTreeSet::new(), key: None };
                self.push(open, &place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(place, items)) => self.close(Node { place, value: Value::List(items) })?,
                Some(Open::Map { place, entries, .. }) => self.close(Node { place, value: Value::Map(entries) })?,
                None => return Err(place.error("not valid YAML: something ends that has not begun")),
            },
            // Stream marks and comments carry nothing; the parser's enum may grow.
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, open: Open, place: &Place) -> Result<(), ProjectError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(place.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(open);
        Ok(())
    }

    /// A value is complete: it goes into what is open.
    fn close(&mut self, node: Node) -> Result<(), ProjectError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(node.error(format!("more than {MAX_NODES} values in one file")));
        }
        match self.open.last_mut() {
            None => self.root = (!node.is_null()).then_some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map { entries, keys, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let Value::Text { text, .. } = node.value else {
                        return Err(node.error("a key should be a word"));
                    };
                    if text == "<<" {
                        return Err(node.place.error("merge keys (<<) are not used here: write the values out"));
                    }
                    if !keys.insert(text.clone()) {
                        return Err(node.place.error(format!("`{text}` is given twice: remove one of them")));
                    }
                    *key = Some(Text { place: node.place, text });
                }
            },
        }
        Ok(())
    }
}
