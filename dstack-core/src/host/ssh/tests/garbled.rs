//! Whatever a runner's side answers, it is understood or refused, within bounds.

use proptest::prelude::*;

use crate::host::ssh::replies::{Expected, Reply, marked_line, reply};
use crate::host::{Polled, Progress};

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    runtime.block_on(work)
}

/// Answers that are right, and then changed at a few places and cut.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let heads = ["staged - - 0 0", "running - - 3 1", "exited 0 exited 3 0", "exited 137 signal 0 0", "lost - - 0 0"];
    let standing = (0..heads.len()).prop_map(move |place| {
        let output = if heads[place].contains(" 3 ") { "out" } else { "" };
        format!("{}\n{output}\n", heads[place])
    });
    let right = prop::collection::vec(standing, 0..4).prop_map(|all| (all.concat() + ".\n").into_bytes());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (right, changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut bytes, changes, end, is_cut)| {
        for (place, byte) in changes {
            let length = bytes.len();
            bytes[place.index(length)] = byte;
        }
        bytes.truncate(if is_cut { end.index(bytes.len() + 1) } else { bytes.len() });
        bytes
    })
}

fn judge(answer: std::io::Result<Reply>, count: usize) -> Result<(), TestCaseError> {
    let Ok(answer) = answer else { return Ok(()) };
    let Reply::Standings(standings) = answer else { return Ok(()) };
    prop_assert_eq!(standings.len(), count);
    for standing in standings {
        prop_assert!(standing.output.len() <= Polled::MAX_CHUNK);
        if let Progress::Exited(exit) = standing.progress {
            prop_assert_eq!(exit.is_success(), exit == crate::model::Exit::exited(0));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_answer_is_understood_or_refused(bytes in almost(), count in 0_usize..4) {
        judge(now(reply(&mut &bytes[..], Expected::Standings(count))), count)?;
        let _ = now(reply(&mut &bytes[..], Expected::Word));
    }

    #[test]
    fn any_bytes_are_understood_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0_usize..4) {
        judge(now(reply(&mut &bytes[..], Expected::Standings(count))), count)?;
        let _ = now(marked_line(&mut &bytes[..], "nonce"));
    }
}

#[test]
fn a_length_beyond_the_bound_is_refused_before_memory_is_taken_for_it() {
    let answer = format!("running - - {} 0\n", u64::MAX);
    assert!(now(reply(&mut answer.as_bytes(), Expected::Standings(1))).is_err());
    let line = vec![b'x'; 70_000];
    assert!(now(reply(&mut &line[..], Expected::Word)).is_err());
}
