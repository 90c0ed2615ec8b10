//! Who runs a database's operations: a thread of its own, or whoever asks.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::database::Database;
use crate::store::StoreError;

/// Operations that may wait for the thread.
const QUEUE_MAX: usize = 64;

/// How long an append that came too late keeps its turn to be tried again: long enough to read what is new and decide.
const RETRY_GRACE: Duration = Duration::from_millis(2);
/// Operations during which the turn is kept at most.
const RETRY_JOBS_MAX: u32 = 8;

pub(super) struct Job {
    act: Box<dyn FnOnce(&mut Database) + Send>,
    /// A place in the queue, free again once the operation is done.
    place: OwnedSemaphorePermit,
}

/// Runs operations on a database one after the other.
pub(super) enum Worker {
    /// They block the thread; what has been queued is carried out even if nobody waits for the result any more.
    Thread {
        /// Absent only while the worker is dropped.
        jobs: Option<Sender<Job>>,
        /// Places in the queue.
        places: Arc<Semaphore>,
        /// Absent only while the worker is dropped.
        thread: Option<JoinHandle<()>>,
    },
    /// They block whoever asks: most take microseconds, and an append about as long as the disk takes to sync.
    Here(Box<Mutex<Database>>),
}

impl Worker {
    pub(super) fn thread(mut database: Database) -> Result<Self, StoreError> {
        let (jobs, queue) = channel::<Job>();
        let run = move || work(&mut database, &queue);
        let thread = std::thread::Builder::new()
            .name("dstack-log".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::Unreachable(Box::new(error)))?;
        Ok(Self::Thread { jobs: Some(jobs), places: Arc::new(Semaphore::new(QUEUE_MAX)), thread: Some(thread) })
    }

    pub(super) fn here(database: Database) -> Self {
        Self::Here(Box::new(Mutex::new(database)))
    }

    /// The database, where whoever asks runs its operations itself.
    pub(super) fn inline(&self) -> Option<MutexGuard<'_, Database>> {
        match self {
            Self::Here(database) => Some(database.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Thread { .. } => None,
        }
    }

    /// Runs the operation; none when the thread has ended, which only a panic in it can do.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Database) -> T + Send + 'static,
    ) -> Option<T> {
        match self {
            Self::Here(database) => Some(operation(&mut database.lock().unwrap_or_else(PoisonError::into_inner))),
            Self::Thread { jobs, places, .. } => {
                let place = Arc::clone(places).acquire_owned().await.ok()?;
                let (reply, answer) = oneshot::channel();
                let act = Box::new(move |database: &mut Database| {
                    // Whoever asked may be gone. The operation is done all the same.
                    let _ = reply.send(operation(database));
                });
                jobs.as_ref()?.send(Job { act, place }).ok()?;
                answer.await.ok()
            }
        }
    }
}

fn work(database: &mut Database, queue: &Receiver<Job>) {
    let mut kept_for = 0;
    loop {
        let job = if (database.keeps_turn() || database.is_holding) && kept_for < RETRY_JOBS_MAX {
            kept_for += 1;
            queue.recv_timeout(RETRY_GRACE)
        } else {
            kept_for = 0;
            database.settle_unasked();
            database.give_up_turn();
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match job {
            Ok(Job { act, place }) => {
                act(database);
                drop(place);
            }
            Err(RecvTimeoutError::Timeout) => {
                database.settle_unasked();
                database.give_up_turn();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Self::Thread { jobs, thread, .. } = self {
            drop(jobs.take());
            if let Some(thread) = thread.take() {
                // A panic in the thread was reported by whoever ran into it.
                let _ = thread.join();
            }
        }
    }
}
