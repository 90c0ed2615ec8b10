//! What a workload costs at least, whatever decides.

use dstack_core::model::{Needs, Offering, Span};

/// Parts in which a machine's price is divided among its processor, memory and accelerators.
const PARTS: u64 = 20;

/// The least that these workflows cost on these offerings, in micro-dollars: no machine boots, idles or has room left.
///
/// Divide each machine's price among its resources in any way, the same for all machines. What a workflow takes of each,
/// times that part of the price, is then no more than its share of the bill: on no machine can the shares be more than all of
/// it. So for each division the sum, each workflow on the machine where it is least, is a lower bound; the largest is given.
pub(crate) fn least_cost<'a>(jobs: impl Iterator<Item = (&'a Needs, Span)>, offerings: &[Offering]) -> u64 {
    let jobs: Vec<_> = jobs.collect();
    let mut shapes: std::collections::BTreeMap<&Needs, u128> = std::collections::BTreeMap::new();
    for (needs, length) in &jobs {
        *shapes.entry(needs).or_default() += u128::try_from(length.as_micros()).unwrap_or(0);
    }
    let divisions =
        (0..=PARTS).flat_map(|cpu| (0..=PARTS - cpu).map(move |memory| (cpu, memory, PARTS - cpu - memory)));
    let bound = |division| {
        let cost = |(needs, micros): (&&Needs, &u128)| {
            micros * u128::from(least_rate(needs, offerings, division)) / 3_600_000_000
        };
        shapes.iter().map(cost).sum::<u128>()
    };
    u64::try_from(divisions.map(bound).max().unwrap_or(0) / 1_000).unwrap_or(u64::MAX)
}

/// The least a workflow pays an hour for its shares, in thousandths of a micro-dollar.
fn least_rate(needs: &Needs, offerings: &[Offering], (cpu, memory, gpu): (u64, u64, u64)) -> u64 {
    let rate = |offering: &Offering| {
        let price = u128::from(offering.price.unwrap_or_default().0) * 1_000;
        let share = |part: u64, need: u64, all: u64| {
            if all == 0 {
                0
            } else {
                price * u128::from(part) * u128::from(need) / (u128::from(PARTS) * u128::from(all))
            }
        };
        let has = offering.gpus.as_ref().map_or(0, |gpus| u64::from(gpus.count));
        // Where a machine has no accelerators, their part of its price is the processor's.
        let (cpu, gpu) = if has == 0 { (cpu + gpu, 0) } else { (cpu, gpu) };
        share(cpu, needs.cpu.unwrap_or_default().0, offering.cpu.0)
            + share(memory, needs.memory.unwrap_or_default().0, offering.memory.0)
            + share(gpu, needs.gpu.as_ref().map_or(0, |gpu| u64::from(gpu.count)), has)
    };
    let least = offerings.iter().filter(|offering| needs.fit(offering)).map(rate).min();
    u64::try_from(least.unwrap_or(0)).unwrap_or(u64::MAX)
}
