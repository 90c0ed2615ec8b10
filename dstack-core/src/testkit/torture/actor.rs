//! A process of a schedule: a controller, or a user who gives a command.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::process_clock::ProcessClock;
use super::switchboard::{Planned, Switchboard};
use crate::client::{Client, ClientError};
use crate::clock::Boot;
use crate::controller::{Controller, ControllerError};
use crate::store::{AppendError, StoreError};
use tokio::sync::Notify;

/// How a process ended.
pub(super) enum End {
    /// A controller says that nothing is left to do.
    Idle,
    /// It was asked to end, and did.
    Terminated,
    /// It gave up; the name of the error.
    Failed(&'static str),
    /// A user's command was answered.
    Told(Box<Client>, &'static str),
    /// It panicked because it was made to.
    Planned,
    /// It panicked by itself.
    Panicked(String),
}

type Task = Pin<Box<dyn Future<Output = End>>>;

pub(super) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A process: it runs, or will be started again.
pub(super) struct Actor {
    pub(super) clock: Arc<ProcessClock>,
    task: Option<Task>,
    flag: Arc<Flag>,
    waker: Waker,
    stop: Arc<Notify>,
    pub(super) was_asked: bool,
    /// It stands still until then.
    pub(super) paused_until: Option<Boot>,
    /// When it is started; absent while it runs, or when it never will be.
    pub(super) starts_at: Option<Boot>,
}

impl Actor {
    pub(super) fn new(clock: ProcessClock) -> Self {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        Self {
            clock: Arc::new(clock),
            task: None,
            flag,
            waker,
            stop: Arc::new(Notify::new()),
            was_asked: false,
            paused_until: None,
            starts_at: None,
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        self.task.is_some()
    }

    fn run(&mut self, task: impl Future<Output = End> + 'static) {
        self.task = Some(Box::pin(task));
        self.flag.0.store(true, Ordering::SeqCst);
        self.starts_at = None;
        self.paused_until = None;
        self.was_asked = false;
    }

    /// Runs a controller, in the background or until nothing is left to do.
    pub(super) fn run_controller(&mut self, mut controller: Controller, is_background: bool) {
        self.stop = Arc::new(Notify::new());
        let stop = Arc::clone(&self.stop);
        self.run(async move {
            let asked = AtomicBool::new(false);
            let stopped = async {
                stop.notified().await;
                asked.store(true, Ordering::SeqCst);
            };
            let ended =
                if is_background { controller.run(stopped).await } else { controller.run_until_idle_or(stopped).await };
            match ended {
                Ok(()) if asked.load(Ordering::SeqCst) => End::Terminated,
                Ok(()) => End::Idle,
                Err(error) => End::Failed(name_of(&error)),
            }
        });
    }

    /// Runs a user's command.
    pub(super) fn run_command(&mut self, mut client: Client, command: crate::model::Command) {
        self.run(async move {
            let answer = client.command(command).await;
            let name = answer.as_ref().err().map_or("done", client_error);
            End::Told(Box::new(client), name)
        });
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&mut self) {
        self.was_asked = true;
        self.stop.notify_one();
    }

    /// It is gone, with everything that it had under way.
    pub(super) fn kill(&mut self) {
        self.task = None;
        self.paused_until = None;
    }

    /// Goes on if it was woken and does not stand still; says how it ended, if it did.
    pub(super) fn go_on(&mut self, index: usize, board: &Switchboard) -> Option<End> {
        if self.paused_until.is_some() || !self.flag.0.swap(false, Ordering::SeqCst) {
            return None;
        }
        let task = self.task.as_mut()?;
        board.enter(index);
        let mut context = Context::from_waker(&self.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut context)));
        let end = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(end)) => end,
            Err(payload) if payload.is::<Planned>() => End::Planned,
            Err(payload) => {
                let words = payload.downcast_ref::<String>().cloned();
                let words = words.or_else(|| payload.downcast_ref::<&str>().map(|words| (*words).to_owned()));
                End::Panicked(words.unwrap_or_default())
            }
        };
        self.task = None;
        Some(end)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.task.is_some() && self.paused_until.is_none() && self.flag.0.load(Ordering::SeqCst)
    }
}

fn name_of(error: &ControllerError) -> &'static str {
    match error {
        ControllerError::Client(error) => client_error(error),
        ControllerError::Store(error) => store_error(error),
        ControllerError::ReadOnly(_) => "read-only",
    }
}

fn client_error(error: &ClientError) -> &'static str {
    match error {
        ClientError::Rejected(_) => "rejected",
        ClientError::Store(error) => store_error(error),
        ClientError::Append(error) => match error {
            AppendError::Conflict { .. } => "conflict",
            AppendError::Unknown(_) => "unknown",
            AppendError::IdReused(_) => "id reused",
            AppendError::TooLarge => "too large",
            AppendError::Full => "full",
            AppendError::Store(error) => store_error(error),
        },
    }
}

const fn store_error(error: &StoreError) -> &'static str {
    match error {
        StoreError::Corrupt { .. } => "corrupt",
        StoreError::Unusable(_) => "unusable",
        StoreError::Unreachable(_) => "unreachable",
    }
}

/// How processes ended, by name.
pub(super) type Ends = BTreeMap<&'static str, u64>;
