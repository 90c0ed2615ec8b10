//! Moments as the APIs write them.

use chrono::{DateTime, NaiveDateTime, Utc};

fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// `2026-08-01T10:00:00.000Z`.
pub(super) fn iso(micros: i64) -> String {
    moment(micros).format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// `2026-08-01T10:00:00Z`.
pub(super) fn iso_short(micros: i64) -> String {
    moment(micros).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-08-01 10:00:00 GMT`.
pub(super) fn spoken(micros: i64) -> String {
    moment(micros).format("%Y-%m-%d %H:%M:%S GMT").to_string()
}

/// `Sat, 01 Aug 2026 10:00:00 GMT`.
pub(super) fn http_date(micros: i64) -> String {
    moment(micros).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads the `20260801T100000Z` of a signature.
pub(super) fn from_signature(text: &str) -> Option<i64> {
    Some(NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?.and_utc().timestamp_micros())
}
