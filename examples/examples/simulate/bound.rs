//! What a workload costs at least, whatever decides.

use std::collections::BTreeMap;

use dstack_core::model::{Needs, Offering, Span};

/// Parts in which a machine's price is divided among its processor, memory and accelerators.
const PARTS: u64 = 20;

/// How many of these parts are the processor's, the memory's and the accelerators'.
pub(crate) type Division = (u64, u64, u64);

/// The least that these workflows cost on these offerings, in micro-dollars: no machine boots, idles or has room left. With the
/// division that shows it.
///
/// Divide each machine's price among its resources in any way, the same for all machines. What a workflow takes of each,
/// times that part of the price, is then no more than its share of the bill: on no machine can the shares be more than all of
/// it. So for each division the sum, each workflow on the machine where it is least, is a lower bound; the largest is given.
pub(crate) fn least_cost<'a>(jobs: impl Iterator<Item = (&'a Needs, Span)>, offerings: &[Offering]) -> (u64, Division) {
    let mut shapes: BTreeMap<&Needs, u128> = BTreeMap::new();
    for (needs, length) in jobs {
        *shapes.entry(needs).or_default() += u128::try_from(length.as_micros()).unwrap_or(0);
    }
    let divisions =
        (0..=PARTS).flat_map(|cpu| (0..=PARTS - cpu).map(move |memory| (cpu, memory, PARTS - cpu - memory)));
    let bound = |division| {
        let cost = |(needs, micros): (&&Needs, &u128)| {
            micros * u128::from(least_rate(needs, offerings, division)) / 3_600_000_000
        };
        (shapes.iter().map(cost).sum::<u128>(), division)
    };
    let (thousandths, division) = divisions.map(bound).max().unwrap_or((0, (PARTS, 0, 0)));
    (u64::try_from(thousandths / 1_000).unwrap_or(u64::MAX), division)
}

/// The least a workflow pays an hour for its shares, in thousandths of a micro-dollar.
pub(crate) fn least_rate(needs: &Needs, offerings: &[Offering], division: Division) -> u64 {
    let fitting = offerings.iter().filter(|offering| needs.fit(offering));
    fitting.map(|offering| rate(needs, offering, division)).min().unwrap_or(0)
}

/// What a workflow pays an hour for its shares of this machine, in thousandths of a micro-dollar.
pub(crate) fn rate(needs: &Needs, offering: &Offering, (cpu, memory, gpu): Division) -> u64 {
    let price = u128::from(offering.price.unwrap_or_default().0) * 1_000;
    let share = |part: u64, need: u64, all: u64| {
        if all == 0 { 0 } else { price * u128::from(part) * u128::from(need) / (u128::from(PARTS) * u128::from(all)) }
    };
    let has = offering.gpus.as_ref().map_or(0, |gpus| u64::from(gpus.count));
    // Where a machine has no accelerators, their part of its price is the processor's.
    let (cpu, gpu) = if has == 0 { (cpu + gpu, 0) } else { (cpu, gpu) };
    let all = share(cpu, needs.cpu.unwrap_or_default().0, offering.cpu.0)
        + share(memory, needs.memory.unwrap_or_default().0, offering.memory.0)
        + share(gpu, needs.gpu.as_ref().map_or(0, |gpu| u64::from(gpu.count)), has);
    u64::try_from(all).unwrap_or(u64::MAX)
}
