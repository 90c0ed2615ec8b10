//! The store: what async callers see of a log file.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::connection;
use super::database::Database;
use super::wake::{Wake, Waking};
use super::worker::Worker;
use crate::clock::Clock;
use crate::model::{Batch, Name, Record, RunnerId, Seq};
use crate::store::{AppendError, Appended, EventStore, Head, Past, PastId, RunRow, Snapshot, StoreError};

/// The log of a folder, in one SQLite file. Any number of stores in any number of processes of one machine may share it.
pub struct SqliteStore {
    worker: Worker,
    wake: Arc<Wake>,
}

impl SqliteStore {
    /// Opens the log of a folder for a controller, or makes one; others wake it up by a socket.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where a log cannot be kept (a network file system) or is not ours to write.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with(folder, clock, Waking::Socket)
    }

    /// Opens the log of a folder, or makes one, and says how it learns what other processes append.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(folder: &Path, clock: Arc<dyn Clock>, waking: Waking) -> Result<Self, StoreError> {
        let (database, wake) = open(folder, clock, waking)?;
        Ok(Self { worker: Worker::thread(database)?, wake })
    }

    /// The same without a thread: its operations block the caller for as long as they take, an append about as long as the
    /// disk takes to sync. Right for a program with one thread that has nothing else to do meanwhile, as no step of a
    /// controller has.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_inline(folder: &Path, clock: Arc<dyn Clock>, waking: Waking) -> Result<Self, StoreError> {
        let (database, wake) = open(folder, clock, waking)?;
        Ok(Self { worker: Worker::here(database), wake })
    }

    /// Whether it keeps its turn to write, after an append that came too late.
    #[cfg(test)]
    pub(super) fn keeps_turn(&self) -> bool {
        self.worker.inline().is_some_and(|database| database.keeps_turn())
    }

    /// Opens the log of a folder for reading only; nothing when the folder has none. Starts no thread and makes no file;
    /// its operations block the caller for as long as they take.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_read_only(folder: &Path, clock: Arc<dyn Clock>, waking: Waking) -> Result<Option<Self>, StoreError> {
        let wake = Arc::new(Wake::new(folder, waking, clock.entropy()));
        let Some(database) = Database::open_read_only(folder, clock)? else { return Ok(None) };
        connection::close_without_checkpoint(&database.connection)?;
        Ok(Some(Self { worker: Worker::here(database), wake }))
    }

    /// Checks the whole log: the file's structure, each record against the chain, and what is kept beside the records.
    /// Returns the last record that was checked.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the first bad record.
    pub async fn verify(&self) -> Result<Head, StoreError> {
        self.run(Database::verify).await
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let operation = move |database: &mut Database| {
            database.settle_unasked();
            operation(database)
        };
        self.worker.run(operation).await.unwrap_or_else(|| Err(StoreError::Unreachable(ended().into())))
    }

    async fn run_append<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Database) -> Result<T, AppendError> + Send + 'static,
    ) -> Result<T, AppendError> {
        self.worker.run(operation).await.unwrap_or_else(|| Err(AppendError::Unknown(ended().into())))
    }
}

fn open(folder: &Path, clock: Arc<dyn Clock>, waking: Waking) -> Result<(Database, Arc<Wake>), StoreError> {
    let wake = Arc::new(Wake::new(folder, waking, clock.entropy()));
    let mut database = Database::open(folder, clock)?;
    if !matches!(waking, Waking::Socket) {
        connection::close_without_checkpoint(&database.connection)?;
    }
    database.wake = Some(Arc::clone(&wake));
    Ok((database, wake))
}

/// Why there is no answer: the thread ran into a fault of ours.
fn ended() -> std::io::Error {
    std::io::Error::other("the log's thread has ended")
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn head(&self) -> Result<Head, StoreError> {
        self.run(|database| database.head()).await
    }

    async fn append(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        if let Some(mut database) = self.worker.inline() {
            return database.append(expected, batch);
        }
        let batch = batch.clone();
        self.run_append(move |database| database.append(expected, &batch)).await
    }

    async fn append_held(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        if let Some(mut database) = self.worker.inline() {
            return database.append_held(expected, batch);
        }
        let batch = batch.clone();
        self.run_append(move |database| database.append_held(expected, &batch)).await
    }

    async fn settle(&self) -> Result<(), AppendError> {
        self.run_append(Database::settle).await
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        let page = self.run(move |database| database.read(after, limit)).await?;
        Ok(page.decode())
    }

    async fn wait(&self, after: Seq) {
        // Whoever waits tries no append again soon: the turn that was kept for that goes to others.
        if let Some(database) = self.worker.inline() {
            database.give_up_turn();
        }
        // Whoever waits again and again for a log that cannot be read lets others go on in between.
        let Ok(mut changes) = self.wake.subscribe() else { return tokio::task::yield_now().await };
        loop {
            // A log that cannot be read is news too: the caller's next read says so.
            match self.head().await {
                Ok(head) if head.seq <= after => {}
                Ok(_) => return,
                Err(_) => return tokio::task::yield_now().await,
            }
            if changes.changed().await.is_err() {
                return tokio::task::yield_now().await;
            }
        }
    }

    async fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError> {
        self.run(move |database| database.load_snapshot(version)).await
    }

    async fn save_snapshot(&self, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError> {
        let (snapshot, past) = (snapshot.clone(), past.to_vec());
        self.run(move |database| database.save_snapshot(&snapshot, &past)).await
    }

    async fn load_past(&self, version: u32, id: PastId) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(move |database| database.load_past(version, id)).await
    }

    async fn past_runners(&self, version: u32, limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError> {
        self.run(move |database| database.past_runners(version, limit)).await
    }

    async fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        let name = name.cloned();
        self.run(move |database| database.runs(name.as_ref(), limit)).await
    }
}
