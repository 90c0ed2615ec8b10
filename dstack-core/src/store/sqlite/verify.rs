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
        // What was appended since the walk is not in these lists.
        let kept_steps: Vec<(Seq, i64)> =
            self.derived("SELECT seq, offset_us FROM step ORDER BY seq", |row| Ok((seq_of(row.get(0)?), row.get(1)?)))?;
        let kept_runs = self.derived("SELECT seq, id, name FROM run ORDER BY seq", fields)?;
        let kept_runs = kept_runs.into_iter().map(run_row).collect::<Result<Vec<_>, _>>()?;
        let (runs_end, steps_end) = (runs.len(), steps.len());
        compare(&runs, &kept_runs[..runs_end.min(kept_runs.len())], |row| row.submitted)?;
        compare(&steps, &kept_steps[..steps_end.min(kept_steps.len())], |step| step.0)?;
        let more_runs = kept_runs.get(runs_end).map(|row| row.submitted);
        let mut strays = more_runs.into_iter().chain(kept_steps.get(steps_end).map(|step| step.0));
        if let Some(stray) = strays.find(|stray| *stray <= seq) {
            return Err(differs(stray));
        }
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

fn differs(seq: Seq) -> StoreError {
    StoreError::Corrupt { seq, why: "what the file keeps beside it is not what it says".to_owned() }
}

fn compare<T: PartialEq>(said: &[T], kept: &[T], seq: impl Fn(&T) -> Seq) -> Result<(), StoreError> {
    let pairs = said.iter().zip(kept.iter().map(Some).chain(std::iter::repeat(None)));
    pairs.into_iter().find(|(said, kept)| Some(*said) != *kept).map_or(Ok(()), |(said, _)| Err(differs(seq(said))))
}
