//! Whatever comes over a supervisor's socket, it is a message or an error.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::wire::{Link, Reply, Request};
use crate::model::{AttemptId, RunId, WorkflowId};

fn heard(bytes: &[u8]) -> std::io::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime can be built");
    runtime.block_on(async {
        let (mut mouth, ear) = UnixStream::pair()?;
        mouth.write_all(bytes).await?;
        drop(mouth);
        let mut link = Link::new(ear);
        let mut messages = 0;
        while link.receive::<Request>().await?.is_some() {
            messages += 1;
        }
        Ok(messages)
    })
}

fn frame(message: &impl serde::Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(message).expect("it is plain JSON");
    let length = u32::try_from(json.len()).expect("it is short");
    [&length.to_le_bytes()[..], &json].concat()
}

proptest! {
    #[test]
    fn changed_frames_are_messages_or_errors(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let attempt = AttemptId { workflow: WorkflowId { run: RunId::from_bits(1), index: 0 }, number: 1 };
        let mut bytes = [frame(&Request::Poll(vec![attempt])), frame(&Request::End), frame(&Reply::Begun(true))].concat();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        prop_assert!(heard(&bytes).unwrap_or(0) <= 3);
    }

    #[test]
    fn any_bytes_are_messages_or_errors(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = heard(&bytes);
    }
}

#[test]
fn a_frame_of_gigabytes_is_refused_by_its_length() {
    let error = heard(&[0xff, 0xff, 0xff, 0xff, b'{']).expect_err("it is too long");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}
