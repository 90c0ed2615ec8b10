//! Lines at the bottom of a terminal that are drawn again and again, and everything else above them.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;
use crate::print;

/// The lines at the bottom; nothing where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Live {
    bar: Option<ProgressBar>,
    width: usize,
    lines: Vec<String>,
}

impl Live {
    /// Lines of at most this width, if they can be drawn at all.
    pub(crate) fn new(is_terminal: bool, width: usize) -> Self {
        let mut live = Self { bar: None, width, lines: Vec::new() };
        live.revive(is_terminal);
        live
    }

    /// Draws again after [`Live::clear`].
    pub(crate) fn revive(&mut self, is_terminal: bool) {
        self.bar = is_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg}").expect("the template has one known key"));
            bar
        });
    }

    /// Writes results above the lines.
    pub(crate) fn results(&self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| print::results(bytes)),
            None => print::results(bytes),
        }
    }

    /// Tells people something, above the lines.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print::say(text)),
            None => print::say(text),
        }
    }

    /// Draws these lines from now on.
    pub(crate) fn draw(&mut self, lines: Vec<String>) {
        let Some(bar) = &self.bar else { return };
        if lines == self.lines {
            return;
        }
        let cut = lines.iter().map(|line| cut(line, self.width - 1));
        bar.set_message(cut.collect::<Vec<_>>().join("\n"));
        self.lines = lines;
    }

    /// Takes the lines away.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.lines.clear();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

/// At most so many characters; those of colour sequences do not count.
fn cut(line: &str, width: usize) -> String {
    let mut out = String::new();
    let (mut count, mut is_sequence) = (0, false);
    for letter in line.chars() {
        if letter == '\u{1b}' {
            is_sequence = true;
        }
        if !is_sequence {
            if count == width {
                continue;
            }
            count += 1;
        }
        if is_sequence && letter.is_ascii_alphabetic() {
            is_sequence = false;
        }
        out.push(if letter == '\t' { ' ' } else { letter });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_line_is_cut_after_its_visible_characters() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("\u{1b}[36mab\u{1b}[0mcd", 3), "\u{1b}[36mab\u{1b}[0mc");
    }
}
