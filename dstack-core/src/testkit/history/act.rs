//! What may happen next in a history. Numbers pick among what there is at the moment; too large ones wrap around.

use crate::model::{Retry, Span};

/// One workflow of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Picks among [`shapes`](crate::testkit::samples::shapes).
    pub shape: usize,
    /// Bit `n` makes it depend on the workflow `n + 1` places before it.
    pub depends_on: u8,
    /// Its priority.
    pub priority: i32,
    /// Whether a failure is tried again.
    pub retry: Option<Retry>,
}

/// What the cloud makes of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// A machine.
    Fine,
    /// None there; in this zone, or in all.
    NoCapacity(bool),
    /// The account has too many.
    Quota,
    /// The account may not.
    Denied,
    /// Too many calls.
    Throttled,
    /// The keys have run out.
    Credentials,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A user allows one of the [`offerings`](crate::testkit::samples::offerings).
    Allow(usize, u32),
    /// The same, with a number of runners that are kept alive.
    KeepWarm(usize, u32, u32),
    /// The catalogue has all offerings at this percentage of their first prices.
    Price(u64),
    /// What a running attempt has made is saved.
    Save(usize),
    /// A user removes a rule.
    Remove(usize),
    /// A user enables autoscaling.
    Enable,
    /// A user disables autoscaling.
    Disable,
    /// A user sets the idle timeout in seconds, and how many losses are borne.
    Set(u64, u32),
    /// A user submits workflows.
    Submit(Vec<Job>),
    /// A user stops a run, or one workflow of it.
    Stop(usize, Option<usize>, bool),
    /// A user stops a runner.
    StopRunner(usize),
    /// A controller plans.
    Plan(usize),
    /// A controller sends a launch that it owes.
    Send(usize),
    /// A launch that was sent reaches the cloud.
    Land(usize, Luck),
    /// A launch that is owed is sent, lands and is answered.
    Try(Luck),
    /// The cloud's answer to a launch comes back.
    Answer(usize),
    /// The answer to a launch is lost: its sender knows nothing.
    LoseAnswer(usize),
    /// Somebody tries to close a claim.
    CloseClaim(usize),
    /// A look begins; bits hide machines that are young enough, or over.
    Look(usize, u8),
    /// The look that was begun first is taken in.
    Looked,
    /// A machine goes on: from pending to running, from shutting down to its end.
    Go(usize),
    /// A launched runner answers.
    Greet(usize),
    /// The cloud announces that it takes a machine.
    Notice(usize),
    /// The cloud takes a machine.
    Kill(usize),
    /// A controller asks for the end of a machine that it owes.
    Terminate(usize),
    /// A command ends with this code.
    Exit(usize, u8),
    /// Results are home; or declared ones were not there.
    Keep(usize, bool),
    /// A command ends with this code, and there is nothing to bring home.
    Finish(usize, u8),
    /// An attempt is lost.
    Lose(usize),
    /// A controller process dies and another begins.
    Crash(usize),
    /// All launches that are owed go through, and all machines come up and answer.
    Launches,
    /// All ends that are owed are asked for and come, and are seen by complete looks.
    Ends,
    /// Time passes.
    Pass(Span),
}
