//! Blobs and output in a bucket of the sandbox.

use std::io::{Read as _, Write as _};

use dstack_aws::Bucket;
use dstack_core::blob::laws::{BlobLaw, OutputLaw};
use dstack_core::blob::{BlobError, BlobStore, OutputStore, PayloadWriter, blob_id};
use dstack_core::model::{At, AttemptId, RunId, WorkflowId};

use crate::laws::Account;
use crate::wire::{REGION, run};

const ATTEMPT: AttemptId = AttemptId { workflow: WorkflowId { run: RunId::from_bits(1), index: 0 }, number: 1 };

fn with<T>(work: impl AsyncFnOnce(&Account, Bucket) -> T) -> T {
    let account = Account::new();
    account.make_bucket("results");
    run(async {
        let bucket = account.ec2().bucket(REGION, "results").await.expect("it is a name");
        work(&account, bucket).await
    })
}

fn drive_blobs(law: BlobLaw) {
    with(async |_, bucket| law(&bucket.blobs()).await);
}

fn drive_output(law: OutputLaw) {
    with(async |_, bucket| law(&bucket.output()).await);
}

mod blobs {
    dstack_core::blob_laws!(super::drive_blobs);
}

mod output {
    dstack_core::output_laws!(super::drive_output);
}

#[test]
fn a_large_blob_goes_in_parts_and_comes_back_in_a_file() {
    with(async |_, bucket| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut writer = PayloadWriter::new(folder.path());
        let content: Vec<u8> = (0..20_000_000_u32).map(|place| (place % 251) as u8).collect();
        writer.write_all(&content).expect("there is room");
        let id = bucket.blobs().put(writer.finish().expect("there is room")).await.expect("it is kept");
        assert_eq!(id, blob_id(&content));
        let back = bucket.blobs().get(id).await.expect("it is there");
        assert!(back.in_memory().is_none(), "it is not held in memory");
        let mut read = Vec::new();
        back.reader().expect("it is there").read_to_end(&mut read).expect("it can be read");
        assert!(read == content);
    });
}

#[test]
fn output_of_many_pieces_is_one_whole_for_two_writers_at_once() {
    with(async |_, bucket| {
        let content: Vec<u8> = (0..700_001_u32).map(|place| (place % 241) as u8).collect();
        let (one, other) = (bucket.output(), bucket.output());
        let write = async |store: &dyn OutputStore, step: usize| {
            for (index, piece) in content.chunks(step).enumerate() {
                store.write(ATTEMPT, (index * step) as u64, piece).await.expect("it is kept");
            }
        };
        futures::future::join(write(&one, 100_003), write(&other, 150_007)).await;
        assert_eq!(one.length(ATTEMPT).await.expect("it answers"), content.len() as u64);
        assert!(other.read(ATTEMPT, 0, usize::MAX).await.expect("it answers") == content);
        assert!(one.read(ATTEMPT, 262_140, 10).await.expect("it answers") == content[262_140..262_150]);
    });
}

#[test]
fn notes_of_an_attempt_that_has_ended_are_there_for_another_process() {
    with(async |_, bucket| {
        let (one, other, at) = (bucket.output(), bucket.output(), At::from_micros);
        one.write(ATTEMPT, 0, b"hello").await.expect("it is kept");
        for (moment, length) in [(10, 2), (20, 5)] {
            one.mark(ATTEMPT, at(moment), length).await.expect("it is noted");
        }
        one.finish(ATTEMPT).await.expect("it is kept");
        for (moment, length) in [(9, 0), (10, 2), (19, 2), (30, 5)] {
            assert_eq!(other.length_at(ATTEMPT, at(moment)).await.expect("it answers"), length);
        }
        assert_eq!(other.length(ATTEMPT).await.expect("it answers"), 5);
    });
}

#[test]
fn a_bucket_that_is_not_there_is_an_error_and_a_good_one_passes_the_check() {
    with(async |account, bucket| {
        bucket.check().await.expect("it can be written");
        let other = account.ec2().bucket(REGION, "missing").await.expect("it is a name");
        let error = other.check().await.expect_err("there is none");
        assert!(matches!(error, BlobError::Unreachable(_)), "{error:?}");
        assert!(account.ec2().bucket(REGION, "No Bucket").await.is_err());
    });
}
