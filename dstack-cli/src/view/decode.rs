//! From bytes that a workflow printed to what a terminal may be shown.
//!
//! Output comes in pieces that end anywhere: within a character, within a control sequence. Both are kept for the next
//! piece. Nothing that comes out of here can move the cursor, change the terminal or turn the direction of text.

/// Longest control sequence that is taken for one, in characters; what goes on beyond it is text again.
const SEQUENCE_MAX: usize = 256;

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A character.
    Char(char),
    /// The line ends.
    Newline,
    /// Back to the beginning of the line.
    Return,
    /// One character back.
    Back,
    /// The rest of the line is erased.
    Erase,
}

/// Where in a control sequence the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sequence {
    #[default]
    None,
    /// After ESC.
    Escape,
    /// After ESC and characters that announce one more.
    Intermediate,
    /// After ESC [ and so many characters.
    Control(usize),
    /// In a text for the terminal itself (a title, say), after so many characters.
    Text(usize),
    /// In such a text, after ESC.
    TextEscape(usize),
}

/// Reads output piece by piece.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    incomplete: Vec<u8>,
    sequence: Sequence,
}

impl Decoder {
    /// Takes the next piece.
    pub(super) fn push(&mut self, bytes: &[u8], mut show: impl FnMut(Unit)) {
        let joined;
        let bytes = if self.incomplete.is_empty() {
            bytes
        } else {
            let mut all = std::mem::take(&mut self.incomplete);
            all.extend_from_slice(bytes);
            joined = all;
            &joined
        };
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for character in chunk.valid().chars() {
                self.take(character, &mut show);
            }
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let may_go_on = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if chunks.peek().is_none() && may_go_on {
                self.incomplete = invalid.to_vec();
            } else {
                self.take(char::REPLACEMENT_CHARACTER, &mut show);
            }
        }
    }

    /// Nothing more comes: what is incomplete stays so.
    pub(super) fn end(&mut self, mut show: impl FnMut(Unit)) {
        if !std::mem::take(&mut self.incomplete).is_empty() {
            self.take(char::REPLACEMENT_CHARACTER, &mut show);
        }
        self.sequence = Sequence::None;
    }

    fn take(&mut self, character: char, show: &mut impl FnMut(Unit)) {
        use Sequence::{Control, Escape, Intermediate, None, Text, TextEscape};
        self.sequence = match (self.sequence, character) {
            (_, '\n') => {
                show(Unit::Newline);
                None
            }
            (None | Escape | Intermediate | Control(_), '\u{1b}') => Escape,
            (None, _) => {
                show_plain(character, show);
                None
            }
            (Escape, '[') => Control(0),
            (Escape, ']' | 'P' | '^' | '_' | 'X') => Text(0),
            (Escape | Intermediate, ' '..='/') => Intermediate,
            (Escape | Intermediate, '0'..='~') => None,
            (Control(length), ' '..='?') if length < SEQUENCE_MAX => Control(length + 1),
            (Control(_), 'K') => {
                show(Unit::Erase);
                None
            }
            (Control(_), '@'..='~') => None,
            (Text(_), '\u{7}' | '\u{9c}') | (TextEscape(_), '\\') => None,
            (Text(length), '\u{1b}') => TextEscape(length),
            (Text(length) | TextEscape(length), _) if length < SEQUENCE_MAX => Text(length + 1),
            (Escape | Intermediate | Control(_) | Text(_) | TextEscape(_), _) => {
                show_plain(character, show);
                None
            }
        };
    }
}

fn show_plain(character: char, show: &mut impl FnMut(Unit)) {
    show(match character {
        '\r' => Unit::Return,
        '\u{8}' => Unit::Back,
        '\t' => Unit::Char('\t'),
        other if is_harmful(other) => Unit::Char(char::REPLACEMENT_CHARACTER),
        other => Unit::Char(other),
    });
}

/// Whether a terminal may act on the character instead of showing it.
pub(super) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(pieces: &[&[u8]]) -> Vec<Unit> {
        let mut decoder = Decoder::default();
        let mut units = Vec::new();
        for piece in pieces {
            decoder.push(piece, |unit| units.push(unit));
        }
        decoder.end(|unit| units.push(unit));
        units
    }

    fn text(pieces: &[&[u8]]) -> String {
        let plain = |unit: &Unit| match unit {
            Unit::Char(character) => Some(*character),
            Unit::Newline => Some('\n'),
            Unit::Return | Unit::Back | Unit::Erase => None,
        };
        shown(pieces).iter().filter_map(plain).collect()
    }

    /// Bytes that are rich in what matters here.
    fn output() -> impl Strategy<Value = Vec<u8>> {
        let special = prop::sample::select(&b"\x1b[]m0;K\\\x07\x9b\r\n\t\x08\xe2\x82\xac\xf0\x9f\x80A "[..]);
        prop::collection::vec(prop_oneof![4 => special, 1 => any::<u8>()], 0..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn where_output_is_cut_changes_nothing(bytes in output(), size in 1_usize..5) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(shown(&pieces), shown(&[&bytes]));
        }

        #[test]
        fn nothing_that_a_terminal_acts_on_comes_out(bytes in output()) {
            for unit in shown(&[&bytes]) {
                if let Unit::Char(character) = unit {
                    prop_assert!(character == '\t' || !is_harmful(character), "{:?}", character);
                }
            }
        }

        #[test]
        fn text_without_controls_comes_out_as_it_went_in(line in "[^\\p{C}\u{2028}\u{2029}]{0,40}") {
            prop_assert_eq!(text(&[line.as_bytes()]), line);
        }
    }

    #[test]
    fn case_04_split_utf8_keeps_the_incomplete_character_for_the_next_piece() {
        assert_eq!(text(&[b"\xe2\x82", b"\xac done\n", b"\x80\n"]), "\u{20ac} done\n\u{fffd}\n");
    }

    #[test]
    fn control_sequences_vanish_and_the_text_around_them_stays() {
        assert_eq!(text(&[b"\x1b[1;32mgreen\x1b[0m \x1b]0;title\x07after \x1b(Bend"]), "green after end");
        assert_eq!(text(&["a\u{202e}b\u{9b}c\u{7}d".as_bytes()]), "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn a_sequence_that_never_ends_swallows_no_line_after_it() {
        assert_eq!(text(&[b"\x1b]0;forged\nnext\n"]), "\nnext\n");
        let long = [b"\x1b]".as_slice(), &[b'x'; 2 * SEQUENCE_MAX]].concat();
        assert!(text(&[&long]).len() >= SEQUENCE_MAX - 1);
    }
}
