//! An attempt on a fake runner.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Boot;
use crate::host::{Closing, Progress};
use crate::model::attempt::{STOPPED_CODE, TIMEOUT_CODE};
use crate::model::{Exit, ExitCause, Span};

/// What a job would do if it were left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// How long it runs.
    pub duration: Span,
    /// How it ends then.
    pub exit: Exit,
    /// What it prints, and when after its start; in order of time.
    pub output: Vec<(Span, Vec<u8>)>,
    /// What it writes, and when after its start: a path below the attempt's folder and the content. A path with `/` at its
    /// end is a folder.
    pub files: Vec<(Span, String, Vec<u8>)>,
    /// From when on it does not end when it is asked to.
    pub deaf_from: Option<Span>,
}

impl Simulated {
    /// A job that runs for so long, prints this at its end and exits like this.
    pub fn new(duration: Span, exit: Exit, output: impl Into<Vec<u8>>) -> Self {
        Self { duration, exit, output: vec![(duration, output.into())], files: Vec::new(), deaf_from: None }
    }

    /// With a file that it leaves behind.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((self.duration, path.to_owned(), content.into()));
        self
    }
}

/// The files of a folder by path; a path with `/` at its end is a folder.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Whoever made the lock `begun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Begun,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exited(Exit),
    Lost,
}

/// A command that was started.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) began: Boot,
    pub(super) end: Boot,
    how: End,
    /// All that it would print, with the length that is there from each moment on.
    output: Vec<u8>,
    lengths: Vec<(Boot, usize)>,
    files: Vec<(Boot, String, Vec<u8>)>,
    deaf_from: Option<Boot>,
}

impl Run {
    fn new(plan: Simulated, timeout: Option<Span>, lost_after: Option<Span>, now: Boot) -> Self {
        let at = |span: Span| now.plus(span.to_std());
        let mut output = Vec::new();
        let mut lengths = Vec::new();
        for (moment, bytes) in plan.output {
            output.extend_from_slice(&bytes);
            lengths.push((at(moment), output.len()));
        }
        let (mut end, mut how) = (at(plan.duration), End::Exited(plan.exit));
        if let Some(timeout) = timeout.filter(|timeout| *timeout < plan.duration) {
            end = at(timeout);
            how = End::Exited(Exit { code: TIMEOUT_CODE, cause: ExitCause::Timeout });
        }
        if let Some(lost) = lost_after.map(at).filter(|lost| *lost < end) {
            (end, how) = (lost, End::Lost);
        }
        let files = plan.files.into_iter().map(|(moment, path, content)| (at(moment), path, content)).collect();
        Self { began: now, end, how, output, lengths, files, deaf_from: plan.deaf_from.map(at) }
    }

    fn close(&mut self, closing: Closing, now: Boot) {
        if now >= self.end {
            return;
        }
        match closing {
            Closing::Lost => (self.end, self.how) = (now, End::Lost),
            Closing::Stop { grace } => {
                let is_deaf = self.deaf_from.is_some_and(|from| from <= now);
                let last = if is_deaf { now.plus(grace.to_std()) } else { now };
                self.end = self.end.min(last);
                if self.how != End::Lost || last <= self.end {
                    self.how = End::Exited(Exit { code: STOPPED_CODE, cause: ExitCause::Stopped });
                }
            }
        }
    }

    fn printed(&self, now: Boot) -> &[u8] {
        let until = now.min(self.end);
        let length = self.lengths.iter().take_while(|(moment, _)| *moment <= until).last().map_or(0, |(_, len)| *len);
        &self.output[..length]
    }

    /// The moments at which a poll begins to say something new.
    fn moments(&self) -> impl Iterator<Item = Boot> {
        let printed = self.lengths.iter().map(|(moment, _)| *moment).filter(|moment| *moment < self.end);
        printed.chain([self.end])
    }
}

/// An attempt's folder on a runner.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt {
    pub(super) is_staged: bool,
    pub(super) verdict: Option<Verdict>,
    pub(super) run: Option<Run>,
    is_released: bool,
    /// Whether nothing of what it leaves behind is there any more.
    pub(super) is_taken_away: bool,
    /// Why what it leaves behind cannot be read.
    pub(super) unreadable: Option<String>,
    staged: Files,
}

impl Attempt {
    /// Lays files into the folder, unless it has been decided about.
    pub(super) fn stage(&mut self, files: Files) {
        if self.verdict.is_none() {
            self.is_staged = true;
            self.staged.extend(files);
        }
    }

    pub(super) fn begin(&mut self, plan: Simulated, timeout: Option<Span>, lost_after: Option<Span>, now: Boot) {
        self.verdict = Some(Verdict::Begun);
        self.run = Some(Run::new(plan, timeout, lost_after, now));
    }

    pub(super) fn close(&mut self, closing: Closing, now: Boot) {
        self.verdict.get_or_insert(Verdict::Closed);
        if let Some(run) = &mut self.run {
            run.close(closing, now);
        }
    }

    pub(super) fn release(&mut self) {
        self.is_released = true;
        self.staged.clear();
    }

    /// Whether its folder is no longer there.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_released || self.is_taken_away
    }

    pub(super) fn lose_process(&mut self, now: Boot) {
        if let Some(run) = self.run.as_mut().filter(|run| now < run.end) {
            (run.end, run.how) = (now, End::Lost);
        }
    }

    /// The machine was rebooted at that moment: what ran then is gone, and left no exit record.
    pub(super) fn reboot(&mut self, at: Boot) {
        if let Some(run) = self.run.as_mut().filter(|run| run.began <= at && at < run.end) {
            (run.end, run.how) = (at, End::Lost);
        }
    }

    pub(super) fn progress(&self, now: Boot) -> Progress {
        match (&self.run, self.verdict) {
            (Some(run), _) if now < run.end => Progress::Running,
            (Some(run), _) => match run.how {
                End::Exited(exit) => Progress::Exited(exit),
                End::Lost => Progress::Lost,
            },
            (None, Some(Verdict::Closed)) => Progress::NeverBegun,
            (None, Some(Verdict::Begun)) => Progress::Lost,
            (None, None) => Progress::Staged,
        }
    }

    /// Its folder vanishes, and what ran with it: its supervisor cannot go on. What had ended stays told, without its files.
    pub(super) fn wipe(&mut self, now: Boot) {
        self.release();
        if let Some(run) = self.run.as_mut().filter(|run| now < run.end) {
            (run.end, run.how) = (now, End::Lost);
        }
    }

    /// What it has printed, whether or not it is still there.
    pub(super) fn all_printed(&self, now: Boot) -> &[u8] {
        self.run.as_ref().map_or(&[], |run| run.printed(now))
    }

    pub(super) fn printed(&self, now: Boot) -> &[u8] {
        self.run.as_ref().filter(|_| !self.is_released).map_or(&[], |run| run.printed(now))
    }

    /// What is in the folder now.
    pub(super) fn files(&self, now: Boot) -> Files {
        let mut files = self.staged.clone();
        if let Some(run) = self.run.as_ref().filter(|_| !self.is_released) {
            let until = now.min(run.end);
            let written = run.files.iter().filter(|(moment, ..)| *moment <= until);
            files.extend(written.map(|(_, path, content)| (path.clone(), content.clone())));
        }
        files
    }

    /// Whether something new could be said between these moments, the first excluded.
    pub(super) fn has_news(&self, after: Boot, until: Boot) -> bool {
        self.run.as_ref().is_some_and(|run| run.moments().any(|moment| after < moment && moment <= until))
    }

    pub(super) fn next_news(&self, after: Boot) -> Option<Boot> {
        self.run.as_ref().and_then(|run| run.moments().filter(|moment| after < *moment).min())
    }

    /// Length of the run's life on the machine, which may have ended before.
    pub(super) fn ran_until(&self, machine_until: Option<Boot>, now: Boot) -> Option<Boot> {
        let end = self.run.as_ref().map_or(Boot(Duration::ZERO), |run| run.end);
        machine_until.into_iter().chain([end]).min().filter(|end| *end <= now)
    }
}
