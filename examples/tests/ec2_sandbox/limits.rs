//! EC2's own limits, which hold without any faults.

use std::sync::Arc;
use std::time::Duration;

use dstack_core::clock::VirtualClock;
use examples::ec2_sandbox::Options;

use super::client::{quick, started};

#[test]
fn launches_beyond_the_bucket_are_told_to_go_slower_and_make_nothing() {
    let clock = Arc::new(VirtualClock::new(1));
    let (sandbox, client) = started(Options { has_limits: true, clock: clock.clone(), ..quick() });
    for _ in 0..5 {
        client.launched(&[]);
    }
    let refused = client.launch(&[]).expect("the call is answered");
    assert_eq!(refused.refusal(), (503, "RequestLimitExceeded".into()));
    assert_eq!(sandbox.state().instances.len(), 5);
    clock.advance(Duration::from_millis(500));
    client.launched(&[]);
    assert_eq!(sandbox.state().calls["RunInstances"], 7);
    // Other calls have buckets of their own, and the sandbox's has none.
    assert_eq!(client.asked("DescribeInstances", &[]).status, 200);
    for _ in 0..200 {
        assert_eq!(client.http("GET", "/sandbox/state", "").expect("it is answered").status, 200);
    }
}
