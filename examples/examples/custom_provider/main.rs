//! A provider of one's own, tried on every law of providers.
//!
//! `cargo run -p examples --example custom_provider` prints which laws hold, and fails if one does not. The provider is in
//! `desks.rs`; a program that uses it hands it to `Dstack::provider`, with the host that reaches its machines.

mod desks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use dstack_core::cloud::CloudProvider;
use dstack_core::cloud::laws::{ALL, Law, Subject};

use desks::{Desks, OFFICE};

/// What the laws are tried on.
#[derive(Default)]
struct Office(Arc<Desks>);

#[async_trait]
impl Subject for Office {
    fn cloud(&self) -> Arc<dyn CloudProvider> {
        Arc::clone(&self.0) as _
    }

    fn region(&self) -> String {
        OFFICE.into()
    }

    async fn settle(&self) {} // Nothing takes time here.
}

fn hold(law: Law) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without IO needs nothing");
    runtime.block_on(law(&Office::default()));
}

fn main() -> ExitCode {
    let mut broken = 0;
    for (name, law) in ALL {
        let holds = catch_unwind(AssertUnwindSafe(|| hold(*law))).is_ok();
        println!("{name}: {}", if holds { "ok" } else { "BROKEN" });
        broken += u32::from(!holds);
    }
    println!("{} laws, {broken} broken", ALL.len());
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dstack_core::cloud::{Absence, Known, LaunchError};
    use dstack_core::model::{LaunchId, LaunchRequest, LogId};

    use super::*;

    dstack_core::cloud_laws!(super::hold);

    const LOG: LogId = LogId::from_bytes([1; 16]);

    async fn request(desks: &Desks, launch: u64) -> LaunchRequest {
        let offering = desks.catalogue(OFFICE).await.expect("the office is there").remove(0);
        LaunchRequest::new(LOG, LaunchId::from_bits(launch), &offering, OFFICE.into())
    }

    #[tokio::test]
    async fn a_desk_is_lent_once_at_a_time_and_again_when_it_is_back() {
        let desks = Desks::default();
        let mut lent = BTreeSet::new();
        let mut first = None;
        for launch in 1..=8 {
            let machine = desks.launch(&request(&desks, launch).await).await.expect("eight desks are there");
            assert!(lent.insert(machine.address.clone()), "{machine:?} is lent twice");
            first.get_or_insert(machine);
        }
        let ninth = request(&desks, 9).await;
        assert!(matches!(desks.launch(&ninth).await, Err(LaunchError::Capacity { .. })));
        let first = first.expect("eight were lent");
        assert_eq!(desks.terminate(&ninth.scope, std::slice::from_ref(&first.id)).await, [Ok(())]);
        let again = desks.launch(&ninth).await.expect("one is back");
        assert_eq!(again.address, first.address);
        assert_ne!(again.id, first.id, "another loan is another machine");
    }

    /// Its offerings say that one look proves absence at once, so this law is stricter here than for clouds at large.
    #[tokio::test]
    async fn a_launch_after_the_last_word_on_it_comes_too_late() {
        let desks = Desks::default();
        let request = request(&desks, 1).await;
        let known = |is_final| [Known { token: request.token(), machine: None, is_final, is_unheard: false }];
        for is_final in [false, true] {
            let look = desks.look(&request.scope, LOG, &known(is_final)).await.expect("it answers");
            assert_eq!(look.absent, [Absence(request.token())]);
        }
        assert_eq!(desks.launch(&request).await, Err(LaunchError::Ended));
    }
}
