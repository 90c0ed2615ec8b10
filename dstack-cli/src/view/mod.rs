//! What people and programs see: text, tables, JSON. Nothing in here reads or writes anything.

mod decode;
mod line;
mod mask;
mod output;

mod overview;
mod row;
mod words;

mod event;
mod table;
mod time;

pub(crate) use event::{event_json, event_line};
pub(crate) use output::{Form, OutputView};
pub(crate) use overview::Overview;
pub(crate) use row::{PhaseName, Row};
pub(crate) use table::{clean, clean_lines, table};
pub(crate) use time::{ago, local_time, since};
pub(crate) use words::{needs_words, outcome_words};
