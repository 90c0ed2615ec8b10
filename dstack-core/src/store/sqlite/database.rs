//! An opened log file and what its operations share.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::kinds::Kinds;
use super::turn::TurnLock;
use super::wake::Wake;
use super::{connection, schema};
use crate::clock::Clock;
use crate::store::{AppendError, StoreError};

/// An opened log file. Its operations block; they are in the files named after them.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) kinds: Kinds,
    /// Absent when the file is open for reading only.
    pub(super) turn: Option<TurnLock>,
    /// Told of each commit, once there is one.
    pub(super) wake: Option<Arc<Wake>>,
    /// Appends are in an open transaction.
    pub(super) is_holding: bool,
    /// Why appends that were held are gone, until whoever held them was told.
    pub(super) lost: Option<AppendError>,
}

impl Database {
    fn new(connection: Connection, clock: Arc<dyn Clock>, turn: Option<TurnLock>) -> Self {
        Self { connection, clock, kinds: Kinds::default(), turn, wake: None, is_holding: false, lost: None }
    }

    /// Opens the log of a folder, or makes one.
    pub(super) fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let file = connection::prepare(folder, clock.entropy())?;
        let turn = TurnLock::open(folder)?;
        let connection = {
            // Two processes that turn a new file's journal on at once would fail each other.
            turn.take()?;
            let connection = connection::open_to_write(&file)?;
            if !schema::is_ready(&connection)? {
                schema::create(&connection)?;
            }
            turn.release();
            connection
        };
        Ok(Self::new(connection, clock, Some(turn)))
    }

    /// Opens the log of a folder for reading only; nothing when there is none. No file is made for it.
    pub(super) fn open_read_only(folder: &Path, clock: Arc<dyn Clock>) -> Result<Option<Self>, StoreError> {
        let file = folder.join(connection::FILE);
        if !file.try_exists().map_err(|error| StoreError::Unreachable(Box::new(error)))? {
            return Ok(None);
        }
        super::filesystem::check(folder)?;
        let connection = connection::open_to_read(&file)?;
        if !schema::is_ready(&connection)? {
            return Ok(None);
        }
        Ok(Some(Self::new(connection, clock, None)))
    }

    /// The queue of the writers.
    ///
    /// # Errors
    /// When the log is open for reading only.
    pub(super) fn turn(&self) -> Result<&TurnLock, StoreError> {
        let refused = || StoreError::Unusable("the log was opened for reading only".to_owned());
        self.turn.as_ref().ok_or_else(refused)
    }

    /// Whether a conflict left the turn to this database.
    pub(super) fn keeps_turn(&self) -> bool {
        self.turn.as_ref().is_some_and(TurnLock::is_held)
    }

    /// Lets others write before this database.
    pub(super) fn give_up_turn(&self) {
        if let Some(turn) = &self.turn {
            turn.release();
        }
    }
}
