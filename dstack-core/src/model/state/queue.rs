//! Waiting workflows that could run now, by shape and in their order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::sync::Arc;

use super::room::Used;
use crate::model::{Needs, Seq, WorkflowId};

/// So often may a workflow that is the first of its shape be overtaken before a runner is kept for it.
pub const MAX_OVERTAKINGS: u32 = 16;

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

/// Which rules an empty machine of would meet some needs: a bit for each rule, in the order of their keys.
pub type Fits = Arc<[u64]>;

/// A shape: equal needs of waiting workflows, and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The needs.
    pub needs: Arc<Needs>,
    /// What they take of a runner.
    pub used: Used,
    /// The rules that could ever start a runner for them.
    pub fits: Fits,
}

/// Workflows of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    shape: Arc<Shape>,
    keys: BTreeSet<QueueKey>,
}

/// The first of its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its shape.
    pub shape: Arc<Shape>,
    /// How often it was overtaken since it was the first.
    pub overtaken: u32,
}

/// Waiting workflows whose dependencies have succeeded. Workflows with equal needs are one shape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    lines: BTreeMap<Arc<Needs>, Line>,
    /// The first of each shape.
    heads: BTreeMap<QueueKey, Head>,
    /// Those of them that may still be overtaken.
    patient: BTreeSet<QueueKey>,
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
        self.lines.iter().map(|(needs, line)| (&**needs, &line.keys))
    }

    /// The first of each shape, in the order of the queue.
    pub fn heads(&self) -> impl Iterator<Item = (&QueueKey, &Head)> {
        self.heads.iter()
    }

    /// Those of a shape that come after its first.
    pub(crate) fn behind_first(&self, shape: &Shape) -> btree_set::Iter<'_, QueueKey> {
        let mut keys = self.lines.get(&shape.needs).map_or_else(btree_set::Iter::default, |line| line.keys.iter());
        keys.next();
        keys
    }

    /// Puts a workflow in. `overtaken` says how often any one was overtaken, `fits` what rules fit a new shape.
    pub(crate) fn insert(&mut self, needs: &Needs, key: QueueKey, overtaken: u32, fits: impl FnOnce() -> Fits) {
        let line = match self.lines.get_mut(needs) {
            Some(line) => line,
            None => {
                let needs = Arc::new(needs.clone());
                let shape = Shape { used: Used::by(&needs), fits: fits(), needs: Arc::clone(&needs) };
                self.lines.entry(needs).or_insert_with(|| Line { shape: Arc::new(shape), keys: BTreeSet::new() })
            }
        };
        let first = line.keys.first().copied();
        if !line.keys.insert(key) {
            return;
        }
        self.length += 1;
        if first.is_none_or(|first| key < first) {
            let shape = Arc::clone(&line.shape);
            if let Some(first) = first {
                self.heads.remove(&first);
                self.patient.remove(&first);
            }
            self.lead(key, shape, overtaken);
        }
    }

    /// Takes a workflow out. `overtaken` says how often the one that is the first of its shape then was overtaken.
    pub(crate) fn remove(&mut self, needs: &Needs, key: &QueueKey, overtaken: impl FnOnce(WorkflowId) -> u32) {
        let Some(line) = self.lines.get_mut(needs) else { return };
        if !line.keys.remove(key) {
            return;
        }
        self.length -= 1;
        let next = line.keys.first().copied();
        let shape = Arc::clone(&line.shape);
        if next.is_none() {
            self.lines.remove(needs);
        }
        if self.heads.remove(key).is_some() {
            self.patient.remove(key);
            if let Some(next) = next {
                self.lead(next, shape, overtaken(next.workflow));
            }
        }
    }

    fn lead(&mut self, key: QueueKey, shape: Arc<Shape>, overtaken: u32) {
        self.heads.insert(key, Head { shape, overtaken });
        if overtaken < MAX_OVERTAKINGS {
            self.patient.insert(key);
        }
    }

    /// The workflow with this key is assigned: those that come before it and wait were overtaken. Returns them.
    ///
    /// Each is met at most [`MAX_OVERTAKINGS`] times in all.
    pub(crate) fn overtake(&mut self, key: &QueueKey) -> Vec<WorkflowId> {
        let mut overtaken = Vec::new();
        let mut impatient = Vec::new();
        for before in self.patient.range(..key) {
            overtaken.push(before.workflow);
            if let Some(head) = self.heads.get_mut(before) {
                head.overtaken += 1;
                if head.overtaken >= MAX_OVERTAKINGS {
                    impatient.push(*before);
                }
            }
        }
        for key in impatient {
            self.patient.remove(&key);
        }
        overtaken
    }

    /// The rules have changed: what fits is found anew.
    pub(crate) fn refit(&mut self, fits: impl Fn(&Needs) -> Fits) {
        for line in self.lines.values_mut() {
            let shape = Shape { fits: fits(&line.shape.needs), ..(*line.shape).clone() };
            line.shape = Arc::new(shape);
            if let Some(head) = line.keys.first().and_then(|first| self.heads.get_mut(first)) {
                head.shape = Arc::clone(&line.shape);
            }
        }
    }
}
