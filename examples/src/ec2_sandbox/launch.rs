//! What a RunInstances request asks for, read and checked.

use std::collections::BTreeMap;

use super::account::Account;
use super::catalogue::{Catalogue, TypeRow};
use super::hosts::user_data_fault;
use super::ids::{digest, is_id};
use super::images::{Image, images};
use super::query::{Query, from_base64};
use super::reply::Failure;
use super::tags::{Tags, tag_specifications};

/// Most bytes of user data, before base64.
const USER_DATA_MOST: usize = 16_384;

/// Parameters that RunInstances has. Those that are not read here change nothing but the token's comparison.
const KNOWN: [&str; 32] = [
    "Action",
    "Version",
    "ClientToken",
    "DryRun",
    "ImageId",
    "InstanceType",
    "MinCount",
    "MaxCount",
    "KeyName",
    "SecurityGroupId",
    "SecurityGroup",
    "SubnetId",
    "Placement",
    "UserData",
    "TagSpecification",
    "InstanceMarketOptions",
    "MetadataOptions",
    "BlockDeviceMapping",
    "InstanceInitiatedShutdownBehavior",
    "DisableApiTermination",
    "DisableApiStop",
    "EbsOptimized",
    "Monitoring",
    "NetworkInterface",
    "IamInstanceProfile",
    "CreditSpecification",
    "CpuOptions",
    "PrivateIpAddress",
    "CapacityReservationSpecification",
    "PrivateDnsNameOptions",
    "MaintenanceOptions",
    "EnclaveOptions",
];

/// A disk of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) device: String,
    pub(super) gib: u64,
    pub(super) kind: String,
    pub(super) is_deleted_with_instance: bool,
}

/// A launch as it was asked for.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub(super) region: String,
    pub(super) token: Option<String>,
    pub(super) row: &'static TypeRow,
    pub(super) image: Image,
    pub(super) least: u64,
    pub(super) most: u64,
    /// The zone that was named, itself or by a subnet.
    pub(super) zone: Option<String>,
    pub(super) is_spot: bool,
    pub(super) spot_price_most: Option<u64>,
    pub(super) groups: Vec<String>,
    pub(super) tags: BTreeMap<String, Tags>,
    pub(super) user_data: Vec<u8>,
    pub(super) key_name: Option<String>,
    pub(super) ends_on_shutdown: bool,
    pub(super) is_protected: bool,
    pub(super) http_tokens: String,
    pub(super) hop_limit: u64,
    pub(super) disks: Vec<Disk>,
    /// Equal for requests that are the same but for their token.
    pub(super) fingerprint: String,
}

impl Launch {
    /// Reads a request and checks it against what the account has.
    pub(super) fn read(account: &Account, region: &str, query: &Query) -> Result<Self, Failure> {
        for name in query.names() {
            let first = name.split('.').next().unwrap_or(name);
            if !KNOWN.contains(&first) {
                let words = format!("The parameter {first} is not recognized");
                return Err(Failure::client("UnknownParameter", words));
            }
        }
        let (least, most) = (counts(query)?.0, counts(query)?.1);
        let image = image(region, query.required("ImageId")?)?;
        let row = instance_type(region, query.text("InstanceType").unwrap_or("m1.small"))?;
        if !row.archs.iter().any(|arch| arch == image.arch) {
            let words = format!(
                "The architecture '{}' of the specified instance type does not match the architecture '{}' of the specified AMI.",
                row.archs.join(","),
                image.arch
            );
            return Err(Failure::client("InvalidParameterValue", words));
        }
        if let Some(profile) = query.text("IamInstanceProfile.Name").or_else(|| query.text("IamInstanceProfile.Arn")) {
            let words = format!(
                "Value ({profile}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
            );
            return Err(Failure::client("InvalidParameterValue", words));
        }
        let interface = query.below("NetworkInterface.1");
        let subnet = query.text("SubnetId").or_else(|| interface.text("SubnetId"));
        let (is_spot, spot_price_most) = market(query, row)?;
        let tags = tag_specifications(query, &["instance", "volume", "network-interface", "spot-instances-request"])?;
        Ok(Self {
            region: region.to_owned(),
            token: token(query)?,
            zone: zone(account, region, query.text("Placement.AvailabilityZone"), subnet)?,
            row,
            least,
            most,
            is_spot,
            spot_price_most,
            groups: groups(account, region, query, &interface)?,
            tags,
            user_data: user_data(query)?,
            key_name: key_name(account, region, query)?,
            ends_on_shutdown: ends_on_shutdown(query)?,
            is_protected: query.flag("DisableApiTermination")?,
            http_tokens: one_of(query, "MetadataOptions.HttpTokens", &["required", "optional"])?,
            hop_limit: query.number("MetadataOptions.HttpPutResponseHopLimit")?.unwrap_or(2),
            disks: disks(query, &image)?,
            image,
            fingerprint: digest(query.canonical_without(&["ClientToken", "DryRun", "Action", "Version"]).as_bytes()),
        })
    }
}

/// The first of the choices is the default.
fn one_of(query: &Query, name: &str, choices: &[&str]) -> Result<String, Failure> {
    let text = query.text(name).unwrap_or(choices[0]);
    if choices.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Failure::client("InvalidParameterValue", format!("Value ({text}) for parameter {name} is invalid.")))
}

fn counts(query: &Query) -> Result<(u64, u64), Failure> {
    query.required("MinCount")?;
    query.required("MaxCount")?;
    let least = query.number("MinCount")?.unwrap_or(0);
    let most = query.number("MaxCount")?.unwrap_or(0);
    if least == 0 || most < least {
        let words =
            format!("Value ({least}) for parameter minCount is invalid. It must be between 1 and maxCount {most}.");
        return Err(Failure::client("InvalidParameterValue", words));
    }
    Ok((least, most))
}

fn token(query: &Query) -> Result<Option<String>, Failure> {
    let Some(token) = query.text("ClientToken") else { return Ok(None) };
    if token.len() > 64 || !token.is_ascii() {
        let words = "The client token must have at most 64 ASCII characters";
        return Err(Failure::client("InvalidClientToken", words));
    }
    Ok(Some(token.to_owned()))
}

fn image(region: &str, id: &str) -> Result<Image, Failure> {
    if !is_id("ami", id) {
        return Err(Failure::client("InvalidAMIID.Malformed", format!("Invalid id: \"{id}\"")));
    }
    let found = images(region).into_iter().find(|image| image.id == id);
    found.ok_or_else(|| Failure::client("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist")))
}

fn instance_type(region: &str, name: &str) -> Result<&'static TypeRow, Failure> {
    let row = Catalogue::get()
        .types
        .get(name)
        .ok_or_else(|| Failure::client("InvalidParameterValue", format!("Invalid value '{name}' for InstanceType.")))?;
    if row.zones(region).is_empty() {
        let words = format!("Your requested instance type ({name}) is not supported in the region {region}.");
        return Err(Failure::client("Unsupported", words));
    }
    Ok(row)
}

fn market(query: &Query, row: &TypeRow) -> Result<(bool, Option<u64>), Failure> {
    let options = query.below("InstanceMarketOptions");
    if options.is_empty() {
        return Ok((false, None));
    }
    let combination = |words: &str| Err(Failure::client("InvalidParameterCombination", words));
    if options.text("MarketType") != Some("spot") {
        return combination("The market type must be spot");
    }
    if options.text("SpotOptions.SpotInstanceType").unwrap_or("one-time") != "one-time" {
        return combination("The sandbox knows one-time Spot requests only");
    }
    if options.text("SpotOptions.InstanceInterruptionBehavior").unwrap_or("terminate") != "terminate" {
        return combination("A one-time Spot request cannot be stopped or hibernated");
    }
    if !row.usages.iter().any(|usage| usage == "spot") {
        return Err(Failure::client("UnsupportedOperation", format!("{} is not sold as Spot", row.name)));
    }
    let Some(price) = options.text("SpotOptions.MaxPrice") else { return Ok((true, None)) };
    match micro_usd(price) {
        Some(price) => Ok((true, Some(price))),
        None => Err(Failure::client("InvalidParameterValue", format!("{price} is no price"))),
    }
}

/// A price in dollars, in millionths.
fn micro_usd(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<6}");
    Some(whole.parse::<u64>().ok()?.checked_mul(1_000_000)? + part.get(..6)?.parse::<u64>().ok()?)
}

fn zone(account: &Account, region: &str, named: Option<&str>, subnet: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(subnet) = subnet {
        let zone = account.zone_of_subnet(region, subnet)?;
        if named.is_some_and(|named| named != zone) {
            let words = format!("The subnet {subnet} is not in the zone that was asked for");
            return Err(Failure::client("InvalidParameterValue", words));
        }
        return Ok(Some(zone));
    }
    let Some(named) = named else { return Ok(None) };
    if Catalogue::get().zone(named).is_none_or(|zone| zone.region != region) {
        let words = format!("Invalid availability zone: [{named}]");
        return Err(Failure::client("InvalidParameterValue", words));
    }
    Ok(Some(named.to_owned()))
}

fn groups(account: &Account, region: &str, query: &Query, interface: &Query) -> Result<Vec<String>, Failure> {
    let mut groups = Vec::new();
    for id in query.list("SecurityGroupId").into_iter().chain(interface.list("SecurityGroupId")) {
        groups.push(account.groups.find(region, id)?.id.clone());
    }
    for name in query.list("SecurityGroup") {
        groups.push(account.groups.find_by_name(region, name)?.id.clone());
    }
    if groups.is_empty() {
        groups.push(account.groups.find_by_name(region, "default")?.id.clone());
    }
    Ok(groups)
}

fn user_data(query: &Query) -> Result<Vec<u8>, Failure> {
    let Some(text) = query.text("UserData") else { return Ok(Vec::new()) };
    let malformed = |words: String| Failure::client("InvalidUserData.Malformed", words);
    let bytes = from_base64(text).ok_or_else(|| malformed("Invalid BASE64 encoding of user data.".into()))?;
    if bytes.len() > USER_DATA_MOST {
        return Err(malformed(format!("User data is limited to {USER_DATA_MOST} bytes")));
    }
    match user_data_fault(&bytes) {
        Some(fault) => Err(malformed(fault)),
        None => Ok(bytes),
    }
}

fn key_name(account: &Account, region: &str, query: &Query) -> Result<Option<String>, Failure> {
    let Some(name) = query.text("KeyName") else { return Ok(None) };
    if account.keys.contains_key(&(region.to_owned(), name.to_owned())) {
        return Ok(Some(name.to_owned()));
    }
    Err(Failure::client("InvalidKeyPair.NotFound", format!("The key pair '{name}' does not exist")))
}

fn ends_on_shutdown(query: &Query) -> Result<bool, Failure> {
    Ok(one_of(query, "InstanceInitiatedShutdownBehavior", &["stop", "terminate"])? == "terminate")
}

fn disks(query: &Query, image: &Image) -> Result<Vec<Disk>, Failure> {
    let root = Disk {
        device: image.root_device.to_owned(),
        gib: image.root_gib,
        kind: "gp3".into(),
        is_deleted_with_instance: true,
    };
    let mut disks = vec![root];
    for member in query.members("BlockDeviceMapping") {
        let device = member.required("DeviceName")?;
        let known = disks.iter_mut().find(|disk| disk.device == device);
        let least = known.as_ref().map_or(1, |disk| disk.gib);
        let gib = member.number("Ebs.VolumeSize")?.unwrap_or(least);
        if gib < least {
            let words = format!("Volume of size {gib}GB is smaller than the snapshot, expect size >= {least}GB");
            return Err(Failure::client("InvalidBlockDeviceMapping", words));
        }
        // A disk that is not the image's outlives its instance unless it is said otherwise.
        let by_default = known.is_some();
        let disk = Disk {
            device: device.to_owned(),
            gib,
            kind: member.text("Ebs.VolumeType").unwrap_or("gp3").to_owned(),
            is_deleted_with_instance: member.choice("Ebs.DeleteOnTermination")?.unwrap_or(by_default),
        };
        match known {
            Some(known) => *known = disk,
            None => disks.push(disk),
        }
    }
    Ok(disks)
}
