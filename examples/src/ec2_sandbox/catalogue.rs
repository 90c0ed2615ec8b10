//! What is sold: instance types, their zones and prices, from the tables in `examples/data/ec2`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use dstack_core::model::{Bytes, Gpus, LaunchTiming, MicroUsd, MilliCpu, Offering, Purchase, Scope};

/// A GPU model in a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) name: String,
    pub(super) manufacturer: String,
    /// Zero where the type has a fraction of one.
    pub(super) count: u32,
    pub(super) memory_mib: u64,
}

/// A type as DescribeInstanceTypes tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypeRow {
    pub(super) name: String,
    pub(super) vcpus: u64,
    pub(super) memory_mib: u64,
    pub(super) archs: Vec<String>,
    pub(super) is_bare_metal: bool,
    pub(super) is_burstable: bool,
    pub(super) is_current: bool,
    pub(super) usages: Vec<String>,
    pub(super) storage_gb: u64,
    pub(super) gpus: Vec<Gpu>,
    pub(super) network: String,
    zones: BTreeMap<String, String>,
    prices: BTreeMap<String, u64>,
}

impl TypeRow {
    /// The zones of a region that have it.
    pub(super) fn zones(&self, region: &str) -> Vec<String> {
        let letters = self.zones.get(region).map_or("", String::as_str);
        letters.chars().map(|letter| format!("{region}{letter}")).collect()
    }

    /// Micro-dollars an hour on demand, where the table has it.
    pub(super) fn price(&self, region: &str) -> Option<u64> {
        self.prices.get(region).copied()
    }

    /// Micro-dollars an hour of spot in a zone: made up, between 30 % and 45 % of the list price, other in each zone.
    pub(super) fn spot_price(&self, region: &str, zone: &str) -> Option<u64> {
        let spread = (zone.bytes().last().map_or(0, u64::from) * 7 + self.name.len() as u64 * 3) % 16;
        self.price(region).map(|price| price * (30 + spread) / 100)
    }
}

/// A zone and its name that is the same for all accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) region: String,
    pub(super) name: String,
    pub(super) id: String,
}

/// All tables.
pub(super) struct Catalogue {
    pub(super) types: BTreeMap<String, TypeRow>,
    pub(super) zones: Vec<Zone>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
    types: rows(include_str!("../../data/ec2/types.csv")).map(|row| (row["type"].to_owned(), type_row(&row))).collect(),
    zones: rows(include_str!("../../data/ec2/zones.csv"))
        .map(|row| Zone { region: row["region"].into(), name: row["zone"].into(), id: row["zone_id"].into() })
        .collect(),
});

impl Catalogue {
    /// The tables, read once.
    pub(super) fn get() -> &'static Self {
        &CATALOGUE
    }

    /// The regions, in the order of the table.
    pub(super) fn regions(&self) -> Vec<&str> {
        let mut regions: Vec<&str> = self.zones.iter().map(|zone| zone.region.as_str()).collect();
        regions.dedup();
        regions
    }

    /// The zones of a region.
    pub(super) fn zones_of<'a>(&'a self, region: &'a str) -> impl Iterator<Item = &'a Zone> {
        self.zones.iter().filter(move |zone| zone.region == region)
    }

    /// The zone of this name.
    pub(super) fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// What the fake cloud sells to an account. Types that need a dedicated host are left out.
    pub(super) fn offerings(&self, account: &str) -> Vec<Offering> {
        let mut offerings = Vec::new();
        for region in self.regions() {
            for row in self.types.values().filter(|row| !row.zones(region).is_empty()) {
                for purchase in [Purchase::OnDemand, Purchase::Spot] {
                    if row.usages.contains(&purchase.to_string()) {
                        offerings.push(offering(account, region, row, purchase));
                    }
                }
            }
        }
        offerings
    }
}

fn rows(text: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    lines.map(move |line| names.iter().copied().zip(line.split(',')).collect())
}

fn type_row(row: &BTreeMap<&str, &str>) -> TypeRow {
    let number = |name: &str| row[name].parse().expect("the table has a whole number there");
    let list = |name: &str| row[name].split('+').map(str::to_owned).collect();
    let by_region = |prefix: &'static str| {
        row.iter().filter_map(move |(name, value)| {
            Some((name.strip_prefix(prefix)?.to_owned(), *value)).filter(|(_, value)| !value.is_empty())
        })
    };
    TypeRow {
        name: row["type"].into(),
        vcpus: number("vcpu"),
        memory_mib: number("memory_mib"),
        archs: list("arch"),
        is_bare_metal: row["bare_metal"] == "1",
        is_burstable: row["burstable"] == "1",
        is_current: row["current"] == "1",
        usages: list("usage"),
        storage_gb: number("storage_gb"),
        gpus: row["gpus"].split(';').filter_map(gpu).collect(),
        network: row["network"].into(),
        zones: by_region("zones_").map(|(region, zones)| (region, zones.to_owned())).collect(),
        prices: by_region("micro_usd_")
            .map(|(region, price)| (region, price.parse().expect("a price is a whole number")))
            .collect(),
    }
}

fn gpu(text: &str) -> Option<Gpu> {
    let mut parts = text.split('|');
    Some(Gpu {
        name: parts.next()?.to_owned(),
        manufacturer: parts.next()?.to_owned(),
        count: parts.next()?.parse().ok()?,
        memory_mib: parts.next()?.parse().ok()?,
    })
}

fn offering(account: &str, region: &str, row: &TypeRow, purchase: Purchase) -> Offering {
    let gpus = row.gpus.first().map(|gpu| Gpus {
        name: gpu.name.clone(),
        count: gpu.count,
        memory: Bytes::from_mib(gpu.memory_mib),
    });
    Offering {
        scope: Scope { provider: "ec2".into(), account: account.into(), region: region.into() },
        instance_type: row.name.clone(),
        purchase,
        cpu: MilliCpu(row.vcpus * 1_000),
        memory: Bytes::from_mib(row.memory_mib),
        disk: Bytes::from_gib(8),
        gpus,
        arch: row.archs.last().cloned().unwrap_or_default(),
        zones: row.zones(region),
        price: row.price(region).map(MicroUsd),
        image: String::new(),
        pooled: false,
        details: BTreeMap::new(),
        quota: None,
        timing: LaunchTiming::CLOUD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_hold_what_their_sources_say() {
        let catalogue = Catalogue::get();
        assert_eq!(catalogue.regions(), ["us-east-1", "us-west-2", "eu-west-1"]);
        let sold = |region: &str| catalogue.types.values().filter(|row| !row.zones(region).is_empty()).count();
        assert_eq!((sold("us-east-1"), sold("us-west-2"), sold("eu-west-1")), (1_375, 1_354, 1_184));
        let gpu = &catalogue.types["g5.12xlarge"];
        assert_eq!((gpu.vcpus, gpu.memory_mib, gpu.gpus[0].count, gpu.gpus[0].memory_mib), (48, 196_608, 4, 22_888));
        for row in catalogue.types.values() {
            for region in catalogue.regions() {
                let known = |zone: &String| catalogue.zone(zone).is_some_and(|found| found.region == region);
                assert!(row.zones(region).iter().all(known), "{}", row.name);
            }
        }
    }
}
