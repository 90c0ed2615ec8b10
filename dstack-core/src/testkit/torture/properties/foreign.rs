//! Machines of others are never touched.

use super::property::{Property, Truth, Verdict};
use crate::cloud::{GatePoint, Moment};
use crate::model::State;

/// No termination names a machine that the log did not launch, whatever its tags say.
#[derive(Debug, Default)]
pub struct Foreign;

impl Property for Foreign {
    fn name(&self) -> &'static str {
        "foreign"
    }

    fn call(&mut self, truth: &Truth, _state: &State, point: &GatePoint) -> Verdict {
        if point.call != "terminate" || point.moment != Moment::BeforeEffect {
            return Ok(false);
        }
        match truth.strangers.iter().find(|id| point.subject.split(' ').any(|machine| machine == id.0)) {
            Some(stranger) => Err(format!("{stranger} is terminated, which is somebody else's")),
            None => Ok(true),
        }
    }
}
