//! Runs and runners that have left the state.

use std::collections::{BTreeSet, VecDeque};

use serde::de::DeserializeOwned;

use super::Client;
use crate::model::state::{Left, Run, Runner, STATE_VERSION};
use crate::model::{Name, RunId, RunnerId, State};
use crate::store::{Past, PastId, StoreError};

/// Records that are read at once.
const READ_LIMIT: usize = 10_000;
/// Workflows and runners that are remembered between two snapshots. What is beyond is folded again when it is wanted.
const MAX_RECENT: usize = 200_000;

/// What has left the state since the newest snapshot, and is not kept beside one yet.
#[derive(Debug, Default)]
pub(super) struct Recent {
    runs: VecDeque<(RunId, Run)>,
    workflows: usize,
    runners: VecDeque<(RunnerId, Runner)>,
}

impl Recent {
    pub(super) fn extend(&mut self, left: Left) {
        for (id, run) in left.runs {
            self.workflows += run.workflows.len();
            self.runs.push_back((id, run));
        }
        self.runners.extend(left.runners);
        while self.workflows > MAX_RECENT {
            let Some((_, run)) = self.runs.pop_front() else { break };
            self.workflows -= run.workflows.len();
        }
        while self.runners.len() > MAX_RECENT {
            self.runners.pop_front();
        }
    }

    /// As it is kept beside a snapshot.
    pub(super) fn to_past(&self) -> Vec<Past> {
        let encoded = "what has left a state holds nothing that JSON cannot say";
        let runs = self.runs.iter().map(|(id, run)| {
            let bytes = serde_json::to_vec(run).expect(encoded);
            Past { id: PastId::Run(*id), bytes }
        });
        let runners = self.runners.iter().map(|(id, runner)| {
            let bytes = serde_json::to_vec(runner).expect(encoded);
            Past { id: PastId::Runner(*id), bytes }
        });
        runs.chain(runners).collect()
    }

    fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.iter().rev().find(|(known, _)| *known == id).map(|(_, run)| run)
    }
}

impl Client {
    /// The run as of the newest record that was read, whether or not it is over; nothing if there is none of this id.
    ///
    /// What has left the state is kept beside the log's snapshots. Where that is missing or damaged, the log is folded again.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        if let Some(run) = self.state().runs().get(&id).or_else(|| self.recent.run(id)) {
            return Ok(Some(run.clone()));
        }
        match self.store().load_past(STATE_VERSION, PastId::Run(id)).await?.as_deref().and_then(decoded) {
            Some(run) => Ok(Some(run)),
            None => self.fold_again(id).await,
        }
    }

    /// The newest run of this name, whether or not it is over.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn run_named(&self, name: &Name) -> Result<Option<(RunId, Run)>, StoreError> {
        Ok(self.newest(Some(name), 1).await?.pop())
    }

    /// The newest runs, at most `limit`, in the order of submission.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn newest_runs(&self, limit: usize) -> Result<Vec<(RunId, Run)>, StoreError> {
        self.newest(None, limit).await
    }

    async fn newest(&self, name: Option<&Name>, limit: usize) -> Result<Vec<(RunId, Run)>, StoreError> {
        let mut rows = self.store().runs(name, limit).await?;
        if rows.iter().any(|row| row.submitted > self.state().seq()) {
            // The log has gone on meanwhile: as many more are asked for as have come.
            let newer = rows.iter().filter(|row| row.submitted > self.state().seq()).count();
            rows = self.store().runs(name, limit.saturating_add(newer)).await?;
            rows.retain(|row| row.submitted <= self.state().seq());
            rows.truncate(limit);
        }
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            runs.extend(self.run(row.run).await?.map(|run| (row.run, run)));
        }
        Ok(runs)
    }

    /// Runners that cannot be alive any more, at most `limit` of those that ended last, in the order of their ends.
    ///
    /// What is missing or damaged beside the log's snapshots is left out.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn ended_runners(&self, limit: usize) -> Result<Vec<(RunnerId, Runner)>, StoreError> {
        let state = self.state();
        let held = state.stopped.iter().rev().filter_map(|id| Some((*id, state.runners().get(id)?.clone())));
        let recent = self.recent.runners.iter().rev().cloned();
        let mut runners: Vec<_> = held.chain(recent).take(limit).collect();
        if runners.len() < limit {
            let past = self.store().past_runners(STATE_VERSION, limit - runners.len()).await?;
            let known: BTreeSet<_> = runners.iter().map(|(id, _)| *id).collect();
            let kept = past.into_iter().filter(|(id, _)| !known.contains(id));
            runners.extend(kept.filter_map(|(id, bytes)| Some((id, decoded(&bytes)?))));
        }
        runners.reverse();
        Ok(runners)
    }

    /// The run as it was when it left the state.
    async fn fold_again(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let mut state = State::default();
        let end = self.state().seq();
        while state.seq() < end {
            let records = self.store().read(state.seq(), READ_LIMIT).await?;
            if records.is_empty() {
                break;
            }
            for record in records.iter().filter(|record| record.seq <= end) {
                let left = state.apply(record);
                if let Some((_, run)) = left.runs.into_iter().find(|(known, _)| *known == id) {
                    return Ok(Some(run));
                }
            }
        }
        Ok(state.runs().get(&id).cloned())
    }
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}
