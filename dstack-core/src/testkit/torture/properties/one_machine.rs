//! A token makes one machine.

use std::collections::BTreeSet;

use super::property::{Property, Truth, Verdict};
use crate::model::State;

/// No token ever made two machines, in whatever zone.
#[derive(Debug, Default)]
pub struct OneMachine {
    machines: usize,
}

impl Property for OneMachine {
    fn name(&self) -> &'static str {
        "one-machine"
    }

    fn stepped(&mut self, truth: &Truth, _state: &State) -> Verdict {
        let count = truth.cloud.machine_count();
        if count == self.machines {
            return Ok(false);
        }
        self.machines = count;
        let mut seen = BTreeSet::new();
        for machine in truth.cloud.machines() {
            if let Some(token) = machine.token
                && !seen.insert(token.clone())
            {
                return Err(format!("token {token} made two machines, the second of them {}", machine.id));
            }
        }
        Ok(!seen.is_empty())
    }
}
