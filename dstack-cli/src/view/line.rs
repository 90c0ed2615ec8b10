//! The line that is being printed, as a terminal would show it.

use super::decode::Unit;

/// Longest line that is kept together; a longer one is shown in pieces.
pub(super) const LINE_CHARS_MAX: usize = 4096;

/// A line with a place in it where the next character goes.
#[derive(Debug, Default)]
pub(super) struct Line {
    characters: Vec<char>,
    place: usize,
}

impl Line {
    /// Takes a unit in; returns the line when it is complete.
    pub(super) fn take(&mut self, unit: Unit) -> Option<String> {
        match unit {
            Unit::Newline => return Some(self.end()),
            Unit::Return => self.place = 0,
            Unit::Back => self.place = self.place.saturating_sub(1),
            Unit::Erase => self.characters.truncate(self.place),
            Unit::Char(character) => {
                match self.characters.get_mut(self.place) {
                    Some(old) => *old = character,
                    None => self.characters.push(character),
                }
                self.place += 1;
                if self.place >= LINE_CHARS_MAX {
                    return Some(self.end());
                }
            }
        }
        None
    }

    /// The line as it stands, and an empty one after it.
    pub(super) fn end(&mut self) -> String {
        self.place = 0;
        self.characters.drain(..).collect()
    }

    /// The line as it stands; none when it is empty.
    pub(super) fn text(&self) -> Option<String> {
        (!self.characters.is_empty()).then(|| self.characters.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> (Vec<String>, Option<String>) {
        let mut line = Line::default();
        let complete = text.chars().filter_map(|character| {
            line.take(match character {
                '\n' => Unit::Newline,
                '\r' => Unit::Return,
                '\u{8}' => Unit::Back,
                '\u{b}' => Unit::Erase,
                other => Unit::Char(other),
            })
        });
        let complete = complete.collect();
        (complete, line.text())
    }

    #[test]
    fn case_05_progress_bar_is_one_line_however_often_it_is_redrawn() {
        let steps: String = (0..200_000).map(|step| format!("\r{step}")).collect();
        assert_eq!(lines(&(steps + "\n")), (vec!["199999".to_owned()], None));
    }

    #[test]
    fn what_is_overwritten_is_gone_and_the_rest_stays() {
        assert_eq!(lines("100%\rab").1.as_deref(), Some("ab0%"));
        assert_eq!(lines("100%\rab\u{b}").1.as_deref(), Some("ab"));
        assert_eq!(lines("abc\u{8}\u{8}X").1.as_deref(), Some("aXc"));
        assert_eq!(lines("windows\r\n").0, ["windows"]);
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces() {
        let (complete, rest) = lines(&"x".repeat(3 * LINE_CHARS_MAX + 5));
        assert_eq!((complete.len(), rest.map(|rest| rest.len())), (3, Some(5)));
    }
}
