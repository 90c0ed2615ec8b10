//! A runner that is over has no machine.

use std::collections::BTreeMap;

use super::property::{Property, Truth, Verdict};
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
        let live = truth.cloud.live_launched();
        let runners: BTreeMap<_, _> =
            state.runners().iter().map(|(id, runner)| (&runner.token, (id, runner))).collect();
        for (machine, token) in &live {
            match runners.get(token) {
                Some((_, runner)) if runner.may_live() => {}
                Some((id, runner)) => {
                    return Err(format!("machine {machine} lives, though its runner {id} is {:?}", runner.phase));
                }
                None => return Err(format!("machine {machine} lives, and no runner has its token {token}")),
            }
        }
        Ok(!live.is_empty())
    }
}
