//! A small world of offerings and needs: enough that every branch of the policy is met, small enough that things collide.

use crate::model::rule::Gpus;
use crate::model::{
    Bytes, GpuNeed, LaunchTiming, MicroUsd, MilliCpu, Name, Needs, Offering, Purchase, Scope, WorkflowSpec,
};
use std::collections::BTreeMap;

/// A scope of this provider and region, of one account.
pub fn scope(provider: &str, region: &str) -> Scope {
    Scope { provider: provider.to_owned(), account: "0001".to_owned(), region: region.to_owned() }
}

/// An offering of the cloud `acme` with that many processors and four times as many GiB of memory, in two zones.
pub fn offering(name: &str, purchase: Purchase, cpus: u64) -> Offering {
    let cheaper = if purchase == Purchase::Spot { 3 } else { 1 };
    Offering {
        scope: scope("acme", "north"),
        instance_type: name.to_owned(),
        purchase,
        cpu: MilliCpu(cpus * 1_000),
        memory: Bytes::from_gib(cpus * 4),
        disk: Bytes::from_gib(100),
        gpus: None,
        arch: "x86_64".to_owned(),
        zones: vec!["a".to_owned(), "b".to_owned()],
        price: Some(MicroUsd(cpus * 60_000 / cheaper)),
        image: "image-1".to_owned(),
        quota: Some("standard".to_owned()),
        pooled: false,
        timing: LaunchTiming::CLOUD,
        details: BTreeMap::new(),
    }
}

/// Seven offerings: small and big, spot and on-demand, one with accelerators, one of another region without a known price,
/// and runners on one shared machine.
pub fn offerings() -> Vec<Offering> {
    let gpus = Gpus { name: "T4".to_owned(), count: 2, memory: Bytes::from_gib(16) };
    vec![
        offering("small", Purchase::Spot, 2),
        offering("small", Purchase::OnDemand, 2),
        offering("big", Purchase::Spot, 8),
        offering("big", Purchase::OnDemand, 8),
        Offering { gpus: Some(gpus), ..offering("gpu", Purchase::OnDemand, 4) },
        Offering { scope: scope("acme", "south"), price: None, ..offering("far", Purchase::OnDemand, 4) },
        Offering {
            scope: scope("local", "here"),
            price: Some(MicroUsd(0)),
            pooled: true,
            zones: vec![String::new()],
            ..offering("machine", Purchase::OnDemand, 4)
        },
    ]
}

/// Needs of this much processor, in thousandths, and memory in GiB: they may share a runner.
pub fn needs(cpu: u64, gib: u64) -> Needs {
    Needs { cpu: Some(MilliCpu(cpu)), memory: Some(Bytes::from_gib(gib)), ..Needs::default() }
}

/// Needs that differ in whether they share, in size, in wishes; the last fits no offering.
pub fn shapes() -> Vec<Needs> {
    let gpu = |count| Some(GpuNeed { names: vec!["t4".to_owned()], count, memory: None });
    vec![
        Needs::default(),
        needs(500, 1),
        needs(1_000, 2),
        needs(1_500, 6),
        needs(3_000, 8),
        needs(8_000, 16),
        Needs { cpu: Some(MilliCpu(1_000)), ..Needs::default() },
        Needs { purchase: Some(Purchase::OnDemand), ..needs(500, 1) },
        Needs { gpu: gpu(1), ..needs(1_000, 1) },
        Needs { gpu: gpu(2), ..Needs::default() },
        Needs { disk: Some(Bytes::from_gib(60)), ..needs(250, 1) },
        Needs { instance_type: Some("far".to_owned()), ..needs(250, 1) },
        Needs { provider: Some("local".to_owned()), ..needs(2_000, 2) },
        needs(64_000, 1),
    ]
}

/// A workflow of this name with these needs.
///
/// # Panics
/// When `name` is no name.
pub fn workflow(name: &str, needs: Needs) -> WorkflowSpec {
    let name: Name = name.parse().expect("the caller gives a valid name");
    WorkflowSpec { needs, ..WorkflowSpec::script(name, ["true"]) }
}
