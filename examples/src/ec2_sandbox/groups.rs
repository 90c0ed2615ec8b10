//! Security groups.

use std::collections::{BTreeMap, BTreeSet};

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
