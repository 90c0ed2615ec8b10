//! Instance types as EC2 describes them, and the zones that have them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{ArchitectureType, GpuDeviceInfo, InstanceTypeInfo, LocationType, UsageClassType};
use dstack_core::model::{Bytes, Gpus};

use crate::api::Api;
use crate::failure::{Class, Failure};
use crate::images::Family;
use crate::session::Session;

/// Most pages of one listing.
const PAGES_MOST: usize = 200;

/// What is remembered of a type.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct TypeRow {
    pub(crate) name: String,
    pub(crate) vcpus: u64,
    pub(crate) memory_mib: u64,
    pub(crate) arch: String,
    pub(crate) gpus: Option<Gpus>,
    pub(crate) has_nvidia: bool,
    pub(crate) has_spot: bool,
    pub(crate) has_on_demand: bool,
    pub(crate) zones: Vec<String>,
}

impl TypeRow {
    /// The images that it runs.
    pub(crate) fn family(&self) -> Family {
        match (self.arch == "arm64", self.has_nvidia) {
            (false, false) => Family::X86,
            (true, false) => Family::Arm,
            (false, true) => Family::X86Gpu,
            (true, true) => Family::ArmGpu,
        }
    }
}

/// Every type of the region that can be launched without a host of one's own.
pub(crate) async fn list(session: &Session) -> Result<Vec<TypeRow>, Failure> {
    let (infos, mut zones) = futures::future::try_join(infos(session), zones(session)).await?;
    let mut rows: Vec<TypeRow> = infos
        .iter()
        .filter_map(|info| {
            let name = info.instance_type()?.as_str();
            row(info, name, zones.remove(name).unwrap_or_default().into_iter().collect())
        })
        .collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

async fn infos(session: &Session) -> Result<Vec<InstanceTypeInfo>, Failure> {
    let mut infos = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MOST {
        let request = session.ec2.describe_instance_types().max_results(100).set_next_token(next.take());
        let answer = session.calls.read(Api::DescribeInstanceTypes, || request.clone().send()).await?;
        next = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        infos.extend(answer.instance_types.unwrap_or_default());
        if next.is_none() {
            return Ok(infos);
        }
    }
    Err(Failure::new(Class::Unknown, format!("the instance types have more than {PAGES_MOST} pages")))
}

async fn zones(session: &Session) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let region = session.scope.region.as_str();
    // Zones with longer names are local ones, where the default network has no subnet.
    let is_of_region = |zone: &str| zone.strip_prefix(region).is_some_and(|letter| letter.len() == 1);
    let mut zones: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MOST {
        let request = session
            .ec2
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .max_results(1_000)
            .set_next_token(next.take());
        let answer = session.calls.read(Api::DescribeInstanceTypeOfferings, || request.clone().send()).await?;
        for offering in answer.instance_type_offerings() {
            let (Some(name), Some(zone)) = (offering.instance_type(), offering.location()) else { continue };
            if is_of_region(zone) {
                zones.entry(name.as_str().to_owned()).or_default().insert(zone.to_owned());
            }
        }
        match answer.next_token().filter(|token| !token.is_empty()) {
            Some(token) => next = Some(token.to_owned()),
            None => return Ok(zones),
        }
    }
    Err(Failure::new(Class::Unknown, format!("the offerings have more than {PAGES_MOST} pages")))
}

fn row(info: &InstanceTypeInfo, name: &str, zones: Vec<String>) -> Option<TypeRow> {
    let archs = info.processor_info()?.supported_architectures();
    let arch = if archs.contains(&ArchitectureType::X8664) {
        "x86_64"
    } else if archs.contains(&ArchitectureType::Arm64) {
        "arm64"
    } else {
        return None;
    };
    // A Mac is a whole host for a day at least.
    if zones.is_empty() || name.starts_with("mac") {
        return None;
    }
    let devices = info.gpu_info().map(|gpus| gpus.gpus()).unwrap_or_default();
    let is_sold_as = |usage: UsageClassType| info.supported_usage_classes().contains(&usage);
    Some(TypeRow {
        name: name.to_owned(),
        vcpus: u64::try_from(info.v_cpu_info()?.default_v_cpus()?).ok()?,
        memory_mib: u64::try_from(info.memory_info()?.size_in_mib()?).ok()?,
        arch: arch.to_owned(),
        gpus: devices.first().and_then(gpus),
        has_nvidia: devices.first().is_some_and(|device| device.manufacturer() == Some("NVIDIA")),
        has_spot: is_sold_as(UsageClassType::Spot),
        has_on_demand: is_sold_as(UsageClassType::OnDemand),
        zones,
    })
}

/// A fraction of a device has a count of zero, and is one device to what runs on it.
fn gpus(device: &GpuDeviceInfo) -> Option<Gpus> {
    let count = device.count().unwrap_or(0).max(1);
    Some(Gpus {
        name: device.name()?.to_owned(),
        count: u32::try_from(count).ok()?,
        memory: Bytes::from_mib(u64::try_from(device.memory_info()?.size_in_mib()?).ok()?),
    })
}
