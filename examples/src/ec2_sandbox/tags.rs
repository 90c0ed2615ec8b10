//! Tags of resources.

use std::collections::BTreeMap;

use super::query::Query;
use super::reply::Failure;
use super::xml::Xml;

/// Keys and values.
pub(super) type Tags = BTreeMap<String, String>;

/// Most tags of a resource.
const TAGS_MOST: usize = 50;

/// Reads `TagSpecification.N`: tags by the kind of resource that they are for.
pub(super) fn tag_specifications(query: &Query, kinds: &[&str]) -> Result<BTreeMap<String, Tags>, Failure> {
    let mut specifications: BTreeMap<String, Tags> = BTreeMap::new();
    for member in query.members("TagSpecification") {
        let kind = member.required("ResourceType")?;
        if !kinds.contains(&kind) {
            let words = format!("'{kind}' is not a valid taggable resource type for this operation.");
            return Err(Failure::client("InvalidParameterValue", words));
        }
        let tags = specifications.entry(kind.to_owned()).or_default();
        add_tags(tags, &member)?;
    }
    Ok(specifications)
}

/// Adds the tags of `Tag.N` and checks them.
pub(super) fn add_tags(tags: &mut Tags, query: &Query) -> Result<(), Failure> {
    for member in query.members("Tag") {
        let key = member.get("Key").unwrap_or_default();
        let value = member.get("Value").unwrap_or_default();
        if key.is_empty() || key.chars().count() > 128 || key.starts_with("aws:") {
            return Err(Failure::client("InvalidParameterValue", format!("Tag key '{key}' is not allowed")));
        }
        if value.chars().count() > 256 {
            let words = format!("Tag value of '{key}' exceeds the maximum length of 256 characters");
            return Err(Failure::client("InvalidParameterValue", words));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > TAGS_MOST {
        return Err(Failure::client("TagLimitExceeded", "The maximum number of tags for a resource is 50"));
    }
    Ok(())
}

/// Writes a `tagSet`.
pub(super) fn write_tags(xml: &mut Xml, tags: &Tags) {
    xml.items("tagSet", tags, |xml, (key, value)| {
        xml.leaf("key", key);
        xml.leaf("value", value);
    });
}

/// What a row has under a tag filter's name, if it is one.
pub(super) fn tag_values(tags: &Tags, name: &str) -> Option<Vec<String>> {
    if let Some(key) = name.strip_prefix("tag:") {
        return Some(tags.get(key).into_iter().cloned().collect());
    }
    match name {
        "tag-key" => Some(tags.keys().cloned().collect()),
        "tag-value" => Some(tags.values().cloned().collect()),
        _ => None,
    }
}
