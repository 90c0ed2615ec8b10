//! Following a run: its output as it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dstack_core::Client;
use dstack_core::blob::OutputStore;
use dstack_core::model::state::{Phase, Run};
use dstack_core::model::{At, AttemptId, Record, RunId, WorkflowId};
use dstack_core::secret::{Secret, SecretFile};

use crate::app::{App, Terminal};
use crate::failure::Failure;
use crate::live::Live;
use crate::view::{Form, OutputView};

/// Bytes that are read at once.
const READ_LIMIT: usize = 256 * 1024;

/// How far a workflow's output has been shown.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    attempt: u32,
    offset: u64,
}

/// A run whose output is shown as it comes.
pub(crate) struct Follow {
    outputs: Arc<dyn OutputStore>,
    run: RunId,
    only: Option<u32>,
    view: OutputView,
    secrets: SecretFile,
    /// Values that are masked by now.
    masked: Vec<Secret>,
    pub(crate) live: Live,
    cursors: BTreeMap<u32, Cursor>,
    ended: BTreeSet<u32>,
    /// Attempts that were over before are left out.
    skipped: BTreeSet<AttemptId>,
    /// Output that had come by then is left out, to within the period in which that is noted.
    since: Option<At>,
}

/// How the output of so many workflows is shown.
pub(crate) const fn form(terminal: Terminal, workflows: usize, is_raw: bool) -> Form {
    match (is_raw, terminal.stdout) {
        (true, _) => Form::Raw,
        (false, true) => Form::Terminal { prefix: workflows > 1, color: terminal.color },
        (false, false) if workflows > 1 => Form::Prefixed,
        (false, false) => Form::Raw,
    }
}

impl Follow {
    /// Follows a run, or one workflow of it, from the beginning.
    ///
    /// # Errors
    /// When there is no way to the output.
    pub(crate) async fn new(app: &App, id: RunId, run: &Run, only: Option<u32>, is_raw: bool) -> Result<Self, Failure> {
        let count = if only.is_some() { 1 } else { run.workflows.len() };
        let names = run.workflows.iter().map(|workflow| workflow.spec.name.as_str());
        Ok(Self {
            outputs: app.stores().await?.1,
            run: id,
            only,
            view: OutputView::new(form(app.terminal, count, is_raw), names),
            secrets: app.home.secrets(),
            masked: Vec::new(),
            live: Live::new(app.terminal.stderr, app.terminal.width),
            cursors: BTreeMap::new(),
            ended: BTreeSet::new(),
            skipped: BTreeSet::new(),
            since: None,
        })
    }

    /// Leaves out what had come by this moment.
    pub(crate) fn since(&mut self, at: At) {
        self.since = Some(at);
    }

    /// Leaves these attempts out.
    pub(crate) fn skip(&mut self, attempts: impl IntoIterator<Item = AttemptId>) {
        self.skipped.extend(attempts);
    }

    /// Whether the workflow at this place is shown.
    pub(crate) fn includes(&self, index: u32) -> bool {
        self.only.is_none_or(|only| only == index)
    }

    /// Shows what has been printed since. What was printed by an attempt that is over by `run` is shown to its end.
    pub(crate) async fn pump(&mut self, run: &Run) -> Result<(), Failure> {
        for (index, workflow) in (0..).zip(&run.workflows) {
            if workflow.attempt == 0 || !self.includes(index) || self.ended.contains(&index) {
                continue;
            }
            let mut cursor = self.cursors.get(&index).copied().unwrap_or(Cursor { attempt: 1, offset: 0 });
            loop {
                let id = WorkflowId { run: self.run, index };
                self.drain(AttemptId { workflow: id, number: cursor.attempt }, &mut cursor.offset).await?;
                if cursor.attempt >= workflow.attempt {
                    break;
                }
                self.end(index)?;
                cursor = Cursor { attempt: cursor.attempt + 1, offset: 0 };
            }
            self.cursors.insert(index, cursor);
            if matches!(workflow.phase, Phase::Over(_)) {
                self.end(index)?;
                self.ended.insert(index);
            }
        }
        Ok(())
    }

    async fn drain(&mut self, attempt: AttemptId, offset: &mut u64) -> Result<(), Failure> {
        if self.skipped.contains(&attempt) {
            return Ok(());
        }
        if let (0, Some(since)) = (*offset, self.since) {
            *offset = self.outputs.length_at(attempt, since).await?;
        }
        loop {
            let bytes = self.outputs.read(attempt, *offset, READ_LIMIT).await?;
            if bytes.is_empty() {
                return Ok(());
            }
            *offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.mask()?;
            let shown = self.view.push(attempt.workflow.index, &bytes);
            self.live.results(&shown)?;
        }
    }

    /// Masks what is secret by now. Values may have come since: what was printed is read before they are, so each that is
    /// in it is known.
    fn mask(&mut self) -> Result<(), Failure> {
        let secrets = self.secrets.values()?;
        let is_same = |(one, other): (&Secret, &Secret)| one.expose() == other.expose();
        if secrets.len() != self.masked.len() || !secrets.iter().zip(&self.masked).all(is_same) {
            self.masked.clone_from(&secrets);
            self.view.mask(secrets);
        }
        Ok(())
    }

    fn end(&mut self, index: u32) -> Result<(), Failure> {
        let bytes = self.view.end(index);
        self.live.results(&bytes)
    }

    /// Shows what is not complete yet, where nobody waits for its end.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.live.clear();
        let begun: Vec<u32> = self.cursors.keys().copied().collect();
        begun.into_iter().try_for_each(|index| self.end(index))
    }

    /// Lines that are not complete yet.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        self.view.unfinished()
    }
}

/// The run as the log has it now.
pub(crate) async fn current(client: &mut Client, id: RunId, known: &mut Run) -> Result<At, Failure> {
    current_with(client, id, known, |_| {}).await
}

/// The run as the log has it now, with each record that is new.
pub(crate) async fn current_with(
    client: &mut Client,
    id: RunId,
    known: &mut Run,
    show: impl FnMut(&Record),
) -> Result<At, Failure> {
    let head = client.refresh_with(show).await?;
    if let Some(run) = client.state().runs().get(&id) {
        known.clone_from(run);
    } else if let Some(run) = client.run(id).await? {
        *known = run;
    }
    Ok(head.now)
}
