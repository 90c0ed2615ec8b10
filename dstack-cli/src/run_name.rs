//! Names of runs: two words and a number, short enough to type and to say.

use dstack_core::model::Name;

const FIRST: [&str; 48] = [
    "able", "agile", "amber", "apt", "azure", "bold", "brave", "brisk", "calm", "clear", "clever", "cool", "coral",
    "crisp", "deft", "eager", "early", "fair", "fast", "fine", "fresh", "gentle", "glad", "golden", "grand", "happy",
    "jolly", "keen", "kind", "light", "lively", "lucky", "mellow", "merry", "mild", "neat", "noble", "proud", "quick",
    "quiet", "rapid", "ready", "rosy", "silver", "smart", "sunny", "warm", "wise",
];
const SECOND: [&str; 48] = [
    "badger", "bear", "beaver", "bison", "camel", "cat", "crane", "deer", "dingo", "dove", "duck", "eagle", "falcon",
    "ferret", "finch", "fox", "frog", "gecko", "goose", "hare", "hawk", "heron", "horse", "koala", "lark", "lemur",
    "lion", "lynx", "mole", "moose", "newt", "otter", "owl", "panda", "parrot", "puffin", "puma", "rabbit", "raven",
    "robin", "seal", "shrew", "sloth", "swan", "tiger", "turtle", "whale", "wren",
];

/// A name that is not taken: the words come from `entropy`, the number is the first that is free.
pub(crate) fn mint(entropy: [u8; 16], is_taken: impl Fn(&Name) -> bool) -> Name {
    let pick =
        |list: &[&'static str; 48], high: u8, low: u8| list[usize::from(u16::from_be_bytes([high, low])) % list.len()];
    let [a, b, c, d, ..] = entropy;
    let words = format!("{}-{}", pick(&FIRST, a, b), pick(&SECOND, c, d));
    let mut number: u64 = 1;
    loop {
        let name: Name = format!("{words}-{number}").parse().expect("words and digits make a name");
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_is_two_words_and_the_first_number_that_is_free() {
        let mut taken = BTreeSet::new();
        for number in 1..4 {
            let name = mint([7; 16], |name| taken.contains(name));
            assert!(name.as_str().ends_with(&format!("-{number}")), "{name}");
            assert_eq!(name.as_str().split('-').count(), 3);
            taken.insert(name);
        }
    }

    #[test]
    fn all_words_differ_and_are_short() {
        for list in [FIRST, SECOND] {
            assert_eq!(BTreeSet::from(list).len(), list.len());
            assert!(list.iter().all(|word| word.len() <= 7));
        }
    }
}
