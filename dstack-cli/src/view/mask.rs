//! Values of secrets in output, made unreadable.
//!
//! A workflow that prints a secret by mistake shows it to whoever looks on. Output comes in pieces that end anywhere, so a
//! tail that may be the beginning of a secret is kept for the next piece.

use std::sync::Arc;

use dstack_core::secret::{MASKED_BYTES_MIN, Secret};

/// What stands in a secret's place.
const MASK: &[u8] = b"***";

/// Values that are masked.
#[derive(Debug, Default)]
struct Values {
    /// Longest first.
    longest_first: Vec<Secret>,
    /// By a byte's value: whether one of them begins with it.
    begins: Vec<bool>,
}

/// Masks secrets in one stream of output.
#[derive(Debug, Clone, Default)]
pub(super) struct Mask {
    values: Arc<Values>,
    /// The tail that may be the beginning of a secret.
    held: Vec<u8>,
    /// How many of the bytes that come next belong to a secret that is masked already.
    covered: usize,
}

impl Mask {
    /// Masks these values, as far as they are long enough.
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        let mut longest_first = secrets;
        longest_first.retain(|secret| secret.expose().len() >= MASKED_BYTES_MIN);
        longest_first.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        let mut begins = vec![false; 256];
        for first in longest_first.iter().filter_map(|secret| secret.expose().bytes().next()) {
            begins[usize::from(first)] = true;
        }
        Self { values: Arc::new(Values { longest_first, begins }), ..Self::default() }
    }

    /// Masks the values of another from now on. What is held back is looked at again.
    pub(super) fn mask_as(&mut self, other: &Self) {
        self.values = Arc::clone(&other.values);
    }

    /// What may be shown now that these bytes came.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.take(bytes, false)
    }

    /// What may be shown now that nothing more comes.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let out = self.take(&[], true);
        self.covered = 0;
        out
    }

    /// Every occurrence is masked, also of secrets that overlap: what they cover together is masked as one.
    fn take(&mut self, bytes: &[u8], is_end: bool) -> Vec<u8> {
        if self.values.longest_first.is_empty() && self.held.is_empty() && self.covered == 0 {
            return bytes.to_vec();
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(all.len());
        let mut place = 0;
        while let Some(first) = all.get(place) {
            if self.values.begins.get(usize::from(*first)) == Some(&true) {
                let rest = &all[place..];
                match self.values.find(rest) {
                    // Before the end, what comes next decides.
                    Found::Open(_) if !is_end => {
                        self.held = all.split_off(place);
                        return out;
                    }
                    Found::Secret(length) | Found::Open(length) if length > 0 => {
                        if self.covered == 0 {
                            out.extend_from_slice(MASK);
                        }
                        self.covered = self.covered.max(length);
                    }
                    Found::Secret(_) | Found::Open(_) => {}
                }
            }
            match self.covered.checked_sub(1) {
                Some(left) => self.covered = left,
                None => out.push(*first),
            }
            place += 1;
        }
        out
    }
}

/// What bytes begin with.
enum Found {
    /// The longest secret that they begin with, in bytes; 0 where there is none.
    Secret(usize),
    /// The same, and all of the bytes may be the beginning of a longer one.
    Open(usize),
}

impl Values {
    fn find(&self, bytes: &[u8]) -> Found {
        let mut is_open = false;
        for secret in &self.longest_first {
            let secret = secret.expose().as_bytes();
            if bytes.starts_with(secret) {
                return if is_open { Found::Open(secret.len()) } else { Found::Secret(secret.len()) };
            }
            is_open |= secret.len() > bytes.len() && secret.starts_with(bytes);
        }
        if is_open { Found::Open(0) } else { Found::Secret(0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(secrets: &[String]) -> Mask {
        Mask::new(secrets.iter().cloned().map(Secret::new).collect())
    }

    fn masked(secrets: &[String], pieces: &[&[u8]]) -> Vec<u8> {
        let mut mask = mask(secrets);
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| mask.push(piece)).collect();
        out.extend(mask.end());
        out
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    fn owned(secrets: &[&str]) -> Vec<String> {
        secrets.iter().map(|secret| (*secret).to_owned()).collect()
    }

    /// Few letters, so that secrets overlap, contain and repeat each other, also with themselves.
    fn secrets() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[ab\n\u{e4}]{1,7}", 0..4)
    }

    /// Output that is rich in secrets and in parts of them.
    fn output(secrets: Vec<String>) -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
        let known = if secrets.is_empty() { vec!["ab".to_owned()] } else { secrets.clone() };
        let part = (prop::sample::select(known), 0_usize..8, 0_usize..8).prop_map(|(secret, skip, take)| {
            secret.into_bytes().into_iter().skip(skip).take(take).collect::<Vec<u8>>()
        });
        let whole = prop::sample::select(if secrets.is_empty() { vec!["a".to_owned()] } else { secrets.clone() });
        let piece = prop_oneof![
            2 => part,
            2 => whole.prop_map(String::into_bytes),
            1 => "[abc\n ]{0,3}".prop_map(String::into_bytes),
            1 => prop::collection::vec(prop::num::u8::ANY.prop_filter("no mask", |byte| *byte != b'*'), 0..3),
        ];
        prop::collection::vec(piece, 0..16).prop_map(move |pieces| (secrets.clone(), pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn wherever_output_is_cut_the_masked_whole_is_the_same_and_holds_no_secret(
            (secrets, bytes) in secrets().prop_flat_map(output),
            cuts in prop::collection::vec(0_usize..120, 0..12),
        ) {
            let whole = masked(&secrets, &[&bytes]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&masked(&secrets, &pieces), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&masked(&secrets, &single), &whole);
            let long: Vec<&String> = secrets.iter().filter(|secret| secret.len() >= MASKED_BYTES_MIN).collect();
            for secret in &long {
                prop_assert!(!holds(&whole, secret.as_bytes()), "{:?}", secret);
            }
            if !long.iter().any(|secret| holds(&bytes, secret.as_bytes())) {
                prop_assert_eq!(whole, bytes, "what holds no secret is shown as it is");
            }
        }

        #[test]
        fn only_what_may_become_a_secret_is_held_back((secrets, bytes) in secrets().prop_flat_map(output)) {
            let mut mask = mask(&secrets);
            for byte in bytes.chunks(1) {
                mask.push(byte);
                let may_become = |secret: &String| {
                    secret.len() >= MASKED_BYTES_MIN
                        && secret.len() > mask.held.len()
                        && secret.as_bytes().starts_with(&mask.held)
                };
                prop_assert!(mask.held.is_empty() || secrets.iter().any(may_become), "{:?}", mask.held);
            }
        }
    }

    #[test]
    fn each_occurrence_is_masked_and_short_values_are_not() {
        let secrets = owned(&["hunter2", "abc"]);
        assert_eq!(masked(&secrets, &[b"hunter2hunter2 abc hunter"]), b"****** abc hunter");
    }

    #[test]
    fn secrets_that_overlap_or_contain_each_other_leave_nothing_of_either() {
        let secrets = owned(&["abcd", "cdef", "abcdefgh"]);
        assert_eq!(masked(&secrets, &[b"xabcdefy"]), b"x***y");
        assert_eq!(masked(&secrets, &[b"abcd", b"ef", b"gh."]), b"***.");
        assert_eq!(masked(&secrets, &[b"abcd", b"x"]), b"***x");
    }

    #[test]
    fn an_attempt_after_another_begins_anew() {
        let mut mask = mask(&owned(&["hunter2"]));
        assert_eq!(mask.push(b"hunt"), b"");
        assert_eq!(mask.end(), b"hunt");
        assert_eq!(mask.push(b"er2\n"), b"er2\n");
    }
}
