//! Regions, zones, the default network and its subnets, and the account's attributes.

use super::super::catalogue::{Catalogue, Zone};
use super::super::filter::Filters;
use super::super::reply::{Failure, NoAnswer};
use super::Call;

pub(super) fn describe_regions(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &["region-name", "endpoint", "opt-in-status"])?;
    let asked = call.query.list("RegionName");
    let regions = Catalogue::get().regions();
    if let Some(unknown) = asked.iter().find(|name| !regions.contains(name)) {
        let words = format!("Invalid region name: '{unknown}'");
        return Err(Failure::client("InvalidParameterValue", words).into());
    }
    call.dry_run()?;
    let endpoint = |region: &str| format!("ec2.{region}.amazonaws.com");
    let fits = |region: &&str| {
        (asked.is_empty() || asked.contains(region))
            && filters.fit(|name| match name {
                "region-name" => vec![(*region).to_owned()],
                "endpoint" => vec![endpoint(region)],
                _ => vec!["opt-in-not-required".to_owned()],
            })
    };
    Ok(call.document("DescribeRegions", |xml| {
        xml.items("regionInfo", regions.iter().copied().filter(fits), |xml, region| {
            xml.leaf("regionName", region);
            xml.leaf("regionEndpoint", endpoint(region));
            xml.leaf("optInStatus", "opt-in-not-required");
        });
    }))
}

pub(super) fn describe_zones(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &["zone-name", "zone-id", "region-name", "state", "zone-type"])?;
    let asked = call.query.list("ZoneName");
    if let Some(unknown) = asked.iter().find(|name| Catalogue::get().zone(name).is_none()) {
        let words = format!("Invalid availability zone: [{unknown}]");
        return Err(Failure::client("InvalidParameterValue", words).into());
    }
    call.dry_run()?;
    let fits = |zone: &&Zone| {
        (asked.is_empty() || asked.contains(&zone.name.as_str()))
            && filters.fit(|name| match name {
                "zone-name" => vec![zone.name.clone()],
                "zone-id" => vec![zone.id.clone()],
                "region-name" => vec![zone.region.clone()],
                "state" => vec!["available".to_owned()],
                _ => vec!["availability-zone".to_owned()],
            })
    };
    Ok(call.document("DescribeAvailabilityZones", |xml| {
        xml.items("availabilityZoneInfo", Catalogue::get().zones_of(call.region).filter(fits), |xml, zone| {
            xml.leaf("zoneName", &zone.name);
            xml.leaf("zoneState", "available");
            xml.leaf("regionName", &zone.region);
            xml.group("messageSet", |_| {});
            xml.leaf("zoneId", &zone.id);
            xml.leaf("zoneType", "availability-zone");
            xml.leaf("optInStatus", "opt-in-not-required");
            xml.leaf("groupName", format!("{}-zg-1", zone.region));
        });
    }))
}

pub(super) fn describe_vpcs(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters =
        Filters::parse(call.query, &["vpc-id", "is-default", "isDefault", "state", "cidr", "tag:", "tag-key"])?;
    let vpc = call.account.vpc(call.region);
    let asked = call.query.list("VpcId");
    if let Some(unknown) = asked.iter().find(|id| **id != vpc) {
        let words = format!("The vpc ID '{unknown}' does not exist");
        return Err(Failure::client("InvalidVpcID.NotFound", words).into());
    }
    call.dry_run()?;
    let fits = filters.fit(|name| match name {
        "vpc-id" => vec![vpc.clone()],
        "is-default" | "isDefault" => vec!["true".to_owned()],
        "state" => vec!["available".to_owned()],
        "cidr" => vec!["10.0.0.0/16".to_owned()],
        _ => Vec::new(),
    });
    let owner = call.account.id.clone();
    Ok(call.document("DescribeVpcs", |xml| {
        xml.items("vpcSet", Some(&vpc).filter(|_| fits), |xml, vpc| {
            xml.leaf("vpcId", vpc);
            xml.leaf("ownerId", &owner);
            xml.leaf("state", "available");
            xml.leaf("cidrBlock", "10.0.0.0/16");
            xml.leaf("instanceTenancy", "default");
            xml.leaf("isDefault", "true");
        });
    }))
}

pub(super) fn describe_subnets(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    const KNOWN: [&str; 12] = [
        "subnet-id",
        "vpc-id",
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "default-for-az",
        "defaultForAz",
        "state",
        "map-public-ip-on-launch",
        "owner-id",
        "tag:",
        "tag-key",
    ];
    let filters = Filters::parse(call.query, &KNOWN)?;
    let asked = call.query.list("SubnetId");
    for id in &asked {
        call.account.zone_of_subnet(call.region, id)?;
    }
    call.dry_run()?;
    let account = &*call.account;
    let vpc = account.vpc(call.region);
    let fits = |zone: &&Zone| {
        let subnet = account.subnet(&zone.name);
        (asked.is_empty() || asked.contains(&subnet.as_str()))
            && filters.fit(|name| match name {
                "subnet-id" => vec![subnet.clone()],
                "vpc-id" => vec![vpc.clone()],
                "availability-zone" | "availabilityZone" => vec![zone.name.clone()],
                "availability-zone-id" => vec![zone.id.clone()],
                "default-for-az" | "defaultForAz" | "map-public-ip-on-launch" => vec!["true".to_owned()],
                "state" => vec!["available".to_owned()],
                "owner-id" => vec![account.id.clone()],
                _ => Vec::new(),
            })
    };
    Ok(call.document("DescribeSubnets", |xml| {
        let zones = (0..).zip(Catalogue::get().zones_of(call.region)).filter(|(_, zone)| fits(zone));
        xml.items("subnetSet", zones, |xml, (index, zone): (u32, &Zone)| {
            xml.leaf("subnetId", account.subnet(&zone.name));
            xml.leaf("state", "available");
            xml.leaf("vpcId", &vpc);
            xml.leaf("cidrBlock", format!("10.0.{}.0/20", index * 16));
            xml.leaf("availableIpAddressCount", "4091");
            xml.leaf("availabilityZone", &zone.name);
            xml.leaf("availabilityZoneId", &zone.id);
            xml.leaf("defaultForAz", "true");
            xml.leaf("mapPublicIpOnLaunch", "true");
            xml.leaf("ownerId", &account.id);
        });
    }))
}

pub(super) fn describe_account_attributes(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let vpc = call.account.vpc(call.region);
    let all = [
        ("supported-platforms", "VPC"),
        ("default-vpc", vpc.as_str()),
        ("max-instances", "1000"),
        ("max-elastic-ips", "5"),
    ];
    let asked = call.query.list("AttributeName");
    call.dry_run()?;
    let shown = all.iter().filter(|(name, _)| asked.is_empty() || asked.contains(name));
    Ok(call.document("DescribeAccountAttributes", |xml| {
        xml.items("accountAttributeSet", shown, |xml, (name, value)| {
            xml.leaf("attributeName", name);
            xml.items("attributeValueSet", [value], |xml, value| xml.leaf("attributeValue", value));
        });
    }))
}
