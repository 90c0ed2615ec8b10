//! Security groups.

use super::super::filter::{Filters, Page, PageSize};
use super::super::groups::{Group, Permission};
use super::super::query::Query;
use super::super::reply::{Failure, NoAnswer};
use super::super::tags::{Tags, tag_specifications, tag_values, write_tags};
use super::super::xml::Xml;
use super::Call;

const PAGE: PageSize = PageSize { least: 5, most: 1_000 };

const FILTERS: [&str; 8] =
    ["group-id", "group-name", "vpc-id", "description", "owner-id", "tag:", "tag-key", "ip-permission.cidr"];

pub(super) fn describe(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &FILTERS)?;
    let (ids, names) = (call.query.list("GroupId"), call.query.list("GroupName"));
    for id in &ids {
        call.account.groups.find(call.region, id)?;
    }
    for name in &names {
        call.account.groups.find_by_name(call.region, name)?;
    }
    call.dry_run()?;
    let account = &*call.account;
    let none = Tags::new();
    let vpc = account.vpc(call.region);
    let fits = |group: &&Group| {
        let tags = account.tags.get(&group.id).unwrap_or(&none);
        (ids.is_empty() || ids.contains(&group.id.as_str()))
            && (names.is_empty() || names.contains(&group.name.as_str()))
            && filters.fit(|name| match name {
                "group-id" => vec![group.id.clone()],
                "group-name" => vec![group.name.clone()],
                "vpc-id" => vec![vpc.clone()],
                "description" => vec![group.description.clone()],
                "owner-id" => vec![account.id.clone()],
                "ip-permission.cidr" => group.ingress.keys().map(|permission| permission.cidr.clone()).collect(),
                other => tag_values(tags, other).unwrap_or_default(),
            })
    };
    let rows = account.groups.of(call.region).filter(fits).collect();
    let page = Page::cut(call.query, rows, PAGE, |group| group.id.clone())?;
    Ok(call.document("DescribeSecurityGroups", |xml| {
        xml.items("securityGroupInfo", &page.rows, |xml, group| {
            xml.leaf("ownerId", &account.id);
            xml.leaf("groupId", &group.id);
            xml.leaf("groupName", &group.name);
            xml.leaf("groupDescription", &group.description);
            xml.leaf("vpcId", &vpc);
            xml.items("ipPermissions", &group.ingress, |xml, (permission, words)| write(xml, permission, words));
            xml.items("ipPermissionsEgress", &group.egress, |xml, permission| write(xml, permission, ""));
            write_tags(xml, account.tags.get(&group.id).unwrap_or(&none));
        });
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}

fn write(xml: &mut Xml, permission: &Permission, description: &str) {
    xml.leaf("ipProtocol", &permission.protocol);
    xml.leaf_if("fromPort", permission.from_port.map(|port| port.to_string()));
    xml.leaf_if("toPort", permission.to_port.map(|port| port.to_string()));
    xml.group("groups", |_| {});
    let is_v6 = permission.cidr.contains(':');
    let (list, leaf) = if is_v6 { ("ipv6Ranges", "cidrIpv6") } else { ("ipRanges", "cidrIp") };
    if is_v6 {
        xml.group("ipRanges", |_| {});
    }
    xml.items(list, [()], |xml, ()| {
        xml.leaf(leaf, &permission.cidr);
        xml.leaf_if("description", Some(description).filter(|words| !words.is_empty()));
    });
    xml.group("prefixListIds", |_| {});
}

pub(super) fn create(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let name = call.query.required("GroupName")?;
    let description = call.query.required("GroupDescription")?;
    if name.starts_with("sg-") || name.chars().count() > 255 {
        let words = format!("Value ({name}) for parameter GroupName is invalid.");
        return Err(Failure::client("InvalidParameterValue", words).into());
    }
    if let Some(vpc) = call.query.text("VpcId").filter(|vpc| *vpc != call.account.vpc(call.region)) {
        let words = format!("The vpc ID '{vpc}' does not exist");
        return Err(Failure::client("InvalidVpcID.NotFound", words).into());
    }
    let mut tags = tag_specifications(call.query, &["security-group"])?;
    if call.account.groups.find_by_name(call.region, name).is_err() {
        call.dry_run()?;
    }
    let id = call.account.groups.create(call.region, name, description)?;
    let tags = tags.remove("security-group").unwrap_or_default();
    call.account.tags.insert(id.clone(), tags.clone());
    Ok(call.document("CreateSecurityGroup", |xml| {
        xml.leaf("return", "true");
        xml.leaf("groupId", &id);
        write_tags(xml, &tags);
    }))
}

/// The permissions that a call names: in lists, or in the short form of one range.
fn permissions(query: &Query) -> Result<Vec<(Permission, String)>, Failure> {
    let mut all = Vec::new();
    let mut members = query.members("IpPermissions");
    if query.text("CidrIp").is_some() {
        members.push(query.clone());
    }
    for member in members {
        let port = |name: &str| -> Result<Option<i64>, Failure> {
            let Some(text) = member.text(name) else { return Ok(None) };
            text.parse().map(Some).map_err(|_| Failure::client("InvalidParameterValue", format!("{name} {text}")))
        };
        let mut ranges: Vec<(String, String)> =
            member.text("CidrIp").map(|c| (c.to_owned(), String::new())).into_iter().collect();
        for (list, leaf) in [("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")] {
            for range in member.members(list) {
                ranges
                    .push((range.required(leaf)?.to_owned(), range.text("Description").unwrap_or_default().to_owned()));
            }
        }
        for (cidr, words) in ranges {
            if !is_cidr(&cidr) {
                let fault = format!("CIDR block {cidr} is malformed");
                return Err(Failure::client("InvalidParameterValue", fault));
            }
            let (protocol, from_port, to_port) =
                (member.required("IpProtocol")?.to_owned(), port("FromPort")?, port("ToPort")?);
            all.push((Permission { protocol, from_port, to_port, cidr }, words));
        }
    }
    if all.is_empty() {
        return Err(Failure::client("MissingParameter", "The request must contain permissions"));
    }
    Ok(all)
}

/// Whether a text is a network and the length of its prefix.
fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(length)) = (address.parse::<std::net::IpAddr>(), length.parse::<u8>()) else { return false };
    length <= if address.is_ipv4() { 32 } else { 128 }
}

/// The group that a call is about, by id or by name.
fn subject(call: &Call<'_>) -> Result<String, Failure> {
    match call.query.text("GroupId") {
        Some(id) => Ok(call.account.groups.find(call.region, id)?.id.clone()),
        None => Ok(call.account.groups.find_by_name(call.region, call.query.required("GroupName")?)?.id.clone()),
    }
}

pub(super) fn authorize(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let id = subject(call)?;
    let wanted = permissions(call.query)?;
    call.dry_run()?;
    let group = call.account.groups.find_mut(call.region, &id)?;
    if let Some((twice, _)) = wanted.iter().find(|(permission, _)| group.ingress.contains_key(permission)) {
        let words = format!(
            "the specified rule \"peer: {}, {}, from port: {:?}, to port: {:?}, ALLOW\" already exists",
            twice.cidr, twice.protocol, twice.from_port, twice.to_port
        );
        return Err(Failure::client("InvalidPermission.Duplicate", words).into());
    }
    group.ingress.extend(wanted.iter().cloned());
    let owner = call.account.id.clone();
    Ok(call.document("AuthorizeSecurityGroupIngress", |xml| {
        xml.leaf("return", "true");
        xml.items("securityGroupRuleSet", &wanted, |xml, (permission, words)| {
            xml.leaf("securityGroupRuleId", permission.rule_id(&id, "ingress"));
            xml.leaf("groupId", &id);
            xml.leaf("groupOwnerId", &owner);
            xml.leaf("isEgress", "false");
            xml.leaf("ipProtocol", &permission.protocol);
            xml.leaf_if("fromPort", permission.from_port.map(|port| port.to_string()));
            xml.leaf_if("toPort", permission.to_port.map(|port| port.to_string()));
            xml.leaf(if permission.cidr.contains(':') { "cidrIpv6" } else { "cidrIpv4" }, &permission.cidr);
            xml.leaf_if("description", Some(words).filter(|words| !words.is_empty()));
        });
    }))
}

pub(super) fn revoke(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let id = subject(call)?;
    let rules = call.query.list("SecurityGroupRuleId");
    let unwanted = if rules.is_empty() { permissions(call.query)? } else { Vec::new() };
    call.dry_run()?;
    let group = call.account.groups.find_mut(call.region, &id)?;
    let named = |permission: &Permission| {
        unwanted.iter().any(|(other, _)| other == permission)
            || rules.contains(&permission.rule_id(&id, "ingress").as_str())
    };
    let before = group.ingress.len();
    group.ingress.retain(|permission, _| !named(permission));
    if group.ingress.len() == before {
        let words = "The specified rule does not exist in this security group.";
        return Err(Failure::client("InvalidPermission.NotFound", words).into());
    }
    Ok(call.done("RevokeSecurityGroupIngress"))
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let id = subject(call)?;
    // An instance uses its groups until it is terminated: it still does while it shuts down.
    let users = call.account.cloud.machines();
    let records = &call.account.records;
    let uses = |id_of: &str| records.get(id_of).is_some_and(|record| record.launch.groups.contains(&id));
    if users.iter().any(|machine| machine.is_live() && uses(&machine.id.0)) {
        let words = format!("resource {id} has a dependent object");
        return Err(Failure::client("DependencyViolation", words).into());
    }
    call.dry_run()?;
    call.account.groups.remove(call.region, &id)?;
    call.account.tags.remove(&id);
    Ok(call.document("DeleteSecurityGroup", |xml| {
        xml.leaf("return", "true");
        xml.leaf("groupId", &id);
    }))
}
