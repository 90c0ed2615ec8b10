//! Appending: all of a batch in one transaction, or nothing.

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::connection::unreachable;
use super::database::Database;
use super::head::{newest, number_of, seq_of};
use super::kinds::Kinds;
use crate::model::{At, Batch, Encoded, Event, RecordHash, Seq};
use crate::store::{AppendError, Appended, Head, StoreError};

/// First records of appends whose id begins alike.
const SIMILAR: &str = "SELECT seq, append, at FROM record WHERE append IS NOT NULL AND substr(append, 1, 4) = ?1";
const INSERT: &str = "INSERT INTO record (seq, kind, idx, append, at, json, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

impl Database {
    /// Appends the batch right after `expected`. One sync of the disk if it succeeds, none otherwise.
    ///
    /// After a conflict the turn is kept: call [`Database::give_up_turn`] if the append is not tried again soon.
    pub(super) fn append(&mut self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        let appended = self.append_held(expected, batch)?;
        self.settle()?;
        Ok(appended)
    }

    /// The same without the commit, which comes with the next append or with [`Database::settle`].
    pub(super) fn append_held(&mut self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.tell_of_loss()?;
        if batch.events.is_empty() || !batch.is_within_bounds() {
            self.settle()?;
            return Err(AppendError::TooLarge);
        }
        let is_first = !self.is_holding;
        if is_first {
            self.turn()?.take()?;
            if let Err(error) = self.execute("BEGIN IMMEDIATE") {
                self.give_up_turn();
                return Err(nothing_appended(error));
            }
        }
        match self.append_in_turn(expected, batch) {
            Ok(appended) => {
                self.is_holding = true;
                Ok(appended)
            }
            Err(error @ AppendError::Conflict { .. }) => {
                if is_first {
                    // Nothing was written.
                    self.execute("ROLLBACK").map_err(nothing_appended)?;
                } else {
                    self.settle()?;
                }
                Err(error)
            }
            Err(error) => {
                self.roll_back();
                self.give_up_turn();
                Err(error)
            }
        }
    }

    /// Commits what is held, if anything is.
    pub(super) fn settle(&mut self) -> Result<(), AppendError> {
        self.tell_of_loss()?;
        if !self.is_holding {
            return Ok(());
        }
        let committed = self.execute("COMMIT");
        self.is_holding = false;
        self.give_up_turn();
        match committed {
            Ok(()) => {
                if let Some(wake) = &self.wake {
                    wake.appended();
                }
                Ok(())
            }
            Err(error) => {
                self.roll_back();
                Err(if is_full(&error) { AppendError::Full } else { AppendError::Unknown(Box::new(error)) })
            }
        }
    }

    /// Commits what is held because something else is to be done first. Whoever held it learns of a failure from its next
    /// append.
    pub(super) fn settle_unasked(&mut self) {
        if self.is_holding
            && let Err(error) = self.settle()
        {
            self.lost = Some(error);
        }
    }

    fn tell_of_loss(&mut self) -> Result<(), AppendError> {
        self.lost.take().map_or(Ok(()), |error| Err(AppendError::Unknown(Box::new(error))))
    }

    fn roll_back(&mut self) {
        self.is_holding = false;
        self.kinds.forget();
        if !self.connection.is_autocommit() {
            // What cannot be rolled back goes with the connection.
            let _ = self.execute("ROLLBACK");
        }
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    fn append_in_turn(&mut self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        if let Some(known) = recognise(&self.connection, batch)? {
            return Ok(known);
        }
        let head = newest(&self.connection, &*self.clock)?;
        if head.seq != expected {
            return Err(AppendError::Conflict { head });
        }
        // The next writer may queue up while this one writes.
        self.give_up_turn();
        insert_all(&self.connection, &mut self.kinds, head, batch).map_err(nothing_appended)
    }
}

/// The append with the batch's id, if there is one: it must hold the same bytes, which its hashes prove.
fn recognise(connection: &Connection, batch: &Batch) -> Result<Option<Appended>, AppendError> {
    let id = batch.append.as_bytes();
    let Some((first, at)) = find(connection, id).map_err(unreachable)? else { return Ok(None) };
    let reused = || AppendError::IdReused(batch.append);
    let before = Seq::new(first.get().saturating_sub(1));
    let mut hash = hash_at(connection, before)?.ok_or_else(reused)?;
    let mut seq = before;
    for (index, event) in (0..).zip(&batch.events) {
        seq = seq.next();
        hash = hash.next(seq, at, batch.append, index, event);
    }
    let continues = connection
        .prepare_cached("SELECT 1 FROM record WHERE seq = ?1 AND append IS NULL")
        .and_then(|mut statement| statement.exists([number_of(seq.next())]))
        .map_err(unreachable)?;
    if continues || hash_at(connection, seq)? != Some(hash) {
        return Err(reused());
    }
    Ok(Some(Appended { first, head: Head { seq, hash, now: at } }))
}

fn find(connection: &Connection, id: &[u8; 16]) -> rusqlite::Result<Option<(Seq, At)>> {
    let mut statement = connection.prepare_cached(SIMILAR)?;
    let mut rows = statement.query([&id[..4]])?;
    while let Some(row) = rows.next()? {
        if row.get_ref(1)?.as_blob() == Ok(id) {
            return Ok(Some((seq_of(row.get(0)?), At::from_micros(row.get(2)?))));
        }
    }
    Ok(None)
}

/// The stored hash of a record; none when there is no such record or its hash is none.
pub(super) fn hash_at(connection: &Connection, seq: Seq) -> Result<Option<RecordHash>, StoreError> {
    if seq == Seq::START {
        return Ok(Some(RecordHash::START));
    }
    let find = || {
        let mut statement = connection.prepare_cached("SELECT hash FROM record WHERE seq = ?1")?;
        statement.query_row([number_of(seq)], |row| Ok(row.get_ref(0)?.as_blob().ok().map(<[u8]>::to_vec))).optional()
    };
    let bytes = find().map_err(unreachable)?.flatten();
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(RecordHash))
}

fn insert_all(connection: &Connection, kinds: &mut Kinds, before: Head, batch: &Batch) -> rusqlite::Result<Appended> {
    let mut insert = connection.prepare_cached(INSERT)?;
    let (mut seq, mut hash) = (before.seq, before.hash);
    let (mut id, mut at) = (Some(batch.append.as_bytes().as_slice()), Some(before.now.as_micros()));
    for (index, event) in (0..).zip(&batch.events) {
        seq = seq.next();
        hash = hash.next(seq, before.now, batch.append, index, event);
        let kind = kinds.id(connection, &event.kind, event.version)?;
        insert.execute(params![number_of(seq), kind, index, id.take(), at.take(), event.json, hash.0.as_slice()])?;
        insert_derived(connection, seq, event)?;
    }
    Ok(Appended { first: before.seq.next(), head: Head { seq, hash, now: before.now } })
}

/// Keeps beside the record what is looked for without reading the log.
fn insert_derived(connection: &Connection, seq: Seq, event: &Encoded) -> rusqlite::Result<()> {
    if !matches!(&*event.kind, "ClockStepped" | "RunSubmitted") {
        return Ok(());
    }
    match Event::decode(&event.kind, event.version, &event.json) {
        Ok(Event::ClockStepped(step)) => connection
            .prepare_cached("INSERT INTO step (seq, offset_us) VALUES (?1, ?2)")?
            .execute(params![number_of(seq), step.offset_us])
            .map(|_| ()),
        Ok(Event::RunSubmitted(run)) => connection
            .prepare_cached("INSERT INTO run (seq, id, name) VALUES (?1, ?2, ?3)")?
            .execute(params![number_of(seq), run.run.to_bits().cast_signed(), run.name.as_str()])
            .map(|_| ()),
        _ => Ok(()),
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// What an error before the commit means.
fn nothing_appended(error: rusqlite::Error) -> AppendError {
    if is_full(&error) { AppendError::Full } else { unreachable(error).into() }
}
