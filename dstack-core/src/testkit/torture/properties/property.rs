//! What a property of a schedule is asked, and what it may look at.

use std::collections::BTreeSet;

use crate::blob::{MemoryBlobs, MemoryOutput};
use crate::clock::Boot;
use crate::cloud::{FakeCloud, GatePoint};
use crate::host::FakeHost;
use crate::model::{AttemptId, MachineId, Record, State};
use crate::store::Acknowledged;

/// The world as it is, whatever anybody believes.
pub struct Truth {
    /// The cloud.
    pub cloud: FakeCloud,
    /// Its machines.
    pub host: FakeHost,
    /// Packed folders and artifacts.
    pub blobs: std::sync::Arc<MemoryBlobs>,
    /// What attempts printed, as it came home.
    pub outputs: std::sync::Arc<MemoryOutput>,
    /// Machines that are not the log's, whatever their tags say.
    pub strangers: BTreeSet<MachineId>,
    /// Attempts whose folders vanished from their runners: of what they printed some may never come home.
    pub wiped: BTreeSet<AttemptId>,
    /// Time.
    pub now: Boot,
    /// Faults have stopped.
    pub is_settling: bool,
}

/// What a property found: whether there was something to check, or what is wrong.
pub type Verdict = Result<bool, String>;

/// Something that is true of the world and the log together, at every moment of a schedule.
///
/// Each method is a moment at which it is asked; by default it has nothing to say.
pub trait Property {
    /// Its name.
    fn name(&self) -> &'static str;

    /// A record is in the log; `before` is the state without it.
    fn record(&mut self, _truth: &Truth, _before: &State, _record: &Record) -> Verdict {
        Ok(false)
    }

    /// All records of an append are in the log and in this state.
    fn appended(&mut self, _truth: &Truth, _state: &State) -> Verdict {
        Ok(false)
    }

    /// A call is about to take effect.
    fn call(&mut self, _truth: &Truth, _state: &State, _point: &GatePoint) -> Verdict {
        Ok(false)
    }

    /// Something has happened: a call took effect, or time has passed.
    fn stepped(&mut self, _truth: &Truth, _state: &State) -> Verdict {
        Ok(false)
    }

    /// Somebody was told that an append is in the log.
    fn acknowledged(&mut self, _state: &State, _told: Acknowledged) -> Verdict {
        Ok(false)
    }

    /// A controller says that nothing is left to do, while no faults go on.
    fn idle(&mut self, _truth: &Truth, _state: &State) -> Verdict {
        Ok(false)
    }

    /// Everything has settled; these are all records.
    fn ended(&mut self, _truth: &Truth, _state: &State, _log: &[Record]) -> Verdict {
        Ok(false)
    }
}
