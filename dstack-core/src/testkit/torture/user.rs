//! What the user of a schedule asks for.

use super::job::workflows;
use super::swarm::{Swarm, SwarmRule, small};
use crate::cloud::{Draw, builtin_offerings};
use crate::model::{
    Command, Offering, Purchase, RuleFilter, RunId, RunnerId, Settings, Span, State, Submission, Unfit, WorkflowId,
};

/// The offering of this rule.
pub(super) fn offering(instance_type: &str, purchase: Purchase) -> Offering {
    let mut offerings = builtin_offerings().into_iter();
    let wanted = |offering: &Offering| offering.instance_type == instance_type && offering.purchase == purchase;
    offerings.find(wanted).expect("the types of schedules are in the built-in list")
}

/// The command that allows this rule with this maximum.
pub(super) fn allow(rule: &SwarmRule, max: u32, min: u32) -> Command {
    Command::Allow { offering: Box::new(offering(&rule.instance_type, rule.purchase)), max, min }
}

/// A new run.
pub(super) fn submission(draw: &mut Draw, swarm: &Swarm, number: u32) -> Command {
    let name = format!("run-{number}").parse().expect("it is a name");
    let (run, workflows) = (RunId::from_bits(draw.bits()), workflows(draw, swarm));
    let submission = Submission { run, name, folder: None, secrets: Vec::new(), workflows, unfit: Unfit::Queue };
    Command::Submit(Box::new(submission))
}

/// Something else that a user may ask, given what there is.
pub(super) fn command(draw: &mut Draw, swarm: &Swarm, state: &State) -> Command {
    let rule = &swarm.rules[usize::try_from(draw.below(swarm.rules.len() as u64)).unwrap_or(0)];
    match draw.below(20) {
        0..=3 => allow(rule, small(draw, rule.max + 1), 0),
        4 => allow(rule, rule.max, small(draw, 2)),
        5 => Command::Remove(RuleFilter {
            instance_type: Some(rule.instance_type.clone()),
            region: None,
            purchase: draw.chance(500).then_some(rule.purchase),
        }),
        6 | 7 => Command::Disable,
        8 | 9 => Command::Enable,
        10 | 11 | 16..=19 => stop(draw, state).unwrap_or(Command::Enable),
        12 | 13 => {
            let runners: Vec<RunnerId> = state.live_runners().map(|(id, _)| id).collect();
            let place = usize::try_from(draw.below(runners.len() as u64)).unwrap_or(0);
            runners.get(place).map_or(Command::Disable, |id| Command::StopRunner(*id))
        }
        _ => Command::Set(settings(draw)),
    }
}

fn stop(draw: &mut Draw, state: &State) -> Option<Command> {
    let open: Vec<_> = state.open_runs().map(|(id, run)| (id, run.workflows.len())).collect();
    let (run, workflows) = *open.get(usize::try_from(draw.below(open.len() as u64)).ok()?)?;
    let index = u32::try_from(draw.below(workflows as u64)).unwrap_or(0);
    let workflow = draw.chance(600).then_some(WorkflowId { run, index });
    Some(Command::Stop { run, workflow, abort: draw.chance(500) })
}

fn settings(draw: &mut Draw) -> Settings {
    Settings {
        idle_timeout: Span::from_secs(draw.below(3) * 120),
        boot_timeout: Span::from_secs(45 + draw.below(900)),
        launch_timeout: Span::from_secs(60 + draw.below(300)),
        stop_grace: Span::from_secs(draw.below(3) * 10),
        max_losses: small(draw, 6),
        max_interruptions: small(draw, 6),
        image: draw.chance(300).then(|| "ami-of-the-user".to_owned()),
        ..Settings::default()
    }
}
