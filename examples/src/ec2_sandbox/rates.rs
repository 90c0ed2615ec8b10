//! What goes wrong by chance, as it is written on the command line.

use std::str::FromStr;

use dstack_core::cloud::Faults;
use dstack_core::model::Span;

/// What goes wrong by chance: FakeCloud's [`Faults`], and those of the object store.
///
/// Faults on the way of a call befall every EC2 call; those of machines, capacity and listings are FakeCloud's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Faults of EC2. Times are shorter than FakeCloud's own, since a sandbox goes by real time.
    pub ec2: Faults,
    /// S3 calls, per mille, that take effect and whose answer is lost.
    pub s3_answer_lost: u16,
    /// S3 calls, per mille, that are told to go slower.
    pub s3_throttled: u16,
}

impl Default for Rates {
    fn default() -> Self {
        let ec2 = Faults {
            late_most: Span::from_secs(10),
            delay_most: Span::from_secs(5),
            outage_most: Span::from_secs(30),
            hide_most: Span::from_secs(20),
            stale_most: Span::from_secs(10),
            stuck_most: Span::from_secs(60),
            life_most: Span::from_secs(60),
            ..Faults::none()
        };
        Self { ec2, s3_answer_lost: 0, s3_throttled: 0 }
    }
}

/// Why a text names no rates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// No equals sign.
    #[error("{0:?} is no fault with its rate: write NAME=RATE, as in lost-answer=0.1")]
    NoRate(String),
    /// Another name.
    #[error("there is no fault {name:?}: there are {known}")]
    NoSuchFault {
        /// What was written.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Not a share.
    #[error("{0:?} is no rate: write a number from 0 to 1")]
    NotAShare(String),
    /// Not a time.
    #[error("{0:?} is no length of time: write it as in 90s or 2m")]
    NotATime(String),
}

impl Rates {
    /// The names of all faults.
    pub const NAMES: [&str; 27] = [
        "lost-answer",
        "lost-call",
        "late",
        "doubled",
        "delayed",
        "throttle",
        "credentials",
        "capacity",
        "quota",
        "denied",
        "invalid",
        "stale-list",
        "hidden-new",
        "no-tags",
        "no-address",
        "page-fails",
        "protected",
        "stuck",
        "forgotten",
        "on-demand-for-spot",
        "boot-fails",
        "unreachable",
        "spot-reclaim",
        "spot-reclaim-unannounced",
        "notice-only",
        "s3-lost-answer",
        "s3-throttle",
    ];

    /// The names of the bounds of time.
    pub const BOUNDS: [&str; 7] = [
        "late-within",
        "delay-within",
        "outage-within",
        "hidden-within",
        "stale-within",
        "stuck-within",
        "life-within",
    ];

    /// Changes the faults that the text names, and leaves the others.
    ///
    /// # Errors
    /// If the text is not a list such as `lost-answer=0.1,late=0.1,late-within=30s`.
    pub fn change(&mut self, text: &str) -> Result<(), RateError> {
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| RateError::NoRate(pair.to_owned()))?;
            self.change_one(name.trim(), value.trim())?;
        }
        Ok(())
    }

    fn change_one(&mut self, name: &str, value: &str) -> Result<(), RateError> {
        if let Some(bound) = self.bound(name) {
            let length = humantime::parse_duration(value).map_err(|_| RateError::NotATime(value.to_owned()))?;
            *bound = Span::from_micros(u64::try_from(length.as_micros()).unwrap_or(u64::MAX));
            return Ok(());
        }
        let known = || Self::NAMES.iter().chain(&Self::BOUNDS).copied().collect::<Vec<_>>().join(", ");
        let rate = self.rate(name).ok_or_else(|| RateError::NoSuchFault { name: name.to_owned(), known: known() })?;
        *rate = per_mille(value)?;
        // A listing is late in both ways: with old states, and without what is new.
        if name == "stale-list" {
            self.ec2.new_hidden = self.ec2.row_stale;
        }
        Ok(())
    }

    fn rate(&mut self, name: &str) -> Option<&mut u16> {
        let faults = &mut self.ec2;
        Some(match name {
            "lost-answer" => &mut faults.answer_lost,
            "lost-call" => &mut faults.call_lost,
            "late" => &mut faults.call_late,
            "doubled" => &mut faults.call_doubled,
            "delayed" => &mut faults.answer_delayed,
            "throttle" => &mut faults.throttled,
            "credentials" => &mut faults.credentials,
            "capacity" => &mut faults.capacity,
            "quota" => &mut faults.quota,
            "denied" => &mut faults.denied,
            "invalid" => &mut faults.invalid,
            "stale-list" => &mut faults.row_stale,
            "hidden-new" => &mut faults.new_hidden,
            "no-tags" => &mut faults.row_without_token,
            "no-address" => &mut faults.row_without_address,
            "page-fails" => &mut faults.page_fails,
            "protected" => &mut faults.terminate_refused,
            "stuck" => &mut faults.terminate_stuck,
            "forgotten" => &mut faults.forgotten_early,
            "on-demand-for-spot" => &mut faults.on_demand_for_spot,
            "boot-fails" => &mut faults.boot_fails,
            "unreachable" => &mut faults.never_reachable,
            "spot-reclaim" => &mut faults.interrupted,
            "spot-reclaim-unannounced" => &mut faults.interrupted_unannounced,
            "notice-only" => &mut faults.notice_only,
            "s3-lost-answer" => &mut self.s3_answer_lost,
            "s3-throttle" => &mut self.s3_throttled,
            _ => return None,
        })
    }

    fn bound(&mut self, name: &str) -> Option<&mut Span> {
        let faults = &mut self.ec2;
        Some(match name {
            "late-within" => &mut faults.late_most,
            "delay-within" => &mut faults.delay_most,
            "outage-within" => &mut faults.outage_most,
            "hidden-within" => &mut faults.hide_most,
            "stale-within" => &mut faults.stale_most,
            "stuck-within" => &mut faults.stuck_most,
            "life-within" => &mut faults.life_most,
            _ => return None,
        })
    }

    /// What FakeCloud itself draws: all but the faults on the way, which every call has and not only its own.
    pub(super) fn of_machines(&self) -> Faults {
        Faults {
            answer_lost: 0,
            call_lost: 0,
            call_late: 0,
            call_doubled: 0,
            answer_delayed: 0,
            throttled: 0,
            credentials: 0,
            ..self.ec2.clone()
        }
    }
}

impl FromStr for Rates {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let mut rates = Self::default();
        rates.change(text)?;
        Ok(rates)
    }
}

/// A share such as `0.1`, in thousandths. No floating point: what is finer than a thousandth is cut off.
fn per_mille(text: &str) -> Result<u16, RateError> {
    let wrong = || RateError::NotAShare(text.to_owned());
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{:0<3}", part.get(..part.len().min(3)).ok_or_else(wrong)?);
    let all_digits = part.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() && text != ".";
    let whole: u16 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let part: u16 = digits.parse().map_err(|_| wrong())?;
    let rate = whole.checked_mul(1_000).and_then(|rate| rate.checked_add(part)).ok_or_else(wrong)?;
    if all_digits && rate <= 1_000 { Ok(rate) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_for_a_rate_of_its_own() {
        for name in Rates::NAMES {
            let rates: Rates = format!("{name}=0.25").parse().expect("it is a name");
            assert_ne!(rates, Rates::default(), "{name}");
        }
        for name in Rates::BOUNDS {
            let rates: Rates = format!("{name}=7s").parse().expect("it is a name");
            assert_ne!(rates, Rates::default(), "{name}");
        }
    }

    #[test]
    fn a_rate_is_a_number_from_0_to_1() {
        for (text, rate) in [("0", 0), ("1", 1_000), ("0.1", 100), (".05", 50), ("0.0019", 1), ("1.0", 1_000)] {
            assert_eq!(per_mille(text), Ok(rate), "{text}");
        }
        for text in ["", ".", "2", "1.1", "-0.1", "0.1x", "1e-2", "0.é"] {
            assert!(per_mille(text).is_err(), "{text}");
        }
        assert!(matches!("lost=0.1".parse::<Rates>(), Err(RateError::NoSuchFault { .. })));
    }
}
