//! Security groups.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::catalogue::Catalogue;
use super::ids::{is_id, made_id};
use super::reply::Failure;

/// What a rule lets through: protocol, ports, and from where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Permission {
    pub(super) protocol: String,
    pub(super) from_port: Option<i64>,
    pub(super) to_port: Option<i64>,
    pub(super) cidr: String,
}

impl Permission {
    /// The id of its rule in a group.
    pub(super) fn rule_id(&self, group: &str, direction: &str) -> String {
        let ports = format!("{:?}-{:?}", self.from_port, self.to_port);
        made_id("sgr", &[group, direction, &self.protocol, &ports, &self.cidr])
    }
}

impl Permission {
    /// Whether it lets this machine in over TCP at one of these ports.
    fn lets_in(&self, ports: [u16; 2]) -> bool {
        let is_protocol = ["-1", "tcp", "6"].contains(&self.protocol.as_str());
        let (from, to) = (self.from_port.unwrap_or(0), self.to_port.unwrap_or(65_535));
        let is_port = self.protocol == "-1" || ports.iter().any(|port| (from..=to).contains(&i64::from(*port)));
        let (network, length) = self.cidr.split_once('/').unwrap_or((&self.cidr, "32"));
        let (Ok(network), Ok(length)) = (network.parse::<Ipv4Addr>(), length.parse::<u32>()) else { return false };
        let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
        is_protocol && is_port && (network.to_bits() ^ Ipv4Addr::LOCALHOST.to_bits()) & mask == 0
    }
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) region: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) ingress: BTreeMap<Permission, String>,
    pub(super) egress: BTreeSet<Permission>,
}

/// All groups of an account.
#[derive(Debug)]
pub(super) struct Groups {
    account: String,
    made: u64,
    all: BTreeMap<String, Group>,
}

impl Groups {
    /// The default group of each region.
    pub(super) fn new(account: &str) -> Self {
        let mut groups = Self { account: account.to_owned(), made: 0, all: BTreeMap::new() };
        for region in Catalogue::get().regions() {
            groups.add(region, "default", "default VPC security group");
        }
        groups
    }

    /// The groups of a region.
    pub(super) fn of<'a>(&'a self, region: &'a str) -> impl Iterator<Item = &'a Group> {
        self.all.values().filter(move |group| group.region == region)
    }

    /// The group of this id.
    pub(super) fn find(&self, region: &str, id: &str) -> Result<&Group, Failure> {
        if !is_id("sg", id) {
            return Err(Failure::client("InvalidGroupId.Malformed", format!("Invalid id: \"{id}\"")));
        }
        self.all.get(id).filter(|group| group.region == region).ok_or_else(|| missing(id))
    }

    /// The group of this id, to change it.
    pub(super) fn find_mut(&mut self, region: &str, id: &str) -> Result<&mut Group, Failure> {
        self.find(region, id)?;
        self.all.get_mut(id).ok_or_else(|| missing(id))
    }

    /// The group of this name in the default network.
    pub(super) fn find_by_name(&self, region: &str, name: &str) -> Result<&Group, Failure> {
        self.all.values().find(|group| group.region == region && group.name == name).ok_or_else(|| missing(name))
    }

    /// Whether one of these groups lets this machine in over SSH, at the port that EC2 has or the one that is used here.
    pub(super) fn let_in(&self, ids: &[String], ssh_port: u16) -> bool {
        let named = ids.iter().filter_map(|id| self.all.get(id));
        named.flat_map(|group| group.ingress.keys()).any(|permission| permission.lets_in([22, ssh_port]))
    }

    /// Makes a group.
    pub(super) fn create(&mut self, region: &str, name: &str, description: &str) -> Result<String, Failure> {
        if self.of(region).any(|group| group.name == name) {
            let words = format!("The security group '{name}' already exists");
            return Err(Failure::client("InvalidGroup.Duplicate", words));
        }
        Ok(self.add(region, name, description))
    }

    fn add(&mut self, region: &str, name: &str, description: &str) -> String {
        self.made += 1;
        let id = made_id("sg", &[&self.account, region, name, &self.made.to_string()]);
        let everywhere = Permission { protocol: "-1".into(), from_port: None, to_port: None, cidr: "0.0.0.0/0".into() };
        let group = Group {
            id: id.clone(),
            region: region.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            ingress: BTreeMap::new(),
            egress: BTreeSet::from([everywhere]),
        };
        self.all.insert(id.clone(), group);
        id
    }

    /// Takes a group away that nothing uses.
    pub(super) fn remove(&mut self, region: &str, id: &str) -> Result<(), Failure> {
        if self.find(region, id)?.name == "default" {
            return Err(Failure::client("CannotDelete", "the default group cannot be deleted"));
        }
        self.all.remove(id);
        Ok(())
    }
}

fn missing(what: &str) -> Failure {
    Failure::client("InvalidGroup.NotFound", format!("The security group '{what}' does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_lets_in_whom_its_rules_name() {
        let cases = [
            ("tcp", Some(22), Some(22), "127.0.0.1/32", true),
            ("tcp", Some(4000), Some(5000), "0.0.0.0/0", true),
            ("-1", None, None, "127.0.0.0/8", true),
            ("tcp", Some(80), Some(80), "127.0.0.1/32", false),
            ("udp", Some(22), Some(22), "127.0.0.1/32", false),
            ("tcp", Some(22), Some(22), "203.0.113.7/32", false),
            ("tcp", Some(22), Some(22), "::/0", false),
        ];
        for (protocol, from_port, to_port, cidr, expected) in cases {
            let mut groups = Groups::new("0");
            let id = groups.create("us-east-1", "g", "d").expect("it is new");
            let rule = Permission { protocol: protocol.into(), from_port, to_port, cidr: cidr.into() };
            groups.find_mut("us-east-1", &id).expect("it was made").ingress.insert(rule, String::new());
            assert_eq!(groups.let_in(&[id], 4999), expected, "{protocol} {from_port:?} {cidr}");
        }
    }
}
