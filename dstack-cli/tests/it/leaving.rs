//! When a controller leaves.

use dstack_core::cloud::{CloudProvider as _, LocalCloud};
use dstack_core::home::Home;
use dstack_core::model::Command;

use crate::bench::Bench;

/// A rule for machines that no program has a provider for.
async fn allow_elsewhere(bench: &Bench) {
    let here = LocalCloud::new(bench.home().join("runners"), Vec::new());
    let mut offering = here.catalogue("local").await.expect("this machine is offered").remove(0);
    offering.scope.provider = "elsewhere".to_owned();
    let mut client = Home::new(bench.home()).client().expect("the home can be made");
    let allow = Command::Allow { offering: Box::new(offering), max: 1, min: 0 };
    client.command(allow).await.expect("it is allowed");
}

#[test]
fn a_controller_leaves_where_what_waits_needs_a_provider_that_the_program_lacks() {
    let bench = Bench::new("workflows: []");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be made");
    runtime.block_on(allow_elsewhere(&bench));
    bench.detach(&["--", "true"]);
    let ended = bench.dstack(&["controller", "--until-idle"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
}
