//! Chance from a seed, in whole numbers, and what it brought.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::model::Span;

/// A stream of chance that is the same for the same seed on every machine, with a count of the faults that came about.
#[derive(Debug, Clone)]
pub struct Draw {
    random: ChaCha8Rng,
    hits: BTreeMap<&'static str, u64>,
}

impl Draw {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), hits: BTreeMap::new() }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.random.next_u64()
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.bits()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).expect("a product of two 64-bit numbers has 64 bits above its lower 64")
    }

    /// True in `per_mille` of 1000 cases. A rate of 0 draws nothing, so that faults that are off change no run.
    pub fn chance(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.below(1000) < u64::from(per_mille)
    }

    /// Notes that this fault came about.
    pub(crate) fn hit(&mut self, fault: &'static str) {
        *self.hits.entry(fault).or_default() += 1;
    }

    /// Whether this fault comes about now, by chance.
    pub(crate) fn befalls(&mut self, fault: &'static str, per_mille: u16) -> bool {
        let is_hit = self.chance(per_mille);
        if is_hit {
            self.hit(fault);
        }
        is_hit
    }

    /// How often each fault came about, by its name.
    pub(crate) const fn hits(&self) -> &BTreeMap<&'static str, u64> {
        &self.hits
    }

    /// A length of time up to `most`.
    pub fn span(&mut self, most: Span) -> Span {
        let micros = u64::try_from(most.as_micros()).unwrap_or(0);
        Span::from_micros(self.below(micros.saturating_add(1)))
    }
}
