//! Why one workflow waits: all that was considered for it, each with the reason why it was not taken.

use std::fmt;
use std::sync::Arc;

use super::plan::Fit;
use super::state::Used;
use super::{Bytes, MilliCpu, Name, Needs, Offering, Purchase, RuleKey, RunnerId, StopReason, WaitReason, WorkflowId};

/// What stands between a workflow and a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which workflow.
    pub workflow: WorkflowId,
    /// The answer in one.
    pub standing: Standing,
    /// Every rule, in the order in which they are tried, and why no new runner of it is started; nothing where the workflow
    /// does not wait for a runner.
    pub rules: Vec<(Arc<RuleKey>, RuleAnswer)>,
    /// Every runner that would hold the workflow if it were empty, by id, and why it does not go there; nothing where the
    /// workflow does not wait for a runner.
    pub runners: Vec<(RunnerId, RunnerAnswer)>,
}

/// Where a workflow stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is on this runner.
    Runs(RunnerId),
    /// It is over.
    Over,
    /// These must succeed first.
    Dependencies(Vec<(WorkflowId, Name)>),
    /// It can never run: this workflow, at the root of it, did not succeed.
    Hopeless(WorkflowId),
    /// It is about to go onto this runner.
    Placed(RunnerId, Fit),
    /// This runner is being started for it.
    Starting(RunnerId),
    /// A runner is about to be started for it.
    Launching,
    /// For a runner.
    Waits {
        /// Why none takes it, and none is started.
        reason: WaitReason,
        /// So many runners of rules that have reached their maximum, and could run it, are ending: their slots come back.
        ending: u32,
    },
    /// Nothing is planned: this version does not understand all of the log.
    Unplanned,
}

/// Why no new runner of a rule is started for a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleAnswer {
    /// None of its machines would ever do.
    Unfit(Vec<Lack>),
    /// There are as many as there may be.
    Full {
        /// The maximum.
        max: u32,
        /// So many of them are ending: their slots come back once their machines are gone.
        ending: u32,
    },
    /// This stands in the way.
    Obstacle(WaitReason),
    /// Nothing: one could be started in this zone, and is where the workflow needs it.
    Free {
        /// Where.
        zone: String,
    },
}

/// Why a workflow does not go onto a runner that would hold it if it were empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerAnswer {
    /// It goes there.
    Taken,
    /// The runner is being started for it, and maybe for others.
    Promised,
    /// The runner is being started, and is promised to others.
    PromisedToOthers,
    /// The runner is shut down.
    Ending(StopReason),
    /// The cloud takes the runner back: it gets no more work.
    Noticed,
    /// The runner may be gone: it gets no work until it has been seen again.
    Suspect,
    /// The runner is kept for it, and not free enough yet.
    Kept,
    /// The runner is reserved for another workflow that has waited for too long.
    KeptFor(WorkflowId),
    /// A workflow has the runner for itself.
    Exclusive,
    /// Others run there, and this one does not share: it does not state both processor and memory.
    Shared,
    /// Others run there, and so much is left.
    Short(Used),
    /// The runners of this machine have used it up together.
    PoolFull,
    /// Workflows that come before it are about to take the room that is left.
    GivenAway,
}

/// What a machine lacks that a workflow needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It has only that much processor.
    Cpu(MilliCpu),
    /// It has only that much memory.
    Memory(Bytes),
    /// It has only that much disk.
    Disk(Bytes),
    /// It has no such accelerators, or too few or too small ones.
    Gpus,
    /// It is bought like this.
    Purchase(Purchase),
    /// It is of another type.
    Type,
    /// It is of this provider.
    Provider(String),
}

/// What an empty machine of this offering lacks that a workflow with these needs wants of it; nothing where it would do.
pub fn lacks(needs: &Needs, offering: &Offering) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if needs.provider.as_ref().is_some_and(|name| *name != offering.scope.provider) {
        lacks.push(Lack::Provider(offering.scope.provider.clone()));
    }
    if needs.instance_type.as_ref().is_some_and(|name| *name != offering.instance_type) {
        lacks.push(Lack::Type);
    }
    lacks.extend(needs.purchase.filter(|wish| *wish != offering.purchase).map(|_| Lack::Purchase(offering.purchase)));
    lacks.extend(needs.cpu.filter(|cpu| *cpu > offering.cpu).map(|_| Lack::Cpu(offering.cpu)));
    lacks.extend(needs.memory.filter(|memory| *memory > offering.memory).map(|_| Lack::Memory(offering.memory)));
    lacks.extend(needs.disk.filter(|disk| *disk > offering.disk).map(|_| Lack::Disk(offering.disk)));
    let accelerated = Needs { gpu: needs.gpu.clone(), ..Needs::default() };
    if !accelerated.fit(offering) {
        lacks.push(Lack::Gpus);
    }
    lacks
}

impl fmt::Display for Lack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(has) => write!(formatter, "it has only {has} CPU"),
            Self::Memory(has) => write!(formatter, "it has only {has} memory"),
            Self::Disk(has) => write!(formatter, "it has only {has} disk"),
            Self::Gpus => formatter.write_str("it has no such GPUs"),
            Self::Purchase(purchase) => write!(formatter, "it is {purchase}"),
            Self::Type => formatter.write_str("it is of another type"),
            Self::Provider(provider) => write!(formatter, "it is of {provider}"),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(runner) => write!(formatter, "it is on runner {runner}"),
            Self::Over => formatter.write_str("it is over"),
            Self::Dependencies(names) => {
                let names: Vec<_> = names.iter().map(|(_, name)| name.to_string()).collect();
                write!(formatter, "waits for {}", names.join(", "))
            }
            Self::Hopeless(cause) => write!(formatter, "it can never run: {cause} did not succeed"),
            Self::Placed(runner, fit) => write!(formatter, "about to start on runner {runner}: {fit}"),
            Self::Starting(runner) => write!(formatter, "runner {runner} is starting"),
            Self::Launching => formatter.write_str("a runner is about to be started"),
            Self::Waits { reason, ending } => match (reason, ending) {
                (WaitReason::AtMaximum(_), 1) => {
                    write!(formatter, "{reason}; one of them is ending, and another may follow when it is gone")
                }
                (WaitReason::AtMaximum(_), 2..) => {
                    write!(formatter, "{reason}; {ending} of them are ending, and others may follow when they are gone")
                }
                (_, _) => write!(formatter, "{reason}"),
            },
            Self::Unplanned => formatter.write_str("nothing is planned: the log holds what this version does not know"),
        }
    }
}

impl fmt::Display for RuleAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(lacks) => {
                let lacks: Vec<_> = lacks.iter().map(Lack::to_string).collect();
                formatter.write_str(&lacks.join(", "))
            }
            Self::Full { max, ending: 0 } => write!(formatter, "there are {max}, as many as may be"),
            Self::Full { max, ending } => write!(formatter, "there are {max}, as many as may be; {ending} ending"),
            Self::Obstacle(reason) => write!(formatter, "{reason}"),
            Self::Free { zone } if zone.is_empty() => formatter.write_str("one could be started"),
            Self::Free { zone } => write!(formatter, "one could be started in {zone}"),
        }
    }
}

impl fmt::Display for RunnerAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => formatter.write_str("it goes there"),
            Self::Promised => formatter.write_str("it is being started for it"),
            Self::PromisedToOthers => formatter.write_str("it is being started, for others"),
            Self::Ending(reason) => write!(formatter, "it is ending: {reason}"),
            Self::Noticed => formatter.write_str("the cloud takes it back"),
            Self::Suspect => formatter.write_str("it may be gone, and has to be seen first"),
            Self::Kept => formatter.write_str("it is kept free for it, and not yet free enough"),
            Self::KeptFor(workflow) => {
                write!(formatter, "it is reserved for {workflow}, which was overtaken too often")
            }
            Self::Exclusive => formatter.write_str("a workflow has it for itself"),
            Self::Shared => formatter.write_str("others run there, and without cpu and memory it shares with none"),
            Self::Short(free) => write!(
                formatter,
                "only {} CPU, {} memory, {} disk and {} GPU are left",
                free.cpu, free.memory, free.disk, free.gpus
            ),
            Self::PoolFull => formatter.write_str("this machine's resources are in use"),
            Self::GivenAway => formatter.write_str("its room goes to workflows before it"),
        }
    }
}

impl fmt::Display for Explanation {
    /// The answer, and below it a line for each rule and runner.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: {}", self.workflow, self.standing)?;
        self.rules.iter().try_for_each(|(rule, answer)| writeln!(formatter, "  {rule}: {answer}"))?;
        self.runners.iter().try_for_each(|(runner, answer)| writeln!(formatter, "  runner {runner}: {answer}"))
    }
}
