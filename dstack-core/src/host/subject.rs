//! What the laws of runner hosts are tried on.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::RunnerHost;
use crate::blob::Payload;
use crate::model::Place;

/// What the laws are tried on.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A runner that is alive, and that no other call has answered with.
    async fn place(&self) -> Place;

    /// A handle of its own to all of these runners, as another process would make it.
    fn host(&self) -> Arc<dyn RunnerHost>;

    /// Packs files, by their paths, the way in which this host wants them staged.
    fn pack(&self, files: &BTreeMap<String, Vec<u8>>) -> Payload;

    /// The files in what this host fetched, by their paths. Folders are left out.
    fn unpack(&self, archive: &Payload) -> BTreeMap<String, Vec<u8>>;
}

/// A law as a value.
pub type Law = for<'a> fn(&'a dyn Subject) -> BoxFuture<'a, ()>;

/// Makes one test of each law. The argument is a `fn(Law)` that makes a [`Subject`] and drives the law on it to its end.
#[macro_export]
macro_rules! host_laws {
    ($drive:path) => {
        $crate::host_laws!($drive;
            a_poll_without_attempts_tells_that_the_runner_answers,
            a_long_script_runs_as_a_short_one_does,
            an_attempt_is_started_at_most_once,
            closed_before_its_start_it_never_starts,
            a_verdict_is_for_ever,
            start_and_close_at_once_agree_on_one_verdict,
            output_is_the_same_bytes_from_any_offset,
            output_larger_than_a_chunk_comes_whole,
            an_exit_comes_with_all_output_and_never_changes,
            exit_codes_arrive_as_they_are,
            signals_and_codes_are_told_apart,
            a_script_ends_at_its_first_failure,
            a_timeout_ends_a_job,
            a_stopped_job_is_asked_first,
            a_stopped_job_that_does_not_listen_is_killed,
            a_job_given_up_is_lost,
            staged_files_are_there,
            staging_again_changes_nothing,
            artifacts_come_home,
            what_is_not_there_is_no_missing_artifact,
            arguments_environment_and_secrets_arrive_byte_for_byte,
            a_job_outlives_its_callers,
            a_dropped_call_harms_nothing,
            release_keeps_the_verdict,
            one_failure_disturbs_no_other_attempt,
            what_a_runner_hears_is_told_once,
        );
    };
    ($drive:path; $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                $drive(|subject| ::std::boxed::Box::pin($crate::host::laws::$law(subject)));
            }
        )*
    };
}
