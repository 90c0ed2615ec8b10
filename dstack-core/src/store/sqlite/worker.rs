//! Who runs a database's operations: a thread of its own, or, for reading only, whoever asks.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::database::Database;
use crate::store::StoreError;

/// Operations that may wait for the thread.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// Runs operations on a database one after the other.
pub(super) enum Worker {
    /// They block the thread; what has been queued is carried out even if nobody waits for the result any more.
    Thread {
        /// Absent only while the worker is dropped.
        jobs: Option<mpsc::Sender<Job>>,
        /// Absent only while the worker is dropped.
        thread: Option<JoinHandle<()>>,
    },
    /// They take a few milliseconds at most, and the command that asks has nothing else to do.
    Here(Box<Mutex<Database>>),
}

impl Worker {
    pub(super) fn thread(mut database: Database) -> Result<Self, StoreError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let run = move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut database);
            }
        };
        let thread = std::thread::Builder::new()
            .name("dstack-log".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::Unreachable(Box::new(error)))?;
        Ok(Self::Thread { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) fn here(database: Database) -> Self {
        Self::Here(Box::new(Mutex::new(database)))
    }

    /// Runs the operation; none when the thread has ended, which only a panic in it can do.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Database) -> T + Send + 'static,
    ) -> Option<T> {
        match self {
            Self::Here(database) => Some(operation(&mut database.lock().unwrap_or_else(PoisonError::into_inner))),
            Self::Thread { jobs, .. } => {
                let (reply, answer) = oneshot::channel();
                let job: Job = Box::new(move |database| {
                    // Whoever asked may be gone. The operation is done all the same.
                    let _ = reply.send(operation(database));
                });
                jobs.as_ref()?.send(job).await.ok()?;
                answer.await.ok()
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Self::Thread { jobs, thread } = self {
            drop(jobs.take());
            if let Some(thread) = thread.take() {
                // A panic in the thread was reported by whoever ran into it.
                let _ = thread.join();
            }
        }
    }
}
