//! A second opinion from moto, which somebody else wrote: `moto_server -p 5055`, then
//! `DSTACK_MOTO_URL=http://127.0.0.1:5055 cargo nextest run -p dstack-aws --run-ignored only moto`.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dstack_aws::{Access, Ec2, Ec2Options, TypedKey};
use dstack_core::cloud::CloudProvider;
use dstack_core::cloud::laws::{self, Subject};
use dstack_core::secret::Secret;

use crate::laws::{Few, http};
use crate::wire::{REGION, run, user_data};

/// Laws that moto 5 breaks: it starts a new machine for a token that it knows, has no filter by token, and fails to end again
/// a machine whose network interface was named. It has no images for GPUs either, so types with GPUs are left out.
const BROKEN_BY_MOTO: [&str; 6] = [
    "a_known_launch_is_seen_or_absent",
    "a_token_makes_one_machine",
    "a_token_sent_twice_at_once_makes_one_machine",
    "another_request_with_the_token_is_a_mismatch",
    "terminate_is_idempotent_and_ends_the_machine",
    "the_token_of_an_ended_machine_starts_no_other",
];

/// It answers its first questions about types and images slowly.
const PATIENCE: Duration = Duration::from_secs(60);

struct Moto {
    url: String,
    folder: tempfile::TempDir,
}

#[async_trait]
impl Subject for Moto {
    fn cloud(&self) -> Arc<dyn CloudProvider> {
        let typed = Some(TypedKey::new("AKIAIOSFODNN7EXAMPLE", Secret::new("secret".into())));
        let access = Access { typed, endpoint: Some(self.url.clone()), timeout: Some(PATIENCE), ..Access::default() };
        let cache = self.folder.path().join("cache");
        Arc::new(Few(Ec2::new(Ec2Options::new(
            access,
            REGION,
            cache,
            Arc::new(|launch: &_, _: &str| user_data(launch)),
        ))))
    }

    fn region(&self) -> String {
        REGION.into()
    }

    async fn settle(&self) {
        // Machines of moto start and end at once.
    }
}

#[test]
#[ignore = "needs a moto server, which is a program of its own"]
fn moto_agrees_but_for_what_it_cannot_do() {
    let url = std::env::var("DSTACK_MOTO_URL").expect("DSTACK_MOTO_URL names the server");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let moto = Moto { url, folder };
    let mut broken = BTreeSet::new();
    for (name, law) in laws::ALL {
        http(&moto.url, "POST", "/moto-api/reset");
        if catch_unwind(AssertUnwindSafe(|| run(law(&moto)))).is_err() {
            broken.insert(*name);
        }
    }
    assert_eq!(broken, BTreeSet::from(BROKEN_BY_MOTO));
}
