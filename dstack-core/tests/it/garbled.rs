//! Whatever the bytes of a record or a snapshot are, they are read as something or refused, and the fold takes what was read.

use dstack_core::model::{Content, Event, Record, State};
use dstack_core::store::Snapshot;
use dstack_core::testkit::history::{Driver, records_of};
use dstack_core::testkit::strategy;
use proptest::prelude::*;

fn changed(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)], cut: Option<prop::sample::Index>) -> Vec<u8> {
    for (place, byte) in changes {
        let length = bytes.len();
        if length > 0 {
            bytes[place.index(length)] = *byte;
        }
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len() + 1));
    }
    bytes
}

/// Bytes that JSON is made of are met more often than others.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"0123456789{}[]\":,-eE.\\unltrf"[..])];
    prop::collection::vec((any::<prop::sample::Index>(), byte), 0..6)
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_changed_record_is_decoded_to_what_it_says_or_refused_and_the_fold_takes_it(
        acts in strategy::acts(60),
        which in any::<prop::sample::Index>(),
        changes in changes(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let records = records_of(&acts);
        let place = which.index(records.len());
        let Some(event) = records[place].event() else { return Ok(()) };
        let encoded = event.encode();
        let bytes = changed(encoded.json.to_vec(), &changes, cut);
        let decoded = Event::decode(&encoded.kind, encoded.version, &bytes);
        if let Ok(event) = &decoded {
            let again = event.encode();
            prop_assert_eq!(Event::decode(&again.kind, again.version, &again.json), decoded.clone());
        }
        let mut state = State::default();
        for (index, record) in records.iter().enumerate() {
            let content = if index == place {
                decoded.clone().map_or_else(Content::Unknown, Content::Known)
            } else {
                record.content.clone()
            };
            state.apply(&Record { content, ..record.clone() });
        }
        prop_assert_eq!(state.seq(), records.last().expect("there is a first record").seq);
    }

    #[test]
    fn any_bytes_of_any_kind_are_decoded_or_refused(
        kind in prop::sample::select(Event::KINDS),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        version in 0..3_u32,
    ) {
        let _ = Event::decode(kind, version, &bytes);
    }

    #[test]
    fn a_changed_snapshot_is_read_as_something_or_refused(
        acts in strategy::acts(60),
        changes in changes(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut driver = Driver::new();
        acts.iter().for_each(|act| driver.act(act));
        let snapshot = driver.state().to_snapshot();
        let bytes = changed(snapshot.bytes.clone(), &changes, cut);
        let _ = State::from_snapshot(&Snapshot { bytes, ..snapshot });
    }
}
