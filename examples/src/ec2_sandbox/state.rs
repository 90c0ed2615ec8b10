//! What the sandbox holds, and what it shows of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dstack_core::clock::Boot;
use dstack_core::cloud::Draw;
use serde::Serialize;
use tokio::sync::Notify;

use super::account::Account;
use super::actions::{Call, answer, instance_state_name};
use super::addresses::Addresses;
use super::caller::Caller;
use super::ids::hash;
use super::limits::Limits;
use super::options::Options;
use super::query::Query;
use super::rates::Rates;
use super::reply::{Failure, NoAnswer};
use super::s3::Store;

/// An instance, in [`State`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceState {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub instance_type: String,
    /// `spot` or `on-demand`, as it was asked for.
    pub purchase: String,
    /// EC2's name of what it is doing.
    pub state: String,
    /// The token of its launch, if that had one.
    pub token: Option<String>,
    /// Its address, also while no listing shows it.
    pub address: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// The truth, without faults and limits: what `GET /sandbox/state` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// All instances that there ever were, ended ones too.
    pub instances: Vec<InstanceState>,
    /// Most instances of a `TYPE/PURCHASE` that were not terminated at once, ever.
    pub max_live: BTreeMap<String, usize>,
    /// Calls that arrived, by action, those that were refused included.
    pub calls: BTreeMap<String, u64>,
    /// Spot notices that were given.
    pub notices: BTreeMap<String, String>,
}

impl State {
    /// Instances that are not terminated.
    pub fn live(&self) -> usize {
        self.instances.iter().filter(|instance| instance.state != "terminated").count()
    }
}

/// Everything that calls change.
pub(super) struct World {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) addresses: Addresses,
    pub(super) limits: Limits,
    pub(super) rates: Rates,
    pub(super) draw: Draw,
    pub(super) calls: BTreeMap<String, u64>,
    pub(super) s3: Store,
    /// Calls that were answered, for what changes from call to call.
    pub(super) number: u64,
}

/// What all tasks of a sandbox share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) world: Mutex<World>,
    /// Something may have happened to an instance.
    pub(super) wake: Notify,
    pub(super) ssh_user: String,
    pub(super) ssh_port: u16,
    /// Where the instances' folders are.
    pub(super) folder: PathBuf,
}

impl Shared {
    pub(super) fn new(options: Options, ssh_user: String, ssh_port: u16, folder: PathBuf) -> Self {
        let world = World {
            accounts: BTreeMap::new(),
            addresses: Addresses::default(),
            limits: Limits::default(),
            rates: options.rates.clone(),
            draw: Draw::new(options.seed ^ hash(&["the way of a call"])),
            calls: BTreeMap::new(),
            s3: Store::default(),
            number: 0,
        };
        Self { options, world: Mutex::new(world), wake: Notify::new(), ssh_user, ssh_port, folder }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Boot {
        self.options.clock.boot()
    }

    pub(super) fn now_micros(&self) -> i64 {
        self.options.clock.wall_micros()
    }

    /// An id for a request, in the form of a UUID.
    pub(super) fn request_id(&self) -> String {
        let hex: String = self.options.clock.entropy().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
    }

    /// The effect of a call, once.
    pub(super) fn act(
        &self,
        caller: &Caller,
        action: &str,
        query: &Query,
        request_id: &str,
    ) -> Result<String, NoAnswer> {
        let (now, now_micros) = (self.now(), self.now_micros());
        let mut guard = self.world();
        let world = &mut *guard;
        if self.options.has_limits {
            let place = format!("{}/{}", caller.account, caller.region);
            world.limits.charge(&place, action, query, now)?;
        }
        if world.draw.chance(world.rates.ec2.throttled) {
            return Err(Failure::throttled().into());
        }
        world.number += 1;
        let (is_odd, rates) = (world.number % 2 == 1, world.rates.clone());
        let account = world
            .accounts
            .entry(caller.account.clone())
            .or_insert_with(|| Account::new(&caller.account, &Options { rates, ..self.options.clone() }));
        let mut call = Call {
            account,
            addresses: &mut world.addresses,
            region: &caller.region,
            query,
            request_id,
            now_micros,
            is_odd,
            ssh: (&self.ssh_user, self.ssh_port),
            folder: &self.folder,
        };
        let reply = answer(&mut call, action);
        drop(guard);
        self.wake.notify_one();
        reply
    }

    /// Changes what goes wrong from now on.
    pub(super) fn set_rates(&self, rates: &Rates) {
        let mut world = self.world();
        world.rates = rates.clone();
        for account in world.accounts.values() {
            account.cloud.set_faults(rates.of_machines());
        }
        drop(world);
        self.wake.notify_one();
    }

    pub(super) fn state(&self) -> State {
        let world = self.world();
        let (mut instances, mut max_live, mut notices) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for account in world.accounts.values() {
            for machine in account.cloud.machines() {
                let Some(record) = account.records.get(&machine.id.0) else { continue };
                instances.push(InstanceState {
                    id: machine.id.0.clone(),
                    instance_type: machine.instance_type.clone(),
                    purchase: machine.asked.to_string(),
                    state: instance_state_name(machine.state()).to_owned(),
                    token: record.launch.token.clone(),
                    address: record.address.to_string(),
                    tags: account.tags.get(&machine.id.0).cloned().unwrap_or_default(),
                });
                if let Some(micros) = record.notice_micros {
                    notices.insert(machine.id.0.clone(), super::times::iso_short(micros));
                }
            }
            for ((instance_type, purchase), most) in account.cloud.max_live_each() {
                let known: &mut usize = max_live.entry(format!("{instance_type}/{purchase}")).or_default();
                *known = (*known).max(most);
            }
        }
        State { instances, max_live, calls: world.calls.clone(), notices }
    }
}
