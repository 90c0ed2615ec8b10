//! DescribeInstanceTypes and DescribeInstanceTypeOfferings.

use std::collections::BTreeSet;

use super::super::catalogue::{Catalogue, TypeRow};
use super::super::filter::{Filters, Page, PageSize};
use super::super::reply::{Failure, NoAnswer};
use super::super::xml::Xml;
use super::Call;

const TYPE_PAGE: PageSize = PageSize { least: 5, most: 100 };
const OFFERING_PAGE: PageSize = PageSize { least: 5, most: 1_000 };

const TYPE_FILTERS: [&str; 10] = [
    "instance-type",
    "current-generation",
    "bare-metal",
    "burstable-performance-supported",
    "supported-usage-class",
    "processor-info.supported-architecture",
    "vcpu-info.default-vcpus",
    "memory-info.size-in-mib",
    "instance-storage-supported",
    "hypervisor",
];

pub(super) fn describe_instance_types(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &TYPE_FILTERS)?;
    let asked = call.query.list("InstanceType");
    let catalogue = Catalogue::get();
    let unknown: Vec<&str> = asked.iter().copied().filter(|name| !is_sold(name, call.region)).collect();
    if !unknown.is_empty() {
        let words = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
        return Err(Failure::client("InvalidInstanceType", words).into());
    }
    call.dry_run()?;
    let rows = catalogue.types.values().filter(|row| !row.zones(call.region).is_empty());
    let rows = rows.filter(|row| asked.is_empty() || asked.contains(&row.name.as_str()));
    let rows = rows.filter(|row| filters.fit(|name| type_values(row, name))).collect();
    let page = Page::cut(call.query, rows, TYPE_PAGE, |row| row.name.clone())?;
    Ok(call.document("DescribeInstanceTypes", |xml| {
        xml.items("instanceTypeSet", &page.rows, |xml, row| write_type(xml, row));
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}

fn is_sold(name: &str, region: &str) -> bool {
    Catalogue::get().types.get(name).is_some_and(|row| !row.zones(region).is_empty())
}

fn type_values(row: &TypeRow, name: &str) -> Vec<String> {
    match name {
        "instance-type" => vec![row.name.clone()],
        "current-generation" => vec![row.is_current.to_string()],
        "bare-metal" => vec![row.is_bare_metal.to_string()],
        "burstable-performance-supported" => vec![row.is_burstable.to_string()],
        "supported-usage-class" => row.usages.clone(),
        "processor-info.supported-architecture" => row.archs.clone(),
        "vcpu-info.default-vcpus" => vec![row.vcpus.to_string()],
        "memory-info.size-in-mib" => vec![row.memory_mib.to_string()],
        "instance-storage-supported" => vec![(row.storage_gb > 0).to_string()],
        "hypervisor" if !row.is_bare_metal => vec!["nitro".to_owned()],
        _ => Vec::new(),
    }
}

fn write_type(xml: &mut Xml, row: &TypeRow) {
    xml.leaf("instanceType", &row.name);
    xml.leaf("currentGeneration", row.is_current.to_string());
    xml.leaf("freeTierEligible", "false");
    xml.items("supportedUsageClasses", &row.usages, write_text);
    xml.items("supportedRootDeviceTypes", ["ebs"], write_text);
    xml.items("supportedVirtualizationTypes", ["hvm"], write_text);
    xml.leaf("bareMetal", row.is_bare_metal.to_string());
    if !row.is_bare_metal {
        xml.leaf("hypervisor", "nitro");
    }
    xml.group("processorInfo", |xml| xml.items("supportedArchitectures", &row.archs, write_text));
    xml.group("vCpuInfo", |xml| xml.leaf("defaultVCpus", row.vcpus.to_string()));
    xml.group("memoryInfo", |xml| xml.leaf("sizeInMiB", row.memory_mib.to_string()));
    xml.leaf("instanceStorageSupported", (row.storage_gb > 0).to_string());
    if row.storage_gb > 0 {
        xml.group("instanceStorageInfo", |xml| xml.leaf("totalSizeInGB", row.storage_gb.to_string()));
    }
    xml.group("networkInfo", |xml| xml.leaf("networkPerformance", &row.network));
    if !row.gpus.is_empty() {
        xml.group("gpuInfo", |xml| {
            xml.items("gpus", &row.gpus, |xml, gpu| {
                xml.leaf("name", &gpu.name);
                xml.leaf("manufacturer", &gpu.manufacturer);
                xml.leaf("count", gpu.count.to_string());
                xml.group("memoryInfo", |xml| xml.leaf("sizeInMiB", gpu.memory_mib.to_string()));
            });
            let whole: u64 = row.gpus.iter().map(|gpu| u64::from(gpu.count.max(1)) * gpu.memory_mib).sum();
            xml.leaf("totalGpuMemoryInMiB", whole.to_string());
        });
    }
    xml.leaf("burstablePerformanceSupported", row.is_burstable.to_string());
}

/// The text of an item that has no elements.
fn write_text(xml: &mut Xml, text: impl AsRef<str>) {
    xml.text(text);
}

pub(super) fn describe_offerings(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &["instance-type", "location"])?;
    let kind = call.query.text("LocationType").unwrap_or("region");
    if !["region", "availability-zone", "availability-zone-id"].contains(&kind) {
        let words = format!("Value ({kind}) for parameter locationType is invalid.");
        return Err(Failure::client("InvalidParameterValue", words).into());
    }
    call.dry_run()?;
    let mut rows: BTreeSet<(&str, String)> = BTreeSet::new();
    for row in Catalogue::get().types.values() {
        for zone in row.zones(call.region) {
            let place = match kind {
                "region" => call.region.to_owned(),
                "availability-zone" => zone,
                _ => Catalogue::get().zone(&zone).map(|zone| zone.id.clone()).unwrap_or_default(),
            };
            rows.insert((&row.name, place));
        }
    }
    let fits = |(name, place): &(&str, String)| {
        filters.fit(|filter| vec![if filter == "location" { place.clone() } else { (*name).to_owned() }])
    };
    let rows = rows.into_iter().filter(fits).collect();
    let page = Page::cut(call.query, rows, OFFERING_PAGE, |(name, place)| format!("{name} {place}"))?;
    Ok(call.document("DescribeInstanceTypeOfferings", |xml| {
        xml.items("instanceTypeOfferingSet", &page.rows, |xml, (name, place)| {
            xml.leaf("instanceType", name);
            xml.leaf("locationType", kind);
            xml.leaf("location", place);
        });
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}
