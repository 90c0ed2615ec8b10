//! Whatever is changed in a log's file is found, and the first bad record named.

use std::path::Path;

use proptest::prelude::*;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{open_read_only, small_log};
use crate::model::Seq;
use crate::store::StoreError;
use crate::store::sqlite::database::Database;

/// A small log and a connection that changes it behind the store's back.
fn log_to_damage() -> (TempDir, Connection) {
    let home = TempDir::new().expect("a folder can be made");
    drop(small_log(home.path()));
    let connection = Connection::open(home.path().join("log.db")).expect("it opens");
    connection.pragma_update(None, "synchronous", "OFF").expect("it is a test");
    (home, connection)
}

/// What a full read and a read after each record say.
fn first_bad(database: &mut Database) -> Option<Seq> {
    let mut answers = (0..5).map(|after| match database.read(Seq::new(after), 1_000) {
        Ok(_) => None,
        Err(StoreError::Corrupt { seq, .. }) => Some(seq),
        Err(other) => panic!("expected Corrupt, got {other}"),
    });
    let first = answers.next().expect("five answers");
    for later in answers {
        assert!(later.is_none() || later == first, "a read from {first:?} on names {later:?}");
    }
    first
}

fn flipped(value: &Value, bit: usize) -> Value {
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    match value {
        Value::Integer(number) => Value::Integer(number ^ (1 << bit)),
        Value::Blob(bytes) => Value::Blob(flip(bytes)),
        Value::Text(text) => Value::Blob(flip(text.as_bytes())),
        Value::Null | Value::Real(_) => panic!("no column holds {value:?}"),
    }
}

fn bits(value: &Value) -> usize {
    match value {
        Value::Integer(_) => 64,
        Value::Blob(bytes) => bytes.len() * 8,
        Value::Text(text) => text.len() * 8,
        Value::Null | Value::Real(_) => 0,
    }
}

#[test]
fn every_flipped_bit_of_every_record_is_found_and_named() {
    let (home, connection) = log_to_damage();
    let mut reader = open_read_only(home.path());
    let mut flips = 0;
    for seq in 1..=5_i64 {
        for column in ["kind", "idx", "append", "at", "json", "hash"] {
            let select = format!("SELECT {column} FROM record WHERE seq = ?1");
            let update = format!("UPDATE record SET {column} = ?2 WHERE seq = ?1");
            let value: Value = connection.query_row(&select, [seq], |row| row.get(0)).expect("there is a row");
            let set = |value: &Value| connection.execute(&update, params![seq, value]).expect("it can be changed");
            for bit in 0..bits(&value) {
                set(&flipped(&value, bit));
                let bad = first_bad(&mut reader);
                assert_eq!(bad, Some(Seq::new(seq.cast_unsigned())), "bit {bit} of {column} of record {seq}");
                flips += 1;
            }
            set(&value);
        }
    }
    assert!(flips > 2_800, "only {flips} bits were tried");
    assert_eq!(first_bad(&mut reader), None);
}

#[test]
fn a_column_that_is_filled_or_emptied_is_found_and_named() {
    let changes = [
        (1, "append = NULL, at = NULL"),
        (1, "append = NULL"),
        (4, "append = NULL, at = NULL"),
        (4, "at = NULL"),
        (4, "append = NULL, at = NULL, idx = 3"),
        (2, "append = zeroblob(16)"),
        (2, "at = 0"),
        (2, "append = zeroblob(16), at = 0, idx = 0"),
        (3, "append = zeroblob(16), at = 0"),
        (5, "json = x''"),
        (5, "hash = x''"),
        (5, "hash = zeroblob(33)"),
    ];
    for (seq, change) in changes {
        let (home, connection) = log_to_damage();
        connection.execute_batch(&format!("UPDATE record SET {change} WHERE seq = {seq}")).expect("it can be changed");
        let bad = first_bad(&mut open_read_only(home.path()));
        assert_eq!(bad, Some(Seq::new(seq)), "{change} of record {seq}");
    }
}

#[test]
fn a_record_that_was_moved_taken_away_swapped_or_put_in_is_found_and_named() {
    let swap = |a: i64, b: i64| {
        format!(
            "UPDATE record SET seq = -1 WHERE seq = {a}; UPDATE record SET seq = {a} WHERE seq = {b};
             UPDATE record SET seq = {b} WHERE seq = -1;"
        )
    };
    let changes = [
        ("DELETE FROM record WHERE seq = 1".to_owned(), 1),
        ("DELETE FROM record WHERE seq = 2".to_owned(), 2),
        ("DELETE FROM record WHERE seq = 4".to_owned(), 4),
        ("DELETE FROM record WHERE seq < 4".to_owned(), 1),
        (swap(1, 2), 1),
        (swap(2, 5), 2),
        (swap(3, 4), 3),
        (swap(4, 5), 4),
        ("UPDATE record SET seq = seq + 1 WHERE seq = 5".to_owned(), 5),
        ("UPDATE record SET seq = 1 << 62 WHERE seq = 3".to_owned(), 3),
        ("UPDATE record SET seq = -3 WHERE seq = 3".to_owned(), 3),
        ("INSERT INTO record SELECT 6, kind, idx, append, at, json, hash FROM record WHERE seq = 4".to_owned(), 6),
        ("INSERT INTO record SELECT 6, kind, idx, append, at, json, hash FROM record WHERE seq = 5".to_owned(), 6),
        ("DELETE FROM kind WHERE name = 'AutoscalingDisabled'".to_owned(), 4),
    ];
    for (change, seq) in changes {
        let (home, connection) = log_to_damage();
        connection.execute_batch(&change).expect("it can be changed");
        assert_eq!(first_bad(&mut open_read_only(home.path())), Some(Seq::new(seq)), "{change}");
    }
}

#[test]
fn every_flipped_bit_of_a_kind_is_found_where_it_is_first_used() {
    let (home, connection) = log_to_damage();
    for (name, seq) in [("RunSubmitted", 1), ("AutoscalingEnabled", 2), ("ClockStepped", 3), ("AutoscalingDisabled", 4)]
    {
        let bit_count = name.len() * 8;
        let id: i64 = connection
            .query_row("SELECT id FROM kind WHERE name = ?1", [name], |row| row.get(0))
            .expect("there is a row");
        for bit in 0..bit_count + 32 {
            if bit < bit_count {
                let changed = flipped(&Value::Text(name.to_owned()), bit);
                let update = "UPDATE kind SET name = CAST(?2 AS TEXT) WHERE id = ?1";
                connection.execute(update, params![id, changed]).expect("it can be changed");
            } else {
                let changed = 1_i64 ^ (1 << (bit - bit_count));
                connection.execute("UPDATE kind SET version = ?2 WHERE id = ?1", params![id, changed]).expect("it can");
            }
            assert_eq!(first_bad(&mut open_read_only(home.path())), Some(Seq::new(seq)), "bit {bit} of {name}");
            connection
                .execute("UPDATE kind SET name = ?2, version = 1 WHERE id = ?1", params![id, name])
                .expect("it can be put back");
        }
    }
    assert_eq!(first_bad(&mut open_read_only(home.path())), None);
}

#[test]
fn what_is_kept_beside_the_records_is_compared_with_them() {
    let changes = [
        ("UPDATE run SET name = 'other'", 1),
        ("UPDATE run SET id = 8", 1),
        ("DELETE FROM run", 1),
        ("INSERT INTO run VALUES (2, 7, 'more')", 2),
        ("UPDATE step SET offset_us = 13", 3),
        ("DELETE FROM step", 3),
        ("INSERT INTO step VALUES (5, 1)", 5),
        ("UPDATE record SET seq = -5 WHERE seq = 5", 5),
        ("UPDATE record SET json = x'7b7d20' WHERE seq = 2", 2),
    ];
    for (change, bad) in changes {
        let (home, connection) = log_to_damage();
        open_read_only(home.path()).verify().expect("the log is sound");
        connection.execute_batch(change).expect("it can be changed");
        match open_read_only(home.path()).verify() {
            Err(StoreError::Corrupt { seq, .. }) => assert_eq!(seq, Seq::new(bad), "{change}"),
            other => panic!("{change}: {other:?}"),
        }
    }
}

#[test]
fn a_snapshot_that_was_changed_is_not_loaded() {
    for change in ["bytes = x'00'", "hash = zeroblob(32)", "seq = 4", "digest = x''"] {
        let (home, connection) = log_to_damage();
        let database = super::open(home.path());
        let head = database.head().expect("the log is sound");
        let snapshot = crate::store::Snapshot { version: 1, seq: head.seq, hash: head.hash, bytes: vec![1; 9_000] };
        database.save_snapshot(&snapshot, &[]).expect("it is kept");
        assert_eq!(database.load_snapshot(1).expect("the log is sound"), Some(snapshot));
        connection.execute_batch(&format!("UPDATE snapshot SET {change}")).expect("it can be changed");
        assert_eq!(database.load_snapshot(1).expect("the log is sound"), None, "{change}");
    }
}

#[test]
fn what_was_kept_of_the_past_and_was_changed_is_not_loaded() {
    use crate::store::{Past, PastId};
    let id = PastId::Runner(crate::model::RunnerId::from_bits(5));
    for change in
        ["bytes = x'00'", "hash = zeroblob(32)", "seq = 4", "digest = x''", "kind = 1", "id = 6", "version = 2"]
    {
        let (home, connection) = log_to_damage();
        let database = super::open(home.path());
        let head = database.head().expect("the log is sound");
        let snapshot = crate::store::Snapshot { version: 1, seq: head.seq, hash: head.hash, bytes: vec![1; 9] };
        let past = Past { id, bytes: vec![2; 9_000] };
        database.save_snapshot(&snapshot, std::slice::from_ref(&past)).expect("it is kept");
        assert_eq!(database.load_past(1, id).expect("the log is sound"), Some(past.bytes));
        connection.execute_batch(&format!("UPDATE past SET {change}")).expect("it can be changed");
        for (version, kind, bits) in [(1, 0, 5), (1, 1, 5), (1, 0, 6), (2, 0, 5)] {
            let id = match kind {
                0 => PastId::Runner(crate::model::RunnerId::from_bits(bits)),
                _ => PastId::Run(crate::model::RunId::from_bits(bits)),
            };
            assert_eq!(database.load_past(version, id).expect("the log is sound"), None, "{change}");
            assert_eq!(database.past_runners(version, 9).expect("the log is sound"), [], "{change}");
        }
    }
}

/// Reads what can be read of a damaged file: an error is fine, wrong records are not.
fn read_damaged(folder: &Path) -> Option<Vec<crate::model::Record>> {
    let mut database = Database::open_read_only(folder, super::clock()).ok().flatten()?;
    database.read(Seq::START, 1_000).ok().map(|page| page.decode())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_changed_in_the_file_itself_never_give_other_records(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..60)
    ) {
        let home = TempDir::new().expect("a folder can be made");
        // The last connection moves the journal into the file when it closes.
        let mut database = small_log(home.path());
        let records = database.read(Seq::START, 1_000).expect("the log is sound").decode();
        drop(database);
        let file = home.path().join("log.db");
        let mut bytes = std::fs::read(&file).expect("there is a file");
        for (place, value) in places {
            *place.get_mut(&mut bytes[100..]) = value;
        }
        std::fs::write(&file, bytes).expect("it can be changed");
        if let Some(read) = read_damaged(home.path()) {
            prop_assert!(records.starts_with(&read), "{read:?}");
        }
    }
}
