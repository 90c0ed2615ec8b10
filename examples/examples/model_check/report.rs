//! What the search of a configuration has shown.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use stateright::{Checker, HasDiscoveries, Model};

use super::model::Protocol;
use super::reached::{Reached, SIGNS};
use super::setup::Setup;

/// How often it is looked whether a search has ended.
const GLANCE: Duration = Duration::from_millis(10);
/// Between two words about how far a search is.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// What a configuration broke.
#[derive(Debug, Serialize)]
pub(crate) struct Violation {
    /// The law.
    pub(crate) law: &'static str,
    /// What happened, in order.
    pub(crate) acts: Vec<String>,
}

/// One configuration, searched.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// The configuration.
    pub(crate) name: &'static str,
    /// States that differ.
    pub(crate) states: usize,
    /// Whether every state that can be reached was searched.
    pub(crate) exhausted: bool,
    /// The law that does not hold, if one does not.
    pub(crate) violation: Option<Violation>,
    /// Whether a rule of the protocol is left out, so that a law must break.
    pub(crate) must_fail: bool,
    /// States met, each as often as it was.
    pub(crate) met: usize,
    /// Seconds that it took.
    pub(crate) seconds: f64,
    /// What its states have shown.
    pub(crate) reached: Vec<&'static str>,
}

/// All configurations.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Each that was searched.
    pub(crate) configurations: Vec<Checked>,
}

/// Searches a configuration: to its end, or, where a law must break, until one does. `progress` hears how many states it has
/// met, now and then.
pub(crate) fn check(setup: Setup, threads: usize, progress: impl Fn(usize)) -> Checked {
    let began = Instant::now();
    let reached = Arc::new(Reached::default());
    let (name, must_fail) = (setup.name, setup.plant.is_some());
    let builder = Protocol { setup, reached: Arc::clone(&reached) }.checker().finish_when(HasDiscoveries::AnyFailures);
    // Breadth first, on one thread, the first violation is one of the shortest. Depth first keeps few states at a time.
    let found = if must_fail {
        finish(builder.threads(1).spawn_bfs(), progress)
    } else {
        finish(builder.threads(threads).spawn_dfs(), progress)
    };
    let Found { states, met, is_done, violation } = found;
    Checked {
        name,
        states,
        // There is no time limit, no target and no bound on the depth: without a violation only the end stops the search.
        exhausted: violation.is_none() && is_done,
        violation,
        must_fail,
        met,
        seconds: (began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        reached: reached.names(),
    }
}

struct Found {
    states: usize,
    met: usize,
    is_done: bool,
    violation: Option<Violation>,
}

/// Waits for the end of a search.
fn finish(checker: impl Checker<Protocol>, progress: impl Fn(usize)) -> Found {
    let mut told = Instant::now();
    while !checker.is_done() {
        thread::sleep(GLANCE);
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            progress(checker.unique_state_count());
        }
    }
    let checker = checker.join();
    let found = checker.discoveries().into_iter().min_by_key(|(law, path)| (path.clone().into_actions().len(), *law));
    let violation = found
        .map(|(law, path)| Violation { law, acts: path.into_actions().iter().map(|act| format!("{act:?}")).collect() });
    Found { states: checker.unique_state_count(), met: checker.state_count(), is_done: checker.is_done(), violation }
}

impl Checked {
    /// Whether it is as it must be.
    pub(crate) fn is_right(&self) -> bool {
        if self.must_fail { self.violation.is_some() } else { self.violation.is_none() && self.exhausted }
    }
}

impl Report {
    /// States of the configurations that were searched to their end.
    pub(crate) fn exhausted_states(&self) -> usize {
        self.configurations.iter().filter(|checked| checked.exhausted).map(|checked| checked.states).sum()
    }

    /// Signs that no exhausted configuration has shown.
    pub(crate) fn unreached(&self) -> Vec<&'static str> {
        let whole = self.configurations.iter().filter(|checked| checked.exhausted);
        let reached: BTreeSet<_> = whole.flat_map(|checked| &checked.reached).copied().collect();
        SIGNS.iter().map(|(name, _)| *name).filter(|name| !reached.contains(name)).collect()
    }

    /// Whether all is as it must be; of a whole run also that nothing that should have been met was missed.
    pub(crate) fn is_right(&self, is_whole: bool) -> bool {
        !self.configurations.is_empty()
            && self.configurations.iter().all(Checked::is_right)
            && (!is_whole || self.unreached().is_empty())
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, states, seconds, .. } = self;
        let verdict = if self.is_right() { "ok" } else { "WRONG" };
        write!(formatter, "{verdict}: {name}: {states} states, {seconds} s")?;
        match &self.violation {
            Some(Violation { law, acts }) => write!(formatter, "; breaks \"{law}\" after {} acts", acts.len()),
            None if self.exhausted => write!(formatter, "; exhausted, no violation"),
            None => write!(formatter, "; NOT exhausted"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} states exhausted", self.exhausted_states())?;
        for name in self.unreached() {
            write!(formatter, "\nnot met: {name}")?;
        }
        Ok(())
    }
}
