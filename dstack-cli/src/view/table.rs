//! Tables of plain text.

use unicode_width::UnicodeWidthStr as _;

use super::decode::is_harmful;

/// Spaces between two columns.
const GAP: usize = 2;
/// Narrowest last column that is wrapped beside the others; a narrower one stands below them.
const LAST_MIN: usize = 24;
/// How far what stands below a row is moved in.
const INDENT: usize = 2;

/// Text from elsewhere without anything that a terminal acts on.
pub(crate) fn clean(text: &str) -> String {
    let shown = |letter| match letter {
        '\t' | '\n' => ' ',
        other if is_harmful(other) => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    text.chars().map(shown).collect()
}

/// The same for several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line) + "\n").collect()
}

/// A table with a line of heads. Where it may only be so wide, the last columns that do not fit are wrapped or stand below
/// their row, and no other column is ever broken; in a pipe (no width) each row is one line.
pub(crate) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>, width: Option<usize>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let mut widths: Vec<usize> = heads.iter().map(|head| head.width()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let layout = Layout::new(&widths, width.unwrap_or(usize::MAX));
    let mut text = String::new();
    layout.write(&mut text, heads, heads, true);
    for row in &rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        layout.write(&mut text, heads, &cells, false);
    }
    text
}

/// Which columns stand beside each other.
struct Layout<'a> {
    widths: &'a [usize],
    /// Whole columns from the left.
    beside: usize,
    /// Room for the one after them, if that is wrapped.
    last: Option<usize>,
    width: usize,
}

impl<'a> Layout<'a> {
    fn new(widths: &'a [usize], width: usize) -> Self {
        let mut used = 0_usize;
        let mut beside = 0;
        for (place, column) in widths.iter().enumerate() {
            let end = used + column;
            // The first one names the row, whatever its width.
            if end > width && place > 0 {
                break;
            }
            used = end.saturating_add(GAP);
            beside = place + 1;
        }
        let room = width.saturating_sub(used);
        let last = (beside + 1 == widths.len() && room >= LAST_MIN).then_some(room);
        Self { widths, beside, last, width }
    }

    fn write(&self, text: &mut String, heads: &[&str], cells: &[&str], is_head: bool) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(self.widths).take(self.beside) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
        }
        let rest = cells.get(self.beside..).unwrap_or_default();
        if let (Some(room), [cell]) = (self.last, rest) {
            let indent = " ".repeat(line.width());
            for (number, piece) in wrapped(cell, room).into_iter().enumerate() {
                push(text, if number == 0 { &line } else { &indent }, piece);
            }
            return;
        }
        push(text, &line, "");
        if is_head {
            return;
        }
        let indent = " ".repeat(INDENT);
        let below = heads.iter().skip(self.beside).zip(rest).filter(|(_, cell)| !matches!(**cell, "" | "-"));
        for (head, cell) in below {
            let label = format!("{}: ", head.to_lowercase());
            let room = self.width.saturating_sub(INDENT + label.width()).max(LAST_MIN);
            for (number, piece) in wrapped(cell, room).into_iter().enumerate() {
                let before = if number == 0 { label.clone() } else { " ".repeat(label.width()) };
                push(text, &(indent.clone() + &before), piece);
            }
        }
    }
}

fn push(text: &mut String, before: &str, rest: &str) {
    let line = format!("{before}{rest}");
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The text in pieces of at most this width, between words where that is possible; at least one.
fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_end();
    while rest.width() > width {
        let mut fits = 0;
        let mut used = 0;
        for letter in rest.chars() {
            used += letter.to_string().width();
            if used > width && fits > 0 {
                break;
            }
            fits += letter.len_utf8();
        }
        let (line, _) = rest.split_at(fits);
        let end = match rest[fits..].starts_with(' ') {
            true => fits,
            false => line.rfind(' ').filter(|end| *end > 0).unwrap_or(fits),
        };
        pieces.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [&str; 4] = ["RUN", "RUNNER", "SINCE", "REASON"];

    fn row(reason: &str) -> Vec<String> {
        ["brave-otter-3", "3q8z6k2v9d4tn", "5m 3s", reason].map(str::to_owned).to_vec()
    }

    #[test]
    fn in_a_pipe_each_row_is_one_line() {
        let text = table(&HEADS, [row(&"why ".repeat(100))], None);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.starts_with("RUN            RUNNER         SINCE  REASON\nbrave-otter-3  3q8z6k2v9d4tn  5m 3s  why")
        );
    }

    #[test]
    fn the_last_column_is_wrapped_between_words_and_no_name_is_broken() {
        let text = table(&HEADS, [row("waits for a runner of a type that is not there")], Some(64));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "brave-otter-3  3q8z6k2v9d4tn  5m 3s  waits for a runner of a");
        assert_eq!(lines[2], format!("{}type that is not there", " ".repeat(37)));
    }

    #[test]
    fn what_has_no_room_stands_below_its_row() {
        let text = table(&HEADS, [row("waits for prepare")], Some(50));
        assert_eq!(
            text,
            "RUN            RUNNER         SINCE\nbrave-otter-3  3q8z6k2v9d4tn  5m 3s\n  reason: waits for prepare\n"
        );
        for width in 0..100 {
            let text = table(&HEADS, [row("waits for prepare")], Some(width));
            assert!(text.contains("brave-otter-3") && text.contains("3q8z6k2v9d4tn"), "{width}: {text}");
            assert!(text.lines().count() <= 5, "{width}: {text}");
        }
    }

    #[test]
    fn letters_that_are_wide_or_nothing_that_stays_in_its_place_move_no_column() {
        let rows = [["\u{6f22}\u{5b57}", "a"], ["x\ty", "b"], ["\u{1b}[2J", "c"]];
        let text = table(&["NAME", "N"], rows.map(|row| row.map(str::to_owned).to_vec()), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "\u{6f22}\u{5b57}  a");
        assert_eq!(lines[2], "x y   b");
        assert!(!text.contains('\u{1b}'));
    }
}
