//! Words of clouds and runners, as they are taken into the log.

/// Most bytes of one such text, before the mark that says that it was cut.
pub const FOREIGN_TEXT_MAX_BYTES: usize = 1024;

/// The text on one line of bounded length: control characters are escaped, and what is too long is cut and ends with `…`.
///
/// A runner may say what it likes; a record has a size that it must not exceed, and terminals obey what is printed on them.
pub fn foreign(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(FOREIGN_TEXT_MAX_BYTES));
    for char in text.trim().chars() {
        let before = kept.len();
        if char.is_control() || is_invisible(char) {
            kept.extend(char.escape_default())
        } else {
            kept.push(char)
        }
        if kept.len() > FOREIGN_TEXT_MAX_BYTES {
            kept.truncate(before);
            kept.push('…');
            break;
        }
    }
    kept
}

/// Line and paragraph separators, and marks that turn the direction of writing.
const fn is_invisible(char: char) -> bool {
    matches!(char, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_one_short_line_without_control_characters(text in any::<String>(), count in 1_usize..300) {
            let kept = foreign(&text.repeat(count));
            prop_assert!(kept.len() <= FOREIGN_TEXT_MAX_BYTES + '…'.len_utf8(), "{} bytes", kept.len());
            prop_assert!(!kept.chars().any(|char| char.is_control() || is_invisible(char)));
        }

        #[test]
        fn plain_words_stay_as_they_are(text in "[a-zäö€🚀 ]{0,200}") {
            prop_assert_eq!(foreign(&text), text.trim());
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(foreign("a\nb\u{1b}[31m\u{202e}\n"), "a\\nb\\u{1b}[31m\\u{202e}");
        let cut = foreign(&"ä".repeat(10_000));
        assert_eq!((cut.len(), cut.chars().last()), (1024 + 3, Some('…')));
    }
}
