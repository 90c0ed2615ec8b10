//! What goes wrong by chance, over the wire.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dstack_core::clock::{Boot, Clock, VirtualClock};
use examples::ec2_sandbox::Options;

use super::client::{Answer, quick, started, until};

fn with(faults: &str) -> Options {
    Options { rates: faults.parse().expect("these are faults"), ..quick() }
}

/// Whether the caller knows what became of its call.
fn says_nothing(answer: &io::Result<Answer>) -> bool {
    match answer {
        Err(_) => true,
        Ok(answer) => answer.status >= 500 && answer.texts("Code").iter().all(|code| code == "InternalError"),
    }
}

#[test]
fn a_lost_answer_leaves_an_instance_that_the_same_token_finds() {
    let (sandbox, client) = started(quick());
    let image = client.image();
    sandbox.set_rates(&"lost-answer=1".parse().expect("it is a fault"));
    for _ in 0..16 {
        let request = [
            ("ClientToken", "t"),
            ("ImageId", image.as_str()),
            ("InstanceType", "m5.large"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        assert!(says_nothing(&client.call("RunInstances", &request)));
    }
    assert_eq!(sandbox.state().instances.len(), 1);
    assert_eq!(client.http("POST", "/sandbox/faults", "lost-answer=0").expect("it has no faults").status, 200);
    assert_eq!(client.launched(&[("ClientToken", "t"), ("ImageId", &image)]), sandbox.state().instances[0].id);
}

#[test]
fn a_late_launch_takes_effect_after_its_caller_was_told_nothing() {
    let clock = Arc::new(VirtualClock::new(1));
    let (sandbox, client) = started(Options { clock: clock.clone(), ..with("late=1,late-within=1m") });
    assert!(says_nothing(&client.launch(&[("ClientToken", "t")])));
    assert!(sandbox.state().instances.is_empty());
    until("the launch", || {
        clock.advance(Duration::from_secs(60));
        (!sandbox.state().instances.is_empty()).then_some(())
    });
}

#[test]
fn whatever_the_way_does_a_token_makes_one_machine_and_every_machine_has_one() {
    let (sandbox, client) =
        started(with("lost-answer=0.2,lost-call=0.1,late=0.2,late-within=50ms,doubled=0.3,capacity=0.1,throttle=0.1"));
    let tokens: Vec<String> = (0..12).map(|number| format!("token-{number}")).collect();
    let image = until("the image", || {
        client
            .call(
                "DescribeImages",
                &[
                    ("Owner.1", "amazon"),
                    ("Filter.1.Name", "name"),
                    ("Filter.1.Value.1", "al2023-ami-2023.9*-6.1-x86_64"),
                ],
            )
            .ok()?
            .text("imageId")
    });
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for token in &tokens {
                    let request = [
                        ("ClientToken", token.as_str()),
                        ("ImageId", &image),
                        ("InstanceType", "m5.large"),
                        ("MinCount", "1"),
                        ("MaxCount", "1"),
                    ];
                    until("an answer", || {
                        client.call("RunInstances", &request).ok().filter(|answer| answer.status == 200)
                    });
                }
            });
        }
    });
    let state = sandbox.state();
    let made: BTreeSet<&str> = state.instances.iter().filter_map(|one| one.token.as_deref()).collect();
    assert_eq!((state.instances.len(), made.len()), (12, 12));
    assert_eq!(state.max_live["m5.large/on-demand"], 12);
}

#[test]
fn refusals_come_with_the_status_and_the_code_of_ec2() {
    for (faults, status, code) in [
        ("capacity=1", 500, "InsufficientInstanceCapacity"),
        ("quota=1", 400, "VcpuLimitExceeded"),
        ("throttle=1", 503, "RequestLimitExceeded"),
        ("denied=1", 403, "UnauthorizedOperation"),
        ("credentials=1", 400, "RequestExpired"),
    ] {
        let (sandbox, client) = started(quick());
        let image = client.image();
        sandbox.set_rates(&faults.parse().expect("it is a fault"));
        let request = [("ImageId", image.as_str()), ("InstanceType", "m5.large"), ("MinCount", "1"), ("MaxCount", "1")];
        assert_eq!(client.asked("RunInstances", &request).refusal(), (status, code.into()), "{faults}");
        assert!(sandbox.state().instances.is_empty());
        let spot = [&request[..], &[("InstanceMarketOptions.MarketType", "spot")]].concat();
        if faults == "quota=1" {
            assert_eq!(client.asked("RunInstances", &spot).refusal(), (400, "MaxSpotInstanceCountExceeded".into()));
        }
    }
}

#[test]
fn a_stale_list_hides_what_is_new() {
    let (sandbox, client) = started(with("stale-list=1,hidden-within=1h"));
    let id = client.launched(&[]);
    let answer = client.asked("DescribeInstances", &[("InstanceId.1", &id)]);
    assert_eq!(answer.refusal(), (400, "InvalidInstanceID.NotFound".into()));
    assert_eq!(sandbox.state().live(), 1);
}

#[test]
fn spot_instances_are_taken_back_and_others_are_not() {
    let clock = Arc::new(VirtualClock::new(1));
    let (sandbox, client) = started(Options { clock: clock.clone(), ..with("spot-reclaim=1,life-within=1m") });
    let kept = client.launched(&[]);
    let taken = client.launched(&[("InstanceMarketOptions.MarketType", "spot")]);
    clock.advance(Duration::from_secs(60));
    until("the notice", || sandbox.state().notices.contains_key(&taken).then_some(()));
    assert_eq!(
        client.asked("DescribeSpotInstanceRequests", &[]).text("code").as_deref(),
        Some("marked-for-termination")
    );
    clock.advance(Duration::from_secs(120));
    assert_eq!((client.seen(&taken).0.as_str(), client.seen(&kept).0.as_str()), ("terminated", "running"));
    let answer = client.asked("DescribeInstances", &[("InstanceId.1", &taken)]);
    assert!(answer.texts("code").contains(&"Server.SpotInstanceTermination".to_owned()), "{}", answer.body);
}

/// A clock on which a minute passes at one of its readings.
struct Leaps {
    clock: VirtualClock,
    readings: AtomicU32,
    at: u32,
}

#[async_trait::async_trait]
impl Clock for Leaps {
    fn wall_micros(&self) -> i64 {
        self.clock.wall_micros()
    }

    fn boot(&self) -> Boot {
        if self.readings.fetch_add(1, Ordering::SeqCst) == self.at {
            self.clock.advance(Duration::from_secs(60));
        }
        self.clock.boot()
    }

    async fn sleep_until(&self, moment: Boot) {
        self.clock.sleep_until(moment).await;
    }

    fn entropy(&self) -> [u8; 16] {
        self.clock.entropy()
    }
}

#[test]
fn a_notice_is_noted_at_whichever_moment_it_falls_due() {
    for at in 4..48 {
        let clock = Arc::new(Leaps { clock: VirtualClock::new(1), readings: AtomicU32::new(0), at });
        let (sandbox, client) = started(Options { clock: clock.clone(), ..with("spot-reclaim=1,life-within=1m") });
        let taken = client.launched(&[("InstanceMarketOptions.MarketType", "spot")]);
        while clock.readings.load(Ordering::SeqCst) <= at {
            let _advanced = clock.boot();
        }
        // For those whose minute passed before the launch. It is too early for the end of what has a notice.
        clock.clock.advance(Duration::from_secs(60));
        until("the notice", || sandbox.state().notices.contains_key(&taken).then_some(()));
    }
}

#[test]
fn the_same_seed_goes_wrong_in_the_same_way() {
    let run = |seed| {
        let (_sandbox, client) = started(Options { seed, ..with("throttle=0.5") });
        (0..40).map(|_| client.asked("DescribeRegions", &[]).status).collect::<Vec<u16>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
