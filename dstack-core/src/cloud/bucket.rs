//! A token bucket in whole numbers.

use std::time::Duration;

use crate::clock::Boot;

/// Parts that one token is counted in, so that a microsecond's refill is a whole number.
const PARTS: u64 = 1_000_000;

/// Tokens that are taken by calls and come back with time.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    burst: u64,
    per_sec: u64,
    level_parts: u64,
    filled: Boot,
}

impl Bucket {
    /// A full bucket of `burst` tokens which refills by `per_sec` tokens a second.
    pub(crate) fn new(burst: u32, per_sec: u32, now: Boot) -> Self {
        let burst = u64::from(burst.max(1));
        Self { burst, per_sec: u64::from(per_sec.max(1)), level_parts: burst * PARTS, filled: now }
    }

    fn fill(&mut self, now: Boot) {
        let micros = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let gained = micros.saturating_mul(self.per_sec);
        self.level_parts = self.level_parts.saturating_add(gained).min(self.burst * PARTS);
        self.filled = self.filled.max(now);
    }

    /// Takes `tokens` at once, or says when they will be there. More than the bucket holds counts as a full bucket.
    pub(crate) fn take(&mut self, tokens: u32, now: Boot) -> Result<(), Boot> {
        self.fill(now);
        let wanted = u64::from(tokens).min(self.burst) * PARTS;
        match self.level_parts.checked_sub(wanted) {
            Some(rest) => {
                self.level_parts = rest;
                Ok(())
            }
            None => {
                let missing = wanted - self.level_parts;
                Err(now.plus(Duration::from_micros(missing.div_ceil(self.per_sec))))
            }
        }
    }

    /// Whole tokens that can be taken from now until `window` has passed.
    pub(crate) fn within(&mut self, window: Duration, now: Boot) -> u32 {
        self.fill(now);
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let parts = self.level_parts.saturating_add(micros.saturating_mul(self.per_sec));
        u32::try_from(parts / PARTS).unwrap_or(u32::MAX)
    }

    /// Takes all that is there: the other side has said that it is too much.
    pub(crate) fn drain(&mut self, now: Boot) {
        self.fill(now);
        self.level_parts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_window_of_time_lets_more_through_than_the_burst_and_the_refill(
            burst in 1_u32..20, per_sec in 1_u32..10, steps in prop::collection::vec(0_u64..900_000, 1..60),
        ) {
            let mut now = Boot::default();
            let mut bucket = Bucket::new(burst, per_sec, now);
            let mut taken = Vec::new();
            for step in steps {
                now = now.plus(Duration::from_micros(step));
                while bucket.take(1, now).is_ok() {
                    taken.push(now);
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let micros = u64::try_from(to.since(*from).as_micros()).expect("a test is short");
                    prop_assert!((last - first + 1) as u64 * PARTS <= u64::from(burst) * PARTS + micros * u64::from(per_sec));
                }
            }
        }

        #[test]
        fn an_empty_bucket_names_the_first_moment_at_which_there_is_a_token(burst in 1_u32..9, per_sec in 1_u32..9) {
            let now = Boot::default();
            let mut bucket = Bucket::new(burst, per_sec, now);
            bucket.drain(now);
            let moment = bucket.take(1, now).expect_err("it is empty");
            let before = Boot(moment.0.saturating_sub(Duration::from_micros(1)));
            prop_assert!(bucket.clone().take(1, before).is_err());
            prop_assert!(bucket.take(1, moment).is_ok());
        }
    }
}
