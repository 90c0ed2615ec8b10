//! Tables of plain text.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::decode::is_harmful;

/// Text from elsewhere without anything that a terminal acts on.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|letter| if is_harmful(letter) { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// A table with a line of heads. On a terminal it is as wide as that at most; in a pipe nothing is wrapped.
pub(crate) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>, is_terminal: bool) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(if is_terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
    table.set_header(heads.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
