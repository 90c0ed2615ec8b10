//! Ids in EC2's form.

use sha2::{Digest, Sha256};

/// The id that these parts always have: `PREFIX-` and 17 hexadecimal digits.
pub(super) fn made_id(prefix: &str, parts: &[&str]) -> String {
    format!("{prefix}-0{:016x}", hash(parts))
}

/// A number that stands for these parts.
pub(super) fn hash(parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// All of a hash over these bytes, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text has the form of an id: the prefix, and 8 or 17 hexadecimal digits.
pub(super) fn is_id(prefix: &str, text: &str) -> bool {
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits.is_some_and(|digits| [8, 17].contains(&digits.len()) && digits.bytes().all(is_hex))
}
