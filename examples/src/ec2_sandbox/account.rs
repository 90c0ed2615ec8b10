//! An account: its machines in a FakeCloud of its own, and all that EC2 knows beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use dstack_core::clock::{Boot, Clock};
use dstack_core::cloud::{CloudProvider, FakeCloud, FakeMachine, MachineState, Seen};
use dstack_core::model::{LogId, MachineId, Scope, Span};
use futures::FutureExt;

use super::catalogue::Catalogue;
use super::groups::Groups;
use super::ids::{hash, made_id};
use super::launch::Launch;
use super::options::Options;
use super::reply::{Failure, NoAnswer};
use super::tags::Tags;

/// The owner that all machines have in FakeCloud: the sandbox's callers tell their own by tags.
pub(super) const OWNER: LogId = LogId::from_bytes([0x5a; 16]);

/// Within which requests with the same token are the same launch: a zone, if one is named, else the region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaunchKey {
    pub(super) region: String,
    pub(super) zone: Option<String>,
    pub(super) token: String,
}

/// What a launch has become.
#[derive(Debug, Clone)]
pub(super) struct Launched {
    pub(super) zone: String,
    pub(super) count: u64,
}

/// What EC2 knows of a machine beyond FakeCloud.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) launch: Arc<Launch>,
    pub(super) reservation: String,
    pub(super) index: u64,
    pub(super) launched_micros: i64,
    /// Where it answers, from its launch until its processes are gone.
    pub(super) address: Ipv4Addr,
    /// When it will be taken back, once that was said.
    pub(super) notice_micros: Option<i64>,
    /// When it is taken back after a notice that was given by hand.
    pub(super) taken_back: Option<Boot>,
    /// Why it ended, where that is not FakeCloud's reason.
    pub(super) reason: Option<&'static str>,
    /// What its console shows.
    pub(super) console: String,
}

/// A row of a listing.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) seen: Seen,
    pub(super) machine: FakeMachine,
    pub(super) record: Record,
    pub(super) tags: Tags,
    /// Its tags and disks have fallen off.
    pub(super) is_bare: bool,
}

/// An account.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) cloud: FakeCloud,
    pub(super) launched: BTreeMap<LaunchKey, Launched>,
    pub(super) records: BTreeMap<String, Record>,
    pub(super) groups: Groups,
    /// Public keys by region and name.
    pub(super) keys: BTreeMap<(String, String), String>,
    /// Tags by the id of their resource.
    pub(super) tags: BTreeMap<String, Tags>,
    /// Spot requests that were cancelled by hand.
    pub(super) cancelled: BTreeSet<String>,
    memory: Span,
    clock: Arc<dyn Clock>,
}

impl Account {
    pub(super) fn new(id: &str, options: &Options) -> Self {
        let span =
            |length: std::time::Duration| Span::from_micros(u64::try_from(length.as_micros()).unwrap_or(u64::MAX));
        let seed = options.seed ^ hash(&[id]);
        let cloud = FakeCloud::new(Arc::clone(&options.clock), seed)
            .with_offerings(Catalogue::get().offerings(id))
            .with_boot(span(options.boot))
            .with_shutdown(span(options.shutdown))
            .with_memory(span(options.memory))
            .with_faults(options.rates.of_machines());
        Self {
            id: id.to_owned(),
            cloud,
            launched: BTreeMap::new(),
            records: BTreeMap::new(),
            groups: Groups::new(id),
            keys: BTreeMap::new(),
            tags: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            memory: span(options.memory),
            clock: Arc::clone(&options.clock),
        }
    }

    pub(super) fn scope(&self, region: &str) -> Scope {
        Scope { provider: "ec2".into(), account: self.id.clone(), region: region.to_owned() }
    }

    /// The id of the default network.
    pub(super) fn vpc(&self, region: &str) -> String {
        made_id("vpc", &[&self.id, region])
    }

    /// The id of a zone's subnet.
    pub(super) fn subnet(&self, zone: &str) -> String {
        made_id("subnet", &[&self.id, zone])
    }

    pub(super) fn zone_of_subnet(&self, region: &str, subnet: &str) -> Result<String, Failure> {
        let found = Catalogue::get().zones_of(region).find(|zone| self.subnet(&zone.name) == subnet);
        found.map(|zone| zone.name.clone()).ok_or_else(|| {
            Failure::client("InvalidSubnetID.NotFound", format!("The subnet ID '{subnet}' does not exist"))
        })
    }

    /// The wall's time of a moment.
    pub(super) fn wall(&self, moment: Boot) -> i64 {
        let (wall, boot) = (self.clock.wall_micros(), self.clock.boot());
        let micros = |length: std::time::Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        wall - micros(boot.since(moment)) + micros(moment.since(boot))
    }

    /// What a listing of the region shows now, with FakeCloud's faults of listings, in the order of ids.
    pub(super) fn rows(&self, region: &str) -> Result<Vec<Row>, NoAnswer> {
        let look = self.cloud.look(&self.scope(region), OWNER, &[]).now_or_never();
        let look = look.expect("no gate and no delay hold the call").map_err(|error| match error {
            dstack_core::cloud::CloudError::Invalid(words) => Failure::client("InvalidParameterValue", words).into(),
            _ => NoAnswer::Cut,
        })?;
        let now = self.clock.boot();
        let mut rows: Vec<Row> = look.machines.into_iter().filter_map(|seen| self.row(seen, now)).collect();
        rows.sort_by(|one, other| one.machine.id.cmp(&other.machine.id));
        Ok(rows)
    }

    /// The machines of these ids as they are in truth.
    pub(super) fn truth(&self, ids: &[MachineId]) -> Vec<Row> {
        let now = self.clock.boot();
        let seen = ids.iter().filter_map(|id| self.cloud.machine(id)).map(|machine| Seen {
            id: machine.id.clone(),
            token: machine.token.clone(),
            state: machine.state(),
            address: machine.address.clone(),
            is_taken_back: machine.is_taken_back(),
            reason: machine.reason,
        });
        seen.filter_map(|seen| self.row(seen, now)).collect()
    }

    fn row(&self, seen: Seen, now: Boot) -> Option<Row> {
        let machine = self.cloud.machine(&seen.id)?;
        let record = self.records.get(&seen.id.0)?.clone();
        let half = self.memory.to_std() / 2;
        let has_ended = |(since, state): &(Boot, MachineState)| {
            *state == MachineState::Terminated && now.since(*since) >= half && !half.is_zero()
        };
        let is_bare = seen.token.is_none() || machine.history.last().is_some_and(has_ended);
        let tags = if is_bare { Tags::new() } else { self.tags.get(&seen.id.0).cloned().unwrap_or_default() };
        Some(Row { seen, machine, record, tags, is_bare })
    }

    /// The Spot request that a machine came from.
    pub(super) fn spot_request(machine: &MachineId) -> String {
        format!("sir-{:08x}", hash(&["spot", &machine.0]) >> 32)
    }
}
