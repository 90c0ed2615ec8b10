//! Quantities: each unit is a type of its own, and all of them are whole numbers.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::ids::text_serde;

/// Log time: microseconds since 1970-01-01 UTC, stamped by the store. It never runs backwards in one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(i64);

impl At {
    /// The moment that many microseconds after (or before) 1970-01-01 UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01 UTC.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment and `span` later, or the last moment there is.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.as_micros()))
    }

    /// How long after `earlier` this is; nothing when it is not after it.
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for At {
    /// RFC 3339 in UTC with six decimals.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        formatter.write_str(&moment.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// That many microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// That many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// That many minutes.
    pub const fn from_mins(mins: u64) -> Self {
        Self::from_secs(mins.saturating_mul(60))
    }

    /// Microseconds, as many as fit.
    pub fn as_micros(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The same length as the standard library says it.
    pub const fn to_std(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// Twice as long, but never longer than `most`.
    #[must_use]
    pub fn doubled_up_to(self, most: Self) -> Self {
        Self(self.0.saturating_mul(2)).min(most)
    }
}

impl From<Duration> for Span {
    fn from(length: Duration) -> Self {
        Self(u64::try_from(length.as_micros()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Span {
    /// The two largest units that matter: `1h 5m`, `4m 10s`, `0.3s`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.as_secs();
        match (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60) {
            _ if *self == Self::ZERO => write!(formatter, "0s"),
            (0, 0, 0, s) if s < 10 => write!(formatter, "{s}.{}s", self.0 / 100_000 % 10),
            (0, 0, 0, s) => write!(formatter, "{s}s"),
            (0, 0, m, 0) => write!(formatter, "{m}m"),
            (0, 0, m, s) => write!(formatter, "{m}m {s}s"),
            (0, h, 0, _) => write!(formatter, "{h}h"),
            (0, h, m, _) => write!(formatter, "{h}h {m}m"),
            (d, 0, ..) => write!(formatter, "{d}d"),
            (d, h, ..) => write!(formatter, "{d}d {h}h"),
        }
    }
}

/// Position of a record in its log, from 1; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// The position with this number.
    pub const fn new(seq: u64) -> Self {
        Self(seq)
    }

    /// The position as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position right after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Processor share: 1000 is one processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MilliCpu(pub u64);

impl fmt::Display for MilliCpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (whole, 0) => write!(formatter, "{whole}"),
            (whole, rest) => write!(formatter, "{}", format!("{whole}.{rest:03}").trim_end_matches('0')),
        }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// That many times 2^20 bytes.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// That many times 2^30 bytes.
    pub const fn from_gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1 << 30))
    }
}

impl fmt::Display for Bytes {
    /// In powers of 1024, one decimal where it says something: `16GB`, `1.5GB`, `300B`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];
        for (name, size) in UNITS {
            if self.0 >= size {
                let tenths = (u128::from(self.0) * 10 + u128::from(size / 2)) / u128::from(size);
                return match tenths % 10 {
                    0 => write!(formatter, "{}{name}", tenths / 10),
                    tenth => write!(formatter, "{}.{tenth}{name}", tenths / 10),
                };
            }
        }
        write!(formatter, "{}B", self.0)
    }
}

/// Money: millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// What `span` costs at this price an hour, rounded to the nearest millionth.
    pub fn per_hour_for(self, span: Span) -> Self {
        const HOUR_US: u128 = 3_600_000_000;
        let cost = (u128::from(self.0) * u128::try_from(span.as_micros()).unwrap_or(0) + HOUR_US / 2) / HOUR_US;
        Self(u64::try_from(cost).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for MicroUsd {
    /// Dollars with as many decimals as a small amount needs: `$1.25`, `$0.0042`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if self.0 == 0 || micros % 10_000 == 0 || self.0 >= 10_000_000 {
            write!(formatter, "${dollars}.{:02}", micros / 10_000)
        } else {
            write!(formatter, "${dollars}.{:04}", micros / 100)
        }
    }
}

/// SHA-256 of a blob's bytes: its address in the blob store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 32]);

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The text is not the hash of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a blob id: 64 hex digits are needed")]
pub struct BlobIdError;

impl std::str::FromStr for BlobId {
    type Err = BlobIdError;
    fn from_str(text: &str) -> Result<Self, BlobIdError> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(BlobIdError);
        }
        let mut bytes = [0; 32];
        for (slot, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| BlobIdError)?;
            *slot = u8::from_str_radix(pair, 16).map_err(|_| BlobIdError)?;
        }
        Ok(Self(bytes))
    }
}

text_serde!(BlobId);
