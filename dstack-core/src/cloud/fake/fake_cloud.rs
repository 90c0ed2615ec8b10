//! The fake cloud as its user holds it: set up, break, ask for the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::faults::{Faults, Script, Throttling};
use super::world::{Api, Buckets, Due, NOTICE_TIME, World};
use super::{FakeMachine, Gate, NoWait};
use crate::clock::{Boot, Clock};
use crate::cloud::{CloudError, LaunchError, MachineState};
use crate::model::{Address, LogId, MachineId, MicroUsd, MilliCpu, Offering, Purchase, Scope, Span, Token};

/// A cloud in memory, in virtual time, that is no kinder than EC2.
///
/// - Tokens hold for ever and for a zone: the same token and request answer with the same machine, another request with
///   [`LaunchError::Mismatch`], and once the machine has ended with [`LaunchError::Ended`]. A launch that failed leaves its
///   token as it was: sent again, it can succeed.
/// - A machine is pending for the boot time, ends through shutting down, and is listed for about an hour afterwards.
/// - Looks show machines of one owner tag only; those of others are there too ([`add_stranger`](Self::add_stranger)).
///
/// Faults come by chance ([`Faults`]) and to order ([`Script`]), all of it from one seed. Time is the clock's: what is due
/// happens when the cloud is next called or asked. Clones share one cloud.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use dstack_core::clock::VirtualClock;
/// use dstack_core::cloud::{CloudProvider, FakeCloud, LaunchError, MachineState};
/// use dstack_core::model::{LaunchId, LaunchRequest, LogId};
/// use futures::FutureExt;
///
/// let clock = Arc::new(VirtualClock::new(7));
/// let cloud = FakeCloud::new(clock.clone(), 7);
///
/// let catalogue = cloud.catalogue("us-east-1").now_or_never().expect("nothing delays it")?;
/// let offering = &catalogue[0];
/// let zone = offering.zones[0].clone();
/// let request = LaunchRequest::new(LogId::from_bytes([1; 16]), LaunchId::from_bits(1), offering, zone);
///
/// // The launch happens, and its caller never hears of it.
/// cloud.lose_next_answer();
/// let answer = cloud.launch(&request).now_or_never().expect("nothing delays it");
/// assert!(matches!(answer, Err(LaunchError::Unknown(_))));
///
/// // The same token finds the machine that it made.
/// let machine = cloud.launch(&request).now_or_never().expect("nothing delays it").expect("it is there");
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(cloud.machine(&machine.id).expect("it was launched").state(), MachineState::Running);
/// assert_eq!(cloud.max_live(&offering.instance_type, offering.purchase), 1);
/// # Ok::<(), dstack_core::cloud::CloudError>(())
/// ```
#[derive(Clone)]
pub struct FakeCloud {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gate: Mutex<Arc<dyn Gate>>,
    pub(super) world: Mutex<World>,
    pub(super) changed: Notify,
}

impl FakeCloud {
    /// A cloud with the built-in offerings and no faults.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let gate: Arc<dyn Gate> = Arc::new(NoWait);
        let inner =
            Inner { clock, gate: Mutex::new(gate), world: Mutex::new(World::new(seed)), changed: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Sells these offerings and no others. The account is that of the first.
    #[must_use]
    pub fn with_offerings(self, offerings: Vec<Offering>) -> Self {
        self.set(|world| {
            if let Some(first) = offerings.first() {
                world.name.clone_from(&first.scope.provider);
                world.account.clone_from(&first.scope.account);
            }
            world.offerings = offerings;
        })
    }

    /// Goes by this name of a provider in its scopes.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        self.set(|world| name.clone_into(&mut world.name))
    }

    /// A machine is pending for that long. Default 40 s.
    #[must_use]
    pub fn with_boot(self, boot: Span) -> Self {
        self.set(|world| world.boot = boot)
    }

    /// A machine shuts down for that long. Default 30 s.
    #[must_use]
    pub fn with_shutdown(self, shutdown: Span) -> Self {
        self.set(|world| world.shutdown = shutdown)
    }

    /// Looks show a terminated machine for that long. Default one hour.
    #[must_use]
    pub fn with_memory(self, remember: Span) -> Self {
        self.set(|world| world.remember = remember)
    }

    /// A page of a look holds that many machines. Default 1000.
    #[must_use]
    pub fn with_page_size(self, rows: usize) -> Self {
        self.set(|world| world.page_size = rows.max(1))
    }

    /// Calls beyond these limits are told to go slower. Default: no limits.
    #[must_use]
    pub fn with_throttling(self, limits: Throttling) -> Self {
        let now = self.inner.clock.boot();
        self.set(|world| world.buckets = Some(Buckets::new(limits, now)))
    }

    /// Faults by chance from the start.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        self.set(|world| world.faults = faults)
    }

    /// Every call passes this gate before its effect and before its reply.
    #[must_use]
    pub fn with_gate(self, gate: Arc<dyn Gate>) -> Self {
        *self.inner.gate.lock().unwrap_or_else(PoisonError::into_inner) = gate;
        self
    }

    fn set(self, change: impl FnOnce(&mut World)) -> Self {
        self.with_world(change);
        self
    }

    /// Settles what is due, then works on the truth.
    pub(super) fn with_world<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        self.at_now(|world, _| act(world))
    }

    pub(super) fn at_now<R>(&self, act: impl FnOnce(&mut World, Boot) -> R) -> R {
        let result = self.quietly(act);
        self.inner.changed.notify_waiters();
        result
    }

    /// As [`at_now`](Self::at_now), without waking those who wait for news.
    pub(super) fn quietly<R>(&self, act: impl FnOnce(&mut World, Boot) -> R) -> R {
        let clock = &self.inner.clock;
        let mut world = self.inner.world.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.boot();
        let boot_micros = i64::try_from(now.0.as_micros()).unwrap_or(i64::MAX);
        world.wall_offset_micros = clock.wall_micros().saturating_sub(boot_micros);
        world.settle(now);
        act(&mut world, now)
    }

    /// Ready when something is changed by a call or by hand; changes by time are not told.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.inner.changed.notified()
    }

    // What goes wrong.

    /// Changes the faults by chance, for calls and machines from now on. Without [`Faults::row_missing`] nothing is missing.
    pub fn set_faults(&self, faults: Faults) {
        self.with_world(|world| {
            if faults.row_missing == 0 {
                world.machines.values_mut().for_each(|machine| machine.missing = None);
            }
            world.faults = faults;
        });
    }

    /// Orders a fault.
    pub fn script(&self, script: Script) {
        self.with_world(|world| world.script.push(script));
    }

    /// The next launch does nothing and answers with this.
    pub fn fail_next_launch(&self, error: LaunchError) {
        self.script(Script::FailLaunch(error));
    }

    /// The next call takes effect, and its answer is lost.
    pub fn lose_next_answer(&self) {
        self.script(Script::LoseAnswer);
    }

    /// The next call is lost before it takes effect.
    pub fn lose_next_call(&self) {
        self.script(Script::LoseCall);
    }

    /// The answer of the next call comes that much after its effect.
    pub fn answer_late(&self, delay: Span) {
        self.script(Script::DelayAnswer(delay));
    }

    /// The next launch or termination is answered "unknown" and takes effect that much later.
    pub fn run_next_late(&self, delay: Span) {
        self.script(Script::RunLate(delay));
    }

    /// The next launch or termination is delivered twice.
    pub fn double_next_call(&self) {
        self.script(Script::DoubleCall);
    }

    /// Looks, look-ups and terminations do not know a machine for that long after its launch. Zero: they do at once.
    pub fn hide_new_for(&self, span: Span) {
        self.with_world(|world| world.hide_new = span);
    }

    /// Looks show the states of that long ago. Zero: those of now.
    pub fn show_states_of(&self, ago: Span) {
        self.with_world(|world| world.stale = ago);
    }

    /// No call about this region is answered until it is up again.
    pub fn take_down(&self, region: &str) {
        self.with_world(|world| world.down.insert(region.to_owned()));
    }

    /// The region answers again.
    pub fn bring_up(&self, region: &str) {
        self.with_world(|world| world.down.remove(region));
    }

    /// The credentials are those of another account from now on.
    pub fn use_account(&self, account: &str) {
        self.with_world(|world| account.clone_into(&mut world.account));
    }

    /// That many more machines can be had of a type in a zone; `None` for as many as are asked for.
    pub fn set_capacity(&self, instance_type: &str, zone: &str, purchase: Purchase, left: Option<u32>) {
        let pool = (instance_type.to_owned(), zone.to_owned(), purchase);
        self.with_world(|world| match left {
            Some(left) => {
                world.capacity.insert(pool, left);
            }
            None => {
                world.outages.remove(&pool);
                world.capacity.remove(&pool);
            }
        });
    }

    /// Processors that the account may have of this purchase. As on EC2, on-demand machines count only once they run.
    pub fn set_quota(&self, purchase: Purchase, most: MilliCpu) {
        self.with_world(|world| world.quota.insert(purchase, most));
    }

    /// The price an hour from now on.
    pub fn set_price(&self, instance_type: &str, purchase: Purchase, price: Option<MicroUsd>) {
        self.with_world(|world| {
            let sold =
                |offering: &&mut Offering| offering.instance_type == instance_type && offering.purchase == purchase;
            for offering in world.offerings.iter_mut().filter(sold) {
                offering.price = price;
            }
        });
    }

    // What befalls machines.

    /// The cloud takes a spot machine back, two minutes after a notice.
    pub fn interrupt(&self, machine: &MachineId) {
        self.at_now(|world, now| world.take_back(machine, now, Some(NOTICE_TIME)));
    }

    /// The cloud takes a spot machine back without a notice.
    pub fn interrupt_unannounced(&self, machine: &MachineId) {
        self.at_now(|world, now| {
            world.take_back(machine, now, None);
            world.settle(now);
        });
    }

    /// A notice that the cloud does not act upon.
    pub fn announce_only(&self, machine: &MachineId) {
        self.at_now(|world, now| {
            let deadline = now.plus(NOTICE_TIME.to_std());
            world.plan(now, Due::Announced(machine.clone(), Some(deadline)));
            world.settle(now);
        });
    }

    /// Somebody else terminates the machine.
    pub fn outsider_terminates(&self, machine: &MachineId) {
        self.at_now(|world, now| world.shut_down(machine, "Client.UserInitiatedShutdown", now));
    }

    /// Somebody else stops the machine without terminating it: it stays, halted.
    pub fn outsider_halts(&self, machine: &MachineId) {
        self.at_now(|world, now| {
            world.plan(now, Due::OutsiderHalts(machine.clone()));
            world.settle(now);
        });
    }

    /// Somebody else reboots the machine: what runs on it is lost.
    pub fn outsider_reboots(&self, machine: &MachineId) {
        self.at_now(|world, now| {
            world.plan(now, Due::OutsiderReboots(machine.clone()));
            world.settle(now);
        });
    }

    /// Takes the machine off the network, or puts it back.
    pub fn set_network(&self, machine: &MachineId, is_up: bool) {
        self.with_world(|world| {
            if let Some(machine) = world.machines.get_mut(machine) {
                machine.has_network = is_up;
            }
        });
    }

    /// Adds a machine that another program started, with another log's owner tag or none.
    ///
    /// # Errors
    /// [`CloudError::Invalid`] if nothing is sold there.
    pub fn add_stranger(&self, region: &str, owner: Option<LogId>) -> Result<MachineId, CloudError> {
        self.at_now(|world, now| {
            let sold = world.offerings.iter().find(|offering| offering.scope.region == region).cloned();
            let offering = sold.ok_or_else(|| no_region(region))?;
            let scope =
                Scope { provider: world.name.clone(), account: world.account.clone(), region: region.to_owned() };
            let zone = offering.zones.first().cloned().unwrap_or_default();
            let mut machine = world.new_machine(&scope, &zone, &offering, now);
            machine.owner = owner;
            let id = machine.id.clone();
            world.add(machine, now);
            Ok(id)
        })
    }

    // The truth.

    /// The machines that a launch made and that take a slot, each with its launch's token.
    pub fn live_launched(&self) -> Vec<(MachineId, Token)> {
        self.quietly(|world, _| {
            let live = world.machines.values().filter(|machine| machine.is_live());
            live.filter_map(|machine| Some((machine.id.clone(), machine.token.clone()?))).collect()
        })
    }

    /// Whether some machine answers at this address.
    pub(crate) fn answers_at(&self, address: &Address) -> bool {
        self.quietly(|world, _| {
            let mut up = world.machines.values().filter(|machine| machine.state() == MachineState::Running);
            up.any(|machine| machine.has_network && machine.address.as_ref() == Some(address))
        })
    }

    /// Grows with every change of a machine's state, launches included: whoever knows the number has missed nothing.
    pub fn changes(&self) -> u64 {
        self.quietly(|world, _| world.changes)
    }

    /// How many machines there ever were, those of others included.
    pub fn machine_count(&self) -> usize {
        self.quietly(|world, _| world.machines.len())
    }

    /// All machines that there ever were.
    pub fn machines(&self) -> Vec<FakeMachine> {
        self.quietly(|world, _| world.machines.values().cloned().collect())
    }

    /// One machine as it is in truth.
    pub fn machine(&self, id: &MachineId) -> Option<FakeMachine> {
        self.quietly(|world, _| world.machines.get(id).cloned())
    }

    /// Whether the machine runs and has a network.
    pub fn is_reachable(&self, id: &MachineId) -> bool {
        self.quietly(|world, _| {
            let reachable = |machine: &FakeMachine| machine.has_network && machine.state() == MachineState::Running;
            world.machines.get(id).is_some_and(reachable)
        })
    }

    /// Calls that arrived, those that were refused included.
    pub fn calls(&self, api: Api) -> u64 {
        self.quietly(|world, _| world.calls.get(&api).copied().unwrap_or(0))
    }

    /// How often each fault came about, by chance or to order, under the name of its field in [`Faults`]. Some come about by
    /// themselves: `address_reused`, `bucket_empty`, `not_found_alive`, `quota_full`, `refused_then_launched`, `region_down`,
    /// `terminate_answer_lost`, `token_ended`, `token_seen_again`.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        self.quietly(|world, _| world.draw.hits().clone())
    }

    /// Most launched machines of this type and asked-for purchase that were not terminated at once, ever.
    pub fn max_live(&self, instance_type: &str, purchase: Purchase) -> usize {
        self.quietly(|world, _| world.max_live.get(&(instance_type.to_owned(), purchase)).copied().unwrap_or(0))
    }

    /// [`max_live`](Self::max_live) of everything that was ever launched.
    pub fn max_live_each(&self) -> BTreeMap<(String, Purchase), usize> {
        self.quietly(|world, _| world.max_live.clone())
    }

    /// The next moment at which something happens by itself.
    pub fn next_change(&self) -> Option<Boot> {
        self.quietly(|world, _| world.next_due())
    }
}

pub(super) fn no_region(region: &str) -> CloudError {
    CloudError::Invalid(format!("there is no region {region}"))
}
