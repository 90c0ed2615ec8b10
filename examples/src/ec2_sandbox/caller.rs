//! Who calls, and about which region.

use hyper::HeaderMap;

use super::reply::Failure;
use super::times::from_signature;

/// The account of keys that name none.
pub(super) const ACCOUNT: &str = "000000000000";

/// Furthest that a caller's clock may be off.
const SKEW_MOST_MICROS: i64 = 5 * 60 * 1_000_000;

/// Who calls. Signatures are not checked; what they say about key, region and time is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) key_id: String,
}

impl Caller {
    /// Reads the signature of a request. A key id that ends with twelve digits belongs to the account of that number.
    pub(super) fn of(headers: &HeaderMap, now_micros: i64) -> Result<Self, Failure> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let missing = || {
            let words = "AWS was not able to validate the provided access credentials: the request is not signed";
            Failure::with_status(401, "AuthFailure", words)
        };
        let signature = text("authorization").ok_or_else(missing)?;
        let credential = signature.split_once("Credential=").ok_or_else(missing)?.1;
        let mut parts = credential.split([',', ' ']).next().unwrap_or_default().split('/');
        let key_id = parts.next().filter(|id| !id.is_empty()).ok_or_else(missing)?.to_owned();
        let region = parts.nth(1).ok_or_else(missing)?.to_owned();
        if let Some(signed) = text("x-amz-date").and_then(from_signature)
            && (signed - now_micros).abs() > SKEW_MOST_MICROS
        {
            let words = "Request has expired: the time of its signature is more than 5 minutes off";
            return Err(Failure::client("RequestExpired", words));
        }
        if key_id.starts_with("EXPIRED") {
            return Err(Failure::client("RequestExpired", "Request has expired."));
        }
        let digits = key_id.get(key_id.len().saturating_sub(12)..).filter(|end| end.len() == 12);
        let is_account = |end: &&str| end.bytes().all(|byte| byte.is_ascii_digit());
        let account = digits.filter(is_account).unwrap_or(ACCOUNT).to_owned();
        Ok(Self { account, region, key_id })
    }
}
