//! What workflows and their users do: dependencies, failures, retries, artifacts, rules that change.

use super::super::story::{End, Story};
use super::words::{
    after, allow_large, ask, begun, nothing, pass, plain, remove_all, retried, script, stop, submit, work,
};
use crate::model::{AttemptId, Command, Settings, Span, WorkflowId, WorkflowSpec};
use crate::testkit::World;

const SUCCEEDS: &[End] = &[End::Succeeded];

fn one(world: &World) -> Vec<Command> {
    vec![allow_large(1), submit(world, "one", vec![work("a", 60)])]
}

const BASE: Story =
    Story { name: "", about: "", world: plain, commands: one, meanwhile: nothing, most_machines: 1, ends: &[SUCCEEDS] };

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "settings that change on the way",
        about: "R16: what was decided under the old ones stays as it was decided",
        meanwhile: |world| {
            Box::pin(async {
                begun(world, 1).await;
                let idle_timeout = Span::from_secs(30);
                ask(world, Command::Set(Settings { idle_timeout, ..Settings::default() })).await;
            })
        },
        ..BASE
    },
    Story {
        name: "run after run",
        about: "R17: what was acknowledged is there, and is done",
        meanwhile: |world| {
            Box::pin(async {
                for name in ["two", "three"] {
                    pass(world, 20).await;
                    ask(world, submit(world, name, vec![work("a", 5)])).await;
                }
            })
        },
        ends: &[SUCCEEDS, SUCCEEDS, SUCCEEDS],
        ..BASE
    },
    Story {
        name: "a chain of three",
        about: "each waits for the one before, on the same machine",
        commands: |world| {
            let chain = vec![work("a", 5), after(work("b", 5), &[0]), after(work("c", 5), &[1])];
            vec![allow_large(1), submit(world, "chain", chain)]
        },
        ends: &[SUCCEEDS, SUCCEEDS, SUCCEEDS],
        ..BASE
    },
    Story {
        name: "a failure in the middle",
        about: "what depends on a failed workflow is skipped",
        commands: |world| {
            let chain = vec![script("a", &["sleep 5", "exit 3"]), after(work("b", 5), &[0])];
            vec![allow_large(1), submit(world, "chain", chain)]
        },
        ends: &[&[End::Failed(3)], &[End::Skipped]],
        ..BASE
    },
    Story {
        name: "a failure that is tried again",
        about: "a retry is a new attempt, never the old one started again",
        commands: |world| {
            vec![allow_large(1), submit(world, "again", vec![retried(script("a", &["sleep 5", "exit 7"]), 2)])]
        },
        ends: &[&[End::Failed(7)]],
        ..BASE
    },
    Story {
        name: "a command that runs too long",
        about: "its supervisor ends it",
        commands: |world| {
            let long = WorkflowSpec { timeout: Some(Span::from_secs(30)), ..work("a", 300) };
            vec![allow_large(1), submit(world, "long", vec![long])]
        },
        ends: &[&[End::Failed(124)]],
        ..BASE
    },
    Story {
        name: "stopped while it runs",
        about: "R13: a stop in the middle leaves nothing behind",
        meanwhile: |world| {
            Box::pin(async {
                begun(world, 1).await;
                stop(world, "one", None, true).await;
            })
        },
        ends: &[&[End::Stopped, End::Succeeded]],
        ..BASE
    },
    Story {
        name: "a process that is lost",
        about: "R9: an attempt without an exit record is lost and tried anew, never started again",
        meanwhile: |world| {
            Box::pin(async {
                if let Some(machine) = begun(world, 1).await
                    && let Some(ran) = world.host.runs().first()
                {
                    let WorkflowId { run, index } = ran.attempt.workflow;
                    let attempt = AttemptId { workflow: WorkflowId { run, index }, number: ran.attempt.number };
                    world.host.lose_process(&machine, attempt);
                }
            })
        },
        ..BASE
    },
    Story {
        name: "the maximum is lowered",
        about: "the surplus is shut down at once, and its work is done later",
        commands: |world| vec![allow_large(2), submit(world, "two", vec![work("a", 60), work("b", 60)])],
        meanwhile: |world| {
            Box::pin(async {
                begun(world, 2).await;
                ask(world, allow_large(1)).await;
            })
        },
        most_machines: 2,
        ends: &[SUCCEEDS, SUCCEEDS],
        ..BASE
    },
    Story {
        name: "the rule is removed and allowed again",
        about: "R6: a rule that is gone does not make its machines forgotten",
        meanwhile: |world| {
            Box::pin(async {
                begun(world, 1).await;
                ask(world, remove_all()).await;
                pass(world, 90).await;
                ask(world, allow_large(1)).await;
            })
        },
        ..BASE
    },
];
