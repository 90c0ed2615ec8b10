//! Tags, and key pairs.

use super::super::filter::{Filters, Page, PageSize};
use super::super::ids::{digest, is_id, made_id};
use super::super::query::from_base64;
use super::super::reply::{Failure, NoAnswer};
use super::super::tags::{Tags, add_tags};
use super::super::times::iso;
use super::Call;

const PAGE: PageSize = PageSize { least: 5, most: 1_000 };

/// The resources that a call names. One that is not there fails the whole call.
fn subjects(call: &Call<'_>) -> Result<Vec<String>, Failure> {
    let ids = call.query.list("ResourceId");
    if ids.is_empty() {
        return Err(Failure::client("MissingParameter", "The request must contain the parameter ResourceId"));
    }
    for id in &ids {
        let account = &*call.account;
        let is_fixed = *id == account.vpc(call.region) || account.zone_of_subnet(call.region, id).is_ok();
        if account.tags.contains_key(*id) || is_fixed || account.groups.find(call.region, id).is_ok() {
            continue;
        }
        let code = match id.split('-').next().unwrap_or_default() {
            "i" if is_id("i", id) => "InvalidInstanceID.NotFound",
            "vol" => "InvalidVolume.NotFound",
            "sg" => "InvalidGroup.NotFound",
            _ => "InvalidID",
        };
        return Err(Failure::client(code, format!("The ID '{id}' does not exist")));
    }
    Ok(ids.into_iter().map(str::to_owned).collect())
}

pub(super) fn create_tags(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let ids = subjects(call)?;
    let mut changed = Vec::new();
    for id in ids {
        let mut tags = call.account.tags.get(&id).cloned().unwrap_or_default();
        add_tags(&mut tags, call.query)?;
        changed.push((id, tags));
    }
    call.dry_run()?;
    call.account.tags.extend(changed);
    Ok(call.done("CreateTags"))
}

pub(super) fn delete_tags(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let ids = subjects(call)?;
    let named = call.query.members("Tag");
    call.dry_run()?;
    for id in ids {
        let Some(tags) = call.account.tags.get_mut(&id) else { continue };
        let is_named = |key: &str, value: &str| {
            named.iter().any(|tag| tag.get("Key") == Some(key) && tag.get("Value").is_none_or(|named| named == value))
        };
        tags.retain(|key, value| !(named.is_empty() || is_named(key, value)));
    }
    Ok(call.done("DeleteTags"))
}

pub(super) fn describe_tags(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &["key", "value", "resource-id", "resource-type", "tag:"])?;
    call.dry_run()?;
    let mut rows: Vec<(&str, &str, &str)> = Vec::new();
    for (id, tags) in &call.account.tags {
        let fits = |(key, value): &(&String, &String)| {
            filters.fit(|name| match name {
                "key" => vec![(*key).clone()],
                "value" => vec![(*value).clone()],
                "resource-id" => vec![id.clone()],
                "resource-type" => vec![kind(id).to_owned()],
                other => {
                    let is_it = other.strip_prefix("tag:") == Some(key.as_str());
                    if is_it { vec![(*value).clone()] } else { Vec::new() }
                }
            })
        };
        rows.extend(tags.iter().filter(fits).map(|(key, value)| (id.as_str(), key.as_str(), value.as_str())));
    }
    let page = Page::cut(call.query, rows, PAGE, |(id, key, _)| format!("{id} {key}"))?;
    Ok(call.document("DescribeTags", |xml| {
        xml.items("tagSet", &page.rows, |xml, (id, key, value)| {
            xml.leaf("resourceId", id);
            xml.leaf("resourceType", kind(id));
            xml.leaf("key", key);
            xml.leaf("value", value);
        });
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}

fn kind(id: &str) -> &'static str {
    match id.split('-').next().unwrap_or_default() {
        "i" => "instance",
        "vol" => "volume",
        "sg" => "security-group",
        "subnet" => "subnet",
        "vpc" => "vpc",
        _ => "key-pair",
    }
}

pub(super) fn import_key_pair(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let name = call.query.required("KeyName")?.to_owned();
    let text = call.query.required("PublicKeyMaterial")?;
    let key = from_base64(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let is_key = |key: &String| key.starts_with("ssh-") || key.starts_with("ecdsa-");
    let Some(key) = key.filter(|key| is_key(key) && !key.trim().contains('\n')) else {
        let words = "Key is not in valid OpenSSH public key format";
        return Err(Failure::client("InvalidKey.Format", words).into());
    };
    let place = (call.region.to_owned(), name.clone());
    if call.account.keys.contains_key(&place) {
        let words = format!("The keypair '{name}' already exists.");
        return Err(Failure::client("InvalidKeyPair.Duplicate", words).into());
    }
    call.dry_run()?;
    let id = made_id("key", &[call.region, &name]);
    call.account.tags.insert(id.clone(), Tags::new());
    let print = digest(key.as_bytes());
    call.account.keys.insert(place, key);
    Ok(call.document("ImportKeyPair", |xml| {
        xml.leaf("keyName", &name);
        xml.leaf("keyFingerprint", print);
        xml.leaf("keyPairId", id);
    }))
}

pub(super) fn describe_key_pairs(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &["key-name", "key-pair-id"])?;
    let asked = call.query.list("KeyName");
    let there = |name: &str| call.account.keys.contains_key(&(call.region.to_owned(), name.to_owned()));
    if let Some(missing) = asked.iter().find(|name| !there(name)) {
        let words = format!("The key pair '{missing}' does not exist");
        return Err(Failure::client("InvalidKeyPair.NotFound", words).into());
    }
    call.dry_run()?;
    let id = |name: &str| made_id("key", &[call.region, name]);
    let here = call.account.keys.iter().filter(|((region, name), _)| {
        region == call.region
            && (asked.is_empty() || asked.contains(&name.as_str()))
            && filters.fit(|filter| vec![if filter == "key-name" { name.clone() } else { id(name) }])
    });
    Ok(call.document("DescribeKeyPairs", |xml| {
        xml.items("keySet", here, |xml, ((_, name), key)| {
            xml.leaf("keyPairId", id(name));
            xml.leaf("keyName", name);
            xml.leaf("keyFingerprint", digest(key.as_bytes()));
            xml.leaf("keyType", if key.starts_with("ssh-ed25519") { "ed25519" } else { "rsa" });
            xml.leaf("createTime", iso(call.now_micros));
        });
    }))
}

pub(super) fn delete_key_pair(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let name = call.query.required("KeyName")?.to_owned();
    call.dry_run()?;
    call.account.keys.remove(&(call.region.to_owned(), name.clone()));
    call.account.tags.remove(&made_id("key", &[call.region, &name]));
    Ok(call.done("DeleteKeyPair"))
}
