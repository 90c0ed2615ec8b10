//! The fake cloud's built-in catalogue.

use crate::model::{Bytes, Gpus, LaunchTiming, MicroUsd, MilliCpu, Offering, Purchase, Scope};
use std::collections::BTreeMap;

/// Name, vCPUs, memory in MiB, architecture, GPU (name, count, MiB each), on-demand price in micro-dollars an hour, and
/// the percentage that Spot is cheaper by.
type Row = (&'static str, u64, u64, &'static str, Option<(&'static str, u32, u64)>, u64, u64);

const ROWS: [Row; 12] = [
    ("t3.micro", 2, 1_024, "x86_64", None, 10_400, 69),
    ("t3.medium", 2, 4_096, "x86_64", None, 41_600, 56),
    ("c7i.large", 2, 4_096, "x86_64", None, 89_250, 66),
    ("c7i.xlarge", 4, 8_192, "x86_64", None, 178_500, 61),
    ("c7i.4xlarge", 16, 32_768, "x86_64", None, 714_000, 61),
    ("m7i.large", 2, 8_192, "x86_64", None, 100_800, 68),
    ("m7i.xlarge", 4, 16_384, "x86_64", None, 201_600, 53),
    ("m7g.xlarge", 4, 16_384, "arm64", None, 163_200, 62),
    ("r7i.2xlarge", 8, 65_536, "x86_64", None, 529_200, 59),
    ("g4dn.xlarge", 4, 16_384, "x86_64", Some(("T4", 1, 16_384)), 526_000, 64),
    ("g6.xlarge", 4, 16_384, "x86_64", Some(("L4", 1, 22_888)), 804_800, 49),
    ("p4d.24xlarge", 96, 1_179_648, "x86_64", Some(("A100", 8, 40_960)), 21_957_642, 67),
];

/// Twelve EC2 types of us-east-1, each on-demand and spot, as one account's scope of provider `fake` sells them.
///
/// Facts from public data: sizes and zones from moto 5.2.5 (made with DescribeInstanceTypes), list prices from Karpenter's
/// AWS price file of 2026-07-20, and Spot as the list price less the saving that AWS's Spot Advisor gave in 2025.
pub fn builtin_offerings() -> Vec<Offering> {
    ROWS.iter().flat_map(|row| [offering(row, Purchase::OnDemand), offering(row, Purchase::Spot)]).collect()
}

fn offering(row: &Row, purchase: Purchase) -> Offering {
    let (name, vcpus, memory_mib, arch, gpu, price, saving) = *row;
    let zones: &[&str] = match name {
        "p4d.24xlarge" => &["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"],
        _ => &["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1f"],
    };
    let price = match purchase {
        Purchase::OnDemand => price,
        Purchase::Spot => price * (100 - saving) / 100,
    };
    Offering {
        scope: Scope { provider: "fake".into(), account: "000000000000".into(), region: "us-east-1".into() },
        instance_type: name.into(),
        purchase,
        cpu: MilliCpu(vcpus * 1_000),
        memory: Bytes::from_mib(memory_mib),
        disk: Bytes::from_gib(100),
        gpus: gpu.map(|(name, count, mib)| Gpus { name: name.into(), count, memory: Bytes::from_mib(mib) }),
        arch: arch.into(),
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        price: Some(MicroUsd(price)),
        image: format!("ami-fake-{arch}"),
        quota: None,
        pooled: false,
        timing: LaunchTiming::CLOUD,
        details: BTreeMap::new(),
    }
}
