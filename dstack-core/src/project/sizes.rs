//! Sizes, lengths of time and shares of processors as people write them.

use crate::model::{Bytes, MilliCpu, Span};

/// The text is not such a quantity; says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// A number without a unit.
    #[error("{text:?} has no unit: write {proposal}")]
    NoUnit {
        /// What was given.
        text: String,
        /// It with the likeliest unit.
        proposal: String,
    },
    /// Not a size.
    #[error("{0:?} is not a size: write a number and KB, MB, GB or TB, like 16GB")]
    Size(String),
    /// A size that is not a whole number of bytes, or too large to say.
    #[error("{0:?} is not a whole number of bytes below 2^64")]
    Inexact(String),
    /// Not a length of time.
    #[error("{0:?} is not a length of time: write one like 90s, 30m, 2h or 1h 30m")]
    Duration(String),
    /// Not a number of processors.
    #[error("{0:?} is not a number of processors: write one like 2 or 0.5 (at most three decimals)")]
    Cpu(String),
}

/// A size: a number, also with decimals if they make whole bytes, and `B`, `KB`, `MB`, `GB`, `TB` or `KiB` to `TiB`. All of
/// them are powers of 1024; letter case does not matter.
///
/// ```
/// use dstack_core::project::sizes::parse_size;
/// assert_eq!(parse_size("1.5GB"), parse_size("1536MiB"));
/// assert_eq!(parse_size("16").expect_err("no unit").to_string(), "\"16\" has no unit: write 16GB");
/// ```
///
/// # Errors
/// Text that is no size, with what to write.
pub fn parse_size(text: &str) -> Result<Bytes, QuantityError> {
    let trimmed = text.trim();
    let end = trimmed.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let wrong = || QuantityError::Size(text.to_owned());
    let number = Decimal::parse(number).ok_or_else(wrong)?;
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 0,
        "kb" | "kib" => 10,
        "mb" | "mib" => 20,
        "gb" | "gib" => 30,
        "tb" | "tib" => 40,
        "" => {
            return Err(QuantityError::NoUnit { text: text.to_owned(), proposal: format!("{trimmed}GB") });
        }
        _ => return Err(wrong()),
    };
    number.times(1 << shift).map(Bytes).ok_or_else(|| QuantityError::Inexact(text.to_owned()))
}

/// A length of time like `90s`, `30m`, `2h` or `1h 30m`; `0` needs no unit.
///
/// # Errors
/// Text that is no length of time, with what to write.
pub fn parse_duration(text: &str) -> Result<Span, QuantityError> {
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Span::ZERO);
    }
    if !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityError::NoUnit { text: text.to_owned(), proposal: format!("{trimmed}s or {trimmed}m") });
    }
    humantime::parse_duration(trimmed).map(Span::from).map_err(|_| QuantityError::Duration(text.to_owned()))
}

/// A number of processors, with up to three decimals.
///
/// # Errors
/// Text that is no such number, or none at all.
pub fn parse_cpu(text: &str) -> Result<MilliCpu, QuantityError> {
    let wrong = || QuantityError::Cpu(text.to_owned());
    let millis = Decimal::parse(text.trim()).and_then(|number| number.times(1_000)).ok_or_else(wrong)?;
    if millis == 0 { Err(wrong()) } else { Ok(MilliCpu(millis)) }
}

/// A decimal number without a sign: `digits / 10^decimals`.
struct Decimal {
    digits: u128,
    decimals: u32,
}

impl Decimal {
    const MAX_DIGITS: usize = 27;

    fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let ends_well = !whole.is_empty() && (!text.contains('.') || !part.is_empty());
        if !ends_well || !is_digits(whole) || !is_digits(part) || text.len() > Self::MAX_DIGITS {
            return None;
        }
        let digits = format!("{whole}{part}").parse().ok()?;
        Some(Self { digits, decimals: u32::try_from(part.len()).ok()? })
    }

    /// The product, if it is a whole number that fits.
    fn times(&self, factor: u64) -> Option<u64> {
        let product = self.digits.checked_mul(u128::from(factor))?;
        let divisor = 10_u128.checked_pow(self.decimals)?;
        if product % divisor == 0 { u64::try_from(product / divisor).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_powers_of_1024_in_every_spelling() {
        for (text, bytes) in
            [("1KB", 1 << 10), ("1KiB", 1 << 10), ("3 mb", 3 << 20), ("16GB", 16 << 30), ("2TiB", 2 << 40)]
        {
            assert_eq!(parse_size(text), Ok(Bytes(bytes)), "{text}");
        }
        assert_eq!(parse_size("1.5GB"), Ok(Bytes(3 << 29)));
        assert_eq!(parse_size("0.0001KB"), Err(QuantityError::Inexact("0.0001KB".to_owned())));
        for text in ["", "GB", "-1GB", "1.GB", ".5GB", "1e3GB", "1,5GB", "16G", "16Gi", "١GB"] {
            assert!(matches!(parse_size(text), Err(QuantityError::Size(_))), "{text}");
        }
        assert!(parse_size("99999999999TB").is_err());
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("2h"), Ok(Span::from_mins(120)));
        assert_eq!(parse_duration("0"), Ok(Span::ZERO));
        assert!(parse_duration("600").expect_err("no unit").to_string().contains("600s"));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("").is_err());
    }

    #[test]
    fn processors_may_be_shared_in_thousandths() {
        assert_eq!(parse_cpu("0.5"), Ok(MilliCpu(500)));
        assert_eq!(parse_cpu("2"), Ok(MilliCpu(2_000)));
        for text in ["0", "0.0005", "-1", "two", "", "1..", "99999999999999999999999"] {
            assert!(parse_cpu(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_count_reads_back(bytes: u64) {
            prop_assert_eq!(parse_size(&format!("{bytes}B")), Ok(Bytes(bytes)));
        }

        #[test]
        fn no_text_makes_them_panic(text in "[0-9.]{0,30}[a-zA-Z ]{0,5}|\\PC{0,20}") {
            let _ = (parse_size(&text), parse_duration(&text), parse_cpu(&text));
        }
    }
}
