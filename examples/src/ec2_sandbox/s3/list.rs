//! Listings.

use std::collections::BTreeSet;

use super::super::query::Query;
use super::super::reply::Reply;
use super::super::times::iso;
use super::super::xml::Xml;
use super::store::{NAMESPACE, Object, Refusal, Store};

/// Most rows of a page.
const PAGE_MOST: u64 = 1_000;

pub(super) fn buckets(store: &Store) -> Reply {
    let text = Xml::document("ListAllMyBucketsResult", NAMESPACE, |xml| {
        xml.group("Buckets", |xml| {
            for (name, bucket) in &store.buckets {
                xml.group("Bucket", |xml| {
                    xml.leaf("Name", name);
                    xml.leaf("CreationDate", iso(bucket.created_micros));
                });
            }
        });
    });
    Reply::new(200, "application/xml", text)
}

/// A row of a listing: an object, or the common beginning of some.
enum Row<'a> {
    Object(&'a str, &'a Object),
    Prefix(String),
}

impl Row<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Object(key, _) => key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

/// ListObjectsV2, and the older ListObjects where `list-type` is missing.
pub(super) fn objects(store: &mut Store, name: &str, query: &Query) -> Result<Reply, Refusal> {
    let is_v2 = query.get("list-type") == Some("2");
    let text = |key: &str| query.get(key).unwrap_or_default();
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let token = text("continuation-token");
    let after = if !is_v2 {
        text("marker")
    } else if token.is_empty() {
        text("start-after")
    } else {
        token
    };
    let most = query.number("max-keys").ok().flatten().unwrap_or(PAGE_MOST).min(PAGE_MOST);
    let is_encoded = text("encoding-type") == "url";
    let written = |text: &str| if is_encoded { encode(text) } else { text.to_owned() };

    let bucket = store.bucket(name)?;
    let mut prefixes = BTreeSet::new();
    let mut rows = Vec::new();
    for (key, object) in bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let cut = if delimiter.is_empty() { None } else { rest.find(delimiter) };
        let row = match cut {
            Some(at) => {
                let common = format!("{prefix}{}", &rest[..at + delimiter.len()]);
                if !prefixes.insert(common.clone()) {
                    continue;
                }
                Row::Prefix(common)
            }
            None => Row::Object(key, object),
        };
        if row.name() > after {
            rows.push(row);
        }
    }
    let is_cut = rows.len() as u64 > most;
    rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let last = rows.last().map(|row| row.name().to_owned()).filter(|_| is_cut);
    let document = Xml::document("ListBucketResult", NAMESPACE, |xml| {
        xml.leaf("Name", name);
        xml.leaf("Prefix", written(prefix));
        xml.leaf_if("Delimiter", Some(written(delimiter)).filter(|text| !text.is_empty()));
        xml.leaf("MaxKeys", most.to_string());
        xml.leaf_if("EncodingType", Some("url").filter(|_| is_encoded));
        xml.leaf("IsTruncated", is_cut.to_string());
        if is_v2 {
            xml.leaf("KeyCount", rows.len().to_string());
            xml.leaf_if("ContinuationToken", Some(token).filter(|token| !token.is_empty()));
            xml.leaf_if("NextContinuationToken", last.as_deref());
        } else {
            xml.leaf_if("NextMarker", last.as_deref().map(written));
        }
        write_rows(xml, &rows, &written);
    });
    Ok(Reply::new(200, "application/xml", document))
}

fn write_rows(xml: &mut Xml, rows: &[Row<'_>], written: &impl Fn(&str) -> String) {
    for row in rows {
        match row {
            Row::Object(key, object) => xml.group("Contents", |xml| {
                xml.leaf("Key", written(key));
                xml.leaf("LastModified", iso(object.modified_micros));
                xml.leaf("ETag", &object.etag);
                xml.leaf("Size", object.body.len().to_string());
                xml.leaf("StorageClass", "STANDARD");
            }),
            Row::Prefix(prefix) => xml.group("CommonPrefixes", |xml| xml.leaf("Prefix", written(prefix))),
        }
    }
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
