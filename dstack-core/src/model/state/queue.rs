//! Waiting workflows that could run now, by shape and in their order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Needs, Seq, WorkflowId};

/// A workflow's place in the queue: priority, then submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    /// Higher priority first.
    pub priority: Reverse<i32>,
    /// The run's first record.
    pub submitted: Seq,
    /// The workflow.
    pub workflow: WorkflowId,
}

/// Waiting workflows whose dependencies have succeeded. Workflows with equal needs are one shape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    shapes: BTreeMap<Needs, BTreeSet<QueueKey>>,
    length: usize,
}

impl Queue {
    /// How many workflows wait for a runner.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether none waits for a runner.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The shapes that wait, each with its workflows in their order.
    pub fn shapes(&self) -> impl Iterator<Item = (&Needs, &BTreeSet<QueueKey>)> {
        self.shapes.iter()
    }

    pub(crate) fn insert(&mut self, needs: &Needs, key: QueueKey) {
        let added = match self.shapes.get_mut(needs) {
            Some(keys) => keys.insert(key),
            None => self.shapes.entry(needs.clone()).or_default().insert(key),
        };
        self.length += usize::from(added);
    }

    pub(crate) fn remove(&mut self, needs: &Needs, key: &QueueKey) {
        if let Some(keys) = self.shapes.get_mut(needs) {
            self.length -= usize::from(keys.remove(key));
            if keys.is_empty() {
                self.shapes.remove(needs);
            }
        }
    }
}
