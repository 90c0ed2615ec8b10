//! Logs that were written by earlier versions are read by this one, into the very same state.
//!
//! `golden/v1.jsonl` and its like are never edited or written again. A new kind of event, or a new form of one, comes with a new file; a new
//! version of the state's form with a new file of its hash.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use dstack_core::model::event::{DecodeError, Encoded};
use dstack_core::model::state::STATE_VERSION;
use dstack_core::model::{AppendId, At, Content, Event, Record, RecordHash, Seq, State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::every_kind::every_kind;

/// A record as it stands in a golden log.
#[derive(Serialize, Deserialize)]
struct Line {
    seq: Seq,
    at: At,
    append: AppendId,
    index: u32,
    kind: String,
    version: u32,
    /// The payload as text: byte for byte what the hash covers.
    json: String,
    hash: String,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn state_hash(state: &State) -> String {
    hex(&Sha256::digest(&state.to_snapshot().bytes))
}

/// The records of a golden log; the chain is checked over the bytes as they were written.
fn read(text: &str) -> Vec<Record> {
    let mut hash = RecordHash::START;
    let mut records = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).expect("each line is a record");
        let encoded = Encoded { kind: line.kind.into(), version: line.version, json: line.json.into_bytes() };
        hash = hash.next(line.seq, line.at, line.append, line.index, &encoded);
        assert_eq!(hex(&hash.0), line.hash, "record {}", line.seq);
        let event: Result<Event, DecodeError> = Event::decode(&encoded.kind, encoded.version, &encoded.json);
        let content = Content::Known(event.expect("every released version's events are known"));
        records.push(Record { seq: line.seq, at: line.at, append: line.append, hash, content });
    }
    records
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(golden(name)).expect("the golden log is part of the tests")
}

/// The golden logs: the first, and the first with minimums, refused credentials and saved artifacts.
const LOGS: [&str; 2] = ["v1", "v2"];
/// The one that this version would write.
const NEWEST: &str = "v2";

fn folded(log: &str) -> State {
    let mut state = State::default();
    state.apply_all(&read(&text_of(&format!("{log}.jsonl"))));
    state
}

#[test]
fn each_versions_log_folds_into_the_state_it_had() {
    for log in LOGS {
        let state = folded(log);
        assert_eq!(state_hash(&state), text_of(&format!("{log}.state{STATE_VERSION}")).trim(), "{log}");
        assert_eq!(state.faults().count(), 0, "{log}");
    }
}

#[test]
fn every_kind_of_event_occurs_in_a_golden_log() {
    let records: Vec<Record> = LOGS.iter().flat_map(|log| read(&text_of(&format!("{log}.jsonl")))).collect();
    let met: BTreeSet<&str> = records.iter().filter_map(Record::event).map(Event::kind).collect();
    assert_eq!(met, Event::KINDS.iter().copied().collect());
}

#[test]
fn a_changed_byte_of_a_golden_log_is_noticed() {
    let text = text_of("v1.jsonl");
    let changed = text.replacen("\\\"max\\\":2", "\\\"max\\\":3", 1);
    assert_ne!(text, changed);
    assert!(std::panic::catch_unwind(|| read(&changed)).is_err());
}

#[test]
#[ignore = "writes the golden log of this version, once: it is never to be written again"]
fn write_the_golden_log() {
    let given = every_kind();
    let mut text = String::new();
    let (mut before, mut index) = (None, 0);
    for record in given.0.records() {
        let Encoded { kind, version, json } = record.event().expect("this program wrote it").encode();
        index = if before == Some(record.append) { index + 1 } else { 0 };
        before = Some(record.append);
        let json = String::from_utf8(json).expect("JSON is text");
        let (seq, at, append, hash) = (record.seq, record.at, record.append, hex(&record.hash.0));
        let kind = kind.into_owned();
        let line = Line { seq, at, append, index, kind, version, json, hash };
        writeln!(text, "{}", serde_json::to_string(&line).expect("it is plain")).expect("a string takes everything");
    }
    let folder = golden("");
    std::fs::create_dir_all(&folder).expect("the tests' folder can be written");
    assert!(!golden(&format!("{NEWEST}.jsonl")).exists(), "it is never to be written again");
    std::fs::write(golden(&format!("{NEWEST}.jsonl")), text).expect("the tests' folder can be written");
}

#[test]
#[ignore = "writes what the golden logs fold into in a new form of the state, once"]
fn write_the_golden_states() {
    for log in LOGS {
        let file = golden(&format!("{log}.state{STATE_VERSION}"));
        assert!(!file.exists(), "it is never to be written again");
        std::fs::write(file, state_hash(&folded(log)) + "\n").expect("the tests' folder can be written");
    }
}
