//! What becomes of machines: taken back, cut off, ended by others, never reached.

use super::super::story::{End, Story};
use super::words::{
    allow, allow_large, ask, begun, ending, launched, nothing, pass, plain, shared, stop, submit, work,
};
use crate::model::{Command, Purchase, Settings, Span};
use crate::testkit::World;

const SUCCEEDS: &[End] = &[End::Succeeded];

fn one(world: &World) -> Vec<Command> {
    vec![allow_large(1), submit(world, "one", vec![work("a", 60)])]
}

fn spot(world: &World) -> Vec<Command> {
    vec![allow("m7i.large", Purchase::Spot, 1), submit(world, "one", vec![work("a", 60)])]
}

const BASE: Story =
    Story { name: "", about: "", world: plain, commands: one, meanwhile: nothing, most_machines: 1, ends: &[SUCCEEDS] };

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "stopped while its machine starts",
        about: "R7: a run that is stopped while its machine starts leaves no machine busy",
        meanwhile: |world| {
            Box::pin(async {
                launched(world, 1).await;
                stop(world, "one", None, false).await;
            })
        },
        ends: &[&[End::Stopped]],
        ..BASE
    },
    Story {
        name: "idle with a second job",
        about: "R8: what ended first does not end the machine that the other still uses",
        commands: |world| vec![allow_large(1), submit(world, "pair", vec![shared("a", 5), shared("b", 400)])],
        ends: &[SUCCEEDS, SUCCEEDS],
        ..BASE
    },
    Story {
        name: "a link that is cut for a while",
        about: "R9: what cannot be reached for three minutes goes on, and is not failed",
        meanwhile: |world| {
            Box::pin(async {
                if let Some(machine) = begun(world, 1).await {
                    world.host.cut_link(&machine, Span::from_secs(180));
                }
            })
        },
        ..BASE
    },
    Story {
        name: "ended by somebody else while it is stopped",
        about: "R11: an end from outside during ours breaks nothing",
        meanwhile: |world| {
            Box::pin(async {
                let machine = begun(world, 1).await;
                ask(world, Command::Disable).await;
                if let Some(machine) = machine {
                    world.cloud.outsider_terminates(&machine);
                }
                ending(world).await;
                ask(world, Command::Enable).await;
            })
        },
        ..BASE
    },
    Story {
        name: "taken back without a word",
        about: "R12: work of a machine that vanishes is done on another, and the maximum holds",
        commands: spot,
        meanwhile: |world| {
            Box::pin(async {
                if let Some(machine) = begun(world, 1).await {
                    world.cloud.interrupt_unannounced(&machine);
                }
            })
        },
        ..BASE
    },
    Story {
        name: "switched off in the middle",
        about: "R13: everything ends at once, and the work waits until it is switched on",
        meanwhile: |world| {
            Box::pin(async {
                begun(world, 1).await;
                ask(world, Command::Disable).await;
                pass(world, 120).await;
                ask(world, Command::Enable).await;
            })
        },
        ..BASE
    },
    Story {
        name: "taken back again and again",
        about: "R14: each notice costs an attempt, and no machine is left",
        commands: |world| vec![allow("m7i.large", Purchase::Spot, 1), submit(world, "one", vec![work("a", 200)])],
        meanwhile: |world| {
            Box::pin(async {
                for count in 1..=2 {
                    if let Some(machine) = begun(world, count).await {
                        world.cloud.interrupt(&machine);
                    }
                }
            })
        },
        ..BASE
    },
    Story {
        name: "a machine that is never reached",
        about: "R4: it is given up after the boot timeout, and another takes its place",
        commands: |world| {
            let settings = Settings { boot_timeout: Span::from_secs(120), ..Settings::default() };
            one(world).into_iter().chain([Command::Set(settings)]).collect()
        },
        meanwhile: |world| {
            Box::pin(async {
                if let Some(machine) = launched(world, 1).await {
                    world.cloud.set_network(&machine, false);
                }
            })
        },
        ..BASE
    },
    Story {
        name: "another machine answers",
        about: "R4: who answers with another identity is quarantined",
        meanwhile: |world| {
            Box::pin(async {
                if let Some(machine) = begun(world, 1).await {
                    world.host.change_host(&machine);
                }
            })
        },
        ..BASE
    },
    Story {
        name: "halted by somebody else",
        about: "a machine that stands still takes its slot until it is proven dead",
        meanwhile: |world| {
            Box::pin(async {
                if let Some(machine) = begun(world, 1).await {
                    world.cloud.outsider_halts(&machine);
                }
            })
        },
        ..BASE
    },
    Story {
        name: "a machine stopped by hand",
        about: "its work goes back to the queue",
        meanwhile: |world| {
            Box::pin(async {
                begun(world, 1).await;
                let mut client = world.client();
                if client.refresh().await.is_ok() {
                    let live: Vec<_> = client.state().live_runners().map(|(id, _)| id).collect();
                    for runner in live {
                        ask(world, Command::StopRunner(runner)).await;
                    }
                }
            })
        },
        ..BASE
    },
];
