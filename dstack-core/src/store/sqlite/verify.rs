//! Checking a whole log: its chain, and what is kept beside the records.

use super::connection::unreachable;
use super::database::Database;
use super::head::seq_of;
use super::runs::{fields, run_row};
use crate::model::{Event, RecordHash, Seq};
use crate::store::{Head, RunRow, StoreError};

impl Database {
    /// Walks over the whole log. Nothing but runs and clock steps is decoded or kept.
    pub(super) fn verify(&mut self) -> Result<Head, StoreError> {
        let damage = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
            .map_err(unreachable)?;
        let mut runs = Vec::new();
        let mut steps = Vec::new();
        let end = self.scan(Seq::START, usize::MAX, |place, kind, json| {
            if !matches!(kind.name.as_str(), "RunSubmitted" | "ClockStepped") {
                return;
            }
            match Event::decode(&kind.name, kind.version, json) {
                Ok(Event::RunSubmitted(run)) => {
                    runs.push(RunRow { run: run.run, name: run.name, submitted: place.seq });
                }
                Ok(Event::ClockStepped(step)) => steps.push((place.seq, step.offset_us)),
                _ => {}
            }
        })?;
        let (seq, hash) = end.map_or((Seq::START, RecordHash::START), |end| (end.seq, end.hash));
        if damage != "ok" {
            return Err(StoreError::Unusable(format!("log.db is damaged: {damage}; its records can all be read")));
        }
        let before_first = "SELECT EXISTS (SELECT 1 FROM record WHERE seq < 1)";
        if self.connection.query_row(before_first, [], |row| row.get(0)).map_err(unreachable)? {
            return Err(StoreError::Corrupt { seq: seq.next(), why: "a record stands before the first".to_owned() });
        }
        // What was appended since the walk is not in its lists.
        let mut kept_steps: Vec<(Seq, i64)> =
            self.derived("SELECT seq, offset_us FROM step ORDER BY seq", |row| Ok((seq_of(row.get(0)?), row.get(1)?)))?;
        kept_steps.retain(|(place, _)| *place <= seq);
        let kept_runs = self.derived("SELECT seq, id, name FROM run ORDER BY seq", fields)?;
        let mut kept_runs = kept_runs.into_iter().map(run_row).collect::<Result<Vec<_>, _>>()?;
        kept_runs.retain(|row| row.submitted <= seq);
        compare(&runs, &kept_runs, |row| row.submitted)?;
        compare(&steps, &kept_steps, |step| step.0)?;
        Ok(Head { seq, hash, ..self.head()? })
    }

    fn derived<T>(
        &self,
        query: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare(query).map_err(unreachable)?;
        let rows = statement.query_map([], read).map_err(unreachable)?;
        rows.collect::<Result<_, _>>().map_err(unreachable)
    }
}

/// Names the first record about which the two lists differ.
fn compare<T: PartialEq>(said: &[T], kept: &[T], seq: impl Fn(&T) -> Seq) -> Result<(), StoreError> {
    let differing = (0..said.len().max(kept.len())).find(|index| said.get(*index) != kept.get(*index));
    let Some(index) = differing else { return Ok(()) };
    let places = [said.get(index), kept.get(index)].into_iter().flatten().map(seq);
    let why = "what the file keeps beside it is not what it says".to_owned();
    Err(StoreError::Corrupt { seq: places.min().unwrap_or(Seq::START), why })
}
