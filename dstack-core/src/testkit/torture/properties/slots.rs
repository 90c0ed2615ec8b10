//! A runner that is over has no machine.

use super::property::{Property, Truth, Verdict};
use crate::cloud::FakeMachine;
use crate::model::State;

/// Each machine with the log's token belongs to a runner that takes a slot: no death certificate is wrong, and no machine is
/// without a runner.
#[derive(Debug, Default)]
pub struct Slots;

impl Property for Slots {
    fn name(&self) -> &'static str {
        "slots"
    }

    fn stepped(&mut self, truth: &Truth, state: &State) -> Verdict {
        let machines = truth.cloud.machines();
        let live: Vec<_> = machines.iter().filter(|machine| machine.is_live() && machine.token.is_some()).collect();
        for machine in &live {
            let runner = state.runners().iter().find(|(_, runner)| Some(&runner.token) == machine.token.as_ref());
            match runner {
                Some((_, runner)) if runner.may_live() => {}
                Some((id, runner)) => {
                    return Err(format!("machine {} lives, though its runner {id} is {:?}", machine.id, runner.phase));
                }
                None => return Err(format!("machine {} lives, and no runner is its own", describe(machine))),
            }
        }
        Ok(!live.is_empty())
    }
}

fn describe(machine: &FakeMachine) -> String {
    format!("{} ({} {}) of {:?}", machine.id, machine.instance_type, machine.asked, machine.token)
}
