//! What the laws of providers are tried on.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::CloudProvider;

/// What the laws are tried on: a provider without machines, and a way to let its time pass.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A handle to the provider; all handles of one subject are of the same cloud, as other processes would make them.
    fn cloud(&self) -> Arc<dyn CloudProvider>;

    /// A region that it has.
    fn region(&self) -> String;

    /// Lets time pass, far enough for what has begun to be done: to start, to show itself, to end. It need not be far
    /// enough at the first call; the laws call again, up to [`PATIENCE`](super::laws::PATIENCE) times.
    async fn settle(&self);
}

/// A law as a value.
pub type Law = for<'a> fn(&'a dyn Subject) -> BoxFuture<'a, ()>;

/// Makes one test of each law. The argument is a `fn(Law)` that makes a [`Subject`] and drives the law on it to its end.
#[macro_export]
macro_rules! cloud_laws {
    (@each $then:ident($($argument:tt)*)) => {
        $crate::cloud_laws! { @$then($($argument)*)
            a_scope_is_stable,
            the_catalogue_is_of_its_scope,
            every_offering_can_be_launched,
            a_token_makes_one_machine,
            a_token_sent_twice_at_once_makes_one_machine,
            another_request_with_the_token_is_a_mismatch,
            another_token_makes_another_machine,
            a_launched_machine_is_seen_with_its_token,
            a_machine_comes_to_run_and_has_an_address,
            a_look_shows_all_machines_of_the_log,
            a_look_without_machines_is_empty,
            a_look_leaves_out_other_logs,
            a_known_launch_is_seen_or_absent,
            terminate_is_idempotent_and_ends_the_machine,
            terminate_answers_for_each_machine,
            a_terminated_machine_never_lives_again,
            the_token_of_an_ended_machine_starts_no_other,
            a_dropped_launch_may_be_sent_again,
            a_launch_after_a_final_look_is_fenced_or_found,
            a_region_that_is_not_there_is_an_error,
        }
    };
    (@tests($drive:path) $($law:ident),* $(,)?) => {
        $crate::cloud_laws!($drive; $($law),*);
    };
    (@table() $($law:ident),* $(,)?) => {
        &[$((stringify!($law), |subject| ::std::boxed::Box::pin($law(subject)))),*]
    };
    ($drive:path) => {
        $crate::cloud_laws!(@each tests($drive));
    };
    ($drive:path; $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                $drive(|subject| ::std::boxed::Box::pin($crate::cloud::laws::$law(subject)));
            }
        )*
    };
}
