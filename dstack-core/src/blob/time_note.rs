//! How much output there was at a moment, as it is written beside the output.

use std::fmt;

use crate::model::At;

/// How much output there was at a moment: a line of the notes that every kind of output keeps beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeNote {
    /// The moment.
    pub at: At,
    /// So many bytes there were.
    pub length: u64,
}

impl fmt::Display for TimeNote {
    /// The note as a line with its end.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} {}", self.at.as_micros(), self.length)
    }
}

impl TimeNote {
    /// The notes of a text, in its order. A line that a crash has cut says nothing.
    pub fn all(text: &str) -> impl DoubleEndedIterator<Item = Self> {
        text.split_inclusive('\n').filter_map(|line| {
            let (micros, length) = line.strip_suffix('\n')?.split_once(' ')?;
            Some(Self { at: At::from_micros(micros.parse().ok()?), length: length.parse().ok()? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written_but_for_a_line_that_was_cut() {
        let note = |micros, length| TimeNote { at: At::from_micros(micros), length };
        let notes = [note(10, 2), note(20, 5), note(20, 512)];
        let text: String = notes.iter().map(ToString::to_string).collect();
        assert_eq!(TimeNote::all(&text).collect::<Vec<_>>(), notes);
        for end in 0..text.len() {
            let whole = text[..end].matches('\n').count();
            assert_eq!(TimeNote::all(&text[..end]).collect::<Vec<_>>(), notes[..whole], "{:?}", &text[..end]);
        }
        assert_eq!(TimeNote::all("nonsense\n7\n1 x\n3 4\n").collect::<Vec<_>>(), [note(3, 4)]);
    }
}
