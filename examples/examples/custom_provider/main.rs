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
    dstack_core::cloud_laws!(super::hold);
}
