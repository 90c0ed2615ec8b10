//! What clouds do: lost and late answers, late listings, pages, outages, refusals.

use super::super::story::{End, Story};
use super::words::{allow, allow_large, begun, launched, nothing, pass, plain, submit, work};
use crate::cloud::{FakeCloud, LaunchError, Script};
use crate::model::{MilliCpu, Purchase, Span};
use crate::testkit::World;

const ONE: &[&[End]] = &[&[End::Succeeded]];
const SUCCEEDS: &[End] = &[End::Succeeded];
const TWO: &[&[End]] = &[&[End::Succeeded], &[End::Succeeded]];

fn with_cloud(seed: u64, change: impl FnOnce(FakeCloud) -> FakeCloud) -> World {
    let clock = std::sync::Arc::new(crate::clock::VirtualClock::new(seed));
    let cloud = change(FakeCloud::new(std::sync::Arc::clone(&clock) as _, seed.wrapping_add(1)));
    World::around(clock, cloud, seed)
}

fn refusing(seed: u64, error: LaunchError) -> World {
    let world = World::new(seed);
    world.cloud.fail_next_launch(error);
    world
}

fn one(world: &World) -> Vec<crate::model::Command> {
    vec![allow_large(1), submit(world, "one", vec![work("a", 20)])]
}

fn two_wait(world: &World) -> Vec<crate::model::Command> {
    vec![allow_large(1), submit(world, "two", vec![work("a", 20), work("b", 20)])]
}

const BASE: Story =
    Story { name: "", about: "", world: plain, commands: one, meanwhile: nothing, most_machines: 1, ends: ONE };

pub(super) const STORIES: &[Story] = &[
    Story { name: "one workflow", about: "the plain way from submission to teardown", ..BASE },
    Story {
        name: "launched though unanswered",
        about: "R1: the cloud launches a machine and says that it does not know",
        world: |seed| {
            let world = World::new(seed);
            world.cloud.run_next_late(Span::from_secs(30));
            world
        },
        commands: two_wait,
        ends: TWO,
        ..BASE
    },
    Story {
        name: "a machine not listed yet",
        about: "R2: looks do not know a machine for a minute after its launch",
        world: |seed| {
            let world = World::new(seed);
            world.cloud.hide_new_for(Span::from_secs(60));
            world
        },
        ..BASE
    },
    Story {
        name: "a burst of workflows",
        about: "R3: many workflows at once never make more machines than are allowed",
        commands: |world| {
            let workflows = (0..8).map(|i| work(&format!("w{i}"), 20)).collect();
            vec![allow_large(3), submit(world, "burst", workflows)]
        },
        most_machines: 3,
        ends: &[SUCCEEDS; 8],
        ..BASE
    },
    Story {
        name: "machines forgotten at once",
        about: "R4: a machine that ended is not listed, and its address is another's soon",
        world: |seed| with_cloud(seed, |cloud| cloud.with_memory(Span::ZERO)),
        commands: two_wait,
        ends: TWO,
        ..BASE
    },
    Story {
        name: "a listing of many pages",
        about: "R5: what stands on the second page is no orphan",
        world: |seed| with_cloud(seed, |cloud| cloud.with_page_size(1)),
        commands: |world| vec![allow_large(2), submit(world, "pages", vec![work("a", 60), work("b", 60)])],
        most_machines: 2,
        ends: TWO,
        ..BASE
    },
    Story {
        name: "the region is down while work runs",
        about: "R6: that a cloud is not reached says nothing about its machines",
        commands: |world| vec![allow_large(1), submit(world, "long", vec![work("a", 120)])],
        meanwhile: |world| {
            Box::pin(async {
                begun(world, 1).await;
                world.cloud.take_down("us-east-1");
                pass(world, 60).await;
                world.cloud.bring_up("us-east-1");
            })
        },
        ..BASE
    },
    Story {
        name: "the region is down at first",
        about: "R10: a hiccup before the first launch ends nothing for good",
        world: |seed| {
            let world = World::new(seed);
            world.cloud.take_down("us-east-1");
            world
        },
        meanwhile: |world| {
            Box::pin(async {
                pass(world, 60).await;
                world.cloud.bring_up("us-east-1");
            })
        },
        ..BASE
    },
    Story {
        name: "a token that is spent",
        about: "R15: the token's machine lived and died",
        world: |seed| {
            let world = with_cloud(seed, |cloud| cloud.with_memory(Span::ZERO));
            world.cloud.run_next_late(Span::from_secs(30));
            world
        },
        meanwhile: |world| {
            Box::pin(async {
                if let Some(machine) = launched(world, 1).await {
                    world.cloud.outsider_terminates(&machine);
                }
            })
        },
        ..BASE
    },
    Story {
        name: "a token of another request",
        about: "R15: the cloud knows the token with other parameters",
        world: |seed| refusing(seed, LaunchError::Mismatch("other parameters".to_owned())),
        ..BASE
    },
    Story {
        name: "no capacity in the first zone",
        about: "a refusal gives the slot back, and the next zone takes it",
        world: |seed| {
            let capacity = LaunchError::Capacity { why: "none".to_owned(), all_zones: false, permanent: false };
            refusing(seed, capacity)
        },
        commands: two_wait,
        ends: TWO,
        ..BASE
    },
    Story {
        name: "no capacity of the cheapest",
        about: "the next fitting offering is tried in the same step",
        world: |seed| {
            let capacity = LaunchError::Capacity { why: "none".to_owned(), all_zones: true, permanent: false };
            refusing(seed, capacity)
        },
        commands: |world| {
            let rules = [allow("m7i.large", Purchase::Spot, 1), allow_large(1)];
            rules.into_iter().chain([submit(world, "one", vec![work("a", 20)])]).collect()
        },
        ..BASE
    },
    Story {
        name: "a quota that is full",
        about: "a quota pauses its rules, and another purchase takes the work",
        world: |seed| {
            let world = World::new(seed);
            world.cloud.set_quota(Purchase::Spot, MilliCpu(0));
            world
        },
        commands: |world| {
            let rules = [allow("m7i.large", Purchase::Spot, 1), allow_large(1)];
            rules.into_iter().chain([submit(world, "one", vec![work("a", 20)])]).collect()
        },
        ..BASE
    },
    Story {
        name: "a launch that is throttled",
        about: "the claim's holder sends again",
        world: |seed| refusing(seed, LaunchError::Throttled("slower".to_owned())),
        ..BASE
    },
    Story {
        name: "credentials that have expired",
        about: "nothing happened, and it recovers by itself",
        world: |seed| refusing(seed, LaunchError::Credentials("expired".to_owned())),
        ..BASE
    },
    Story {
        name: "a launch that is delivered twice",
        about: "a token makes one machine",
        world: |seed| {
            let world = World::new(seed);
            world.cloud.script(Script::DoubleCall);
            world
        },
        ..BASE
    },
];
