//! Real machine types and prices, read from files beside the traces.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use dstack_core::model::{Bytes, Gpus, LaunchTiming, MicroUsd, MilliCpu, Offering, Purchase, Scope};
use serde::Deserialize;

/// Where the offerings are sold.
const REGION: &str = "us-east-1";
/// Zones that spot traces are of.
const ZONES: [&str; 3] = ["us-east-1b", "us-east-1c", "us-east-1d"];
/// What workflows may use of a machine's disk.
const DISK_GIB: u64 = 100;

#[derive(Deserialize)]
struct Type {
    instance_type: String,
    vcpu: u64,
    memory_mib: u64,
    arch: Vec<String>,
    #[serde(default)]
    gpu: Vec<Gpu>,
    quota_class: Option<String>,
}

#[derive(Deserialize)]
struct Gpu {
    name: String,
    count: u32,
    memory_mib: u64,
}

#[derive(Deserialize)]
struct Prices {
    regions: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The offerings of one region: each type of these families, on-demand or spot, that has a price.
///
/// # Errors
/// When a file is not there, or is not what it should be.
pub(crate) fn read(
    folder: &Path,
    traces: &Path,
    families: &[&str],
    purchase: Purchase,
) -> Result<Vec<Offering>, Box<dyn Error>> {
    let text = |folder: &Path, name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let types: Vec<Type> = serde_json::from_str(&text(folder, "instance_types.json")?)?;
    let mut prices: Prices = serde_json::from_str(&text(folder, "prices_on_demand.json")?)?;
    let prices = prices.regions.remove(REGION).unwrap_or_default();
    let savings = savings(&text(traces, "spot/aws_spot_advisor_2025.csv")?);
    let offering = |known: Type| {
        let (family, size) = known.instance_type.split_once('.')?;
        if !families.contains(&family) || size.starts_with("metal") {
            return None;
        }
        let price = *prices.get(&known.instance_type)?;
        let price = match purchase {
            Purchase::OnDemand => price,
            Purchase::Spot => price * (100 - savings.get(&known.instance_type)?) / 100,
        };
        Some(offering(known, purchase, MicroUsd(price)))
    };
    Ok(types.into_iter().filter_map(offering).collect())
}

/// By how many per cent spot is cheaper, by type.
fn savings(text: &str) -> BTreeMap<String, u64> {
    let row = |line: &str| {
        let mut fields = line.split(',');
        let is_here = fields.next() == Some(REGION);
        let (name, saving) = (fields.next()?, fields.next()?.parse().ok()?);
        is_here.then(|| (name.to_owned(), saving))
    };
    text.lines().filter_map(row).collect()
}

fn offering(known: Type, purchase: Purchase, price: MicroUsd) -> Offering {
    let gpus = known.gpu.into_iter().next().filter(|gpu| gpu.count > 0);
    Offering {
        scope: Scope { provider: "ec2".to_owned(), account: "0".to_owned(), region: REGION.to_owned() },
        instance_type: known.instance_type,
        purchase,
        cpu: MilliCpu(known.vcpu * 1_000),
        memory: Bytes::from_mib(known.memory_mib),
        disk: Bytes::from_gib(DISK_GIB),
        gpus: gpus.map(|gpu| Gpus { name: gpu.name, count: gpu.count, memory: Bytes::from_mib(gpu.memory_mib) }),
        arch: known.arch.into_iter().next().unwrap_or_default(),
        zones: ZONES.iter().map(|zone| (*zone).to_owned()).collect(),
        price: Some(price),
        image: String::new(),
        details: std::collections::BTreeMap::new(),
        quota: known.quota_class,
        pooled: false,
        timing: LaunchTiming::CLOUD,
    }
}
