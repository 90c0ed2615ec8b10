//! What the cloud does when nothing goes wrong on the way.

use super::*;
use crate::cloud::{CloudError, Known, LaunchError, Look, Machine, MachineState};
use crate::model::{LaunchId, LaunchRequest, LogId, MachineId, MilliCpu, Offering, Purchase, Scope, Span};

pub(super) const LOG: LogId = LogId::from_bytes([7; 16]);

/// A cloud with its clock.
pub(super) struct Rig {
    pub(super) clock: Arc<VirtualClock>,
    pub(super) cloud: FakeCloud,
    pub(super) offerings: Vec<Offering>,
}

impl Rig {
    pub(super) fn new(seed: u64) -> Self {
        let clock = Arc::new(VirtualClock::new(seed));
        let cloud = FakeCloud::new(Arc::clone(&clock) as Arc<dyn Clock>, seed);
        Self { clock, cloud, offerings: builtin_offerings() }
    }

    pub(super) fn run<R>(&self, future: impl Future<Output = R>) -> R {
        drive(&self.clock, future)
    }

    pub(super) fn scope(&self) -> Scope {
        self.offerings[0].scope.clone()
    }

    pub(super) fn pass(&self, span: Span) {
        self.clock.advance(span.to_std());
    }

    pub(super) fn look(&self, known: &[Known]) -> Look {
        self.run(self.cloud.look(&self.scope(), LOG, known)).expect("nothing goes wrong")
    }

    pub(super) fn launch(&self, launch: u64) -> Result<Machine, LaunchError> {
        self.run(self.cloud.launch(&request(&self.offerings[0], launch)))
    }

    pub(super) fn machine(&self, launch: u64) -> MachineId {
        self.launch(launch).expect("nothing goes wrong").id
    }

    pub(super) fn terminate(&self, machine: &MachineId) -> Result<(), CloudError> {
        self.run(self.cloud.terminate(&self.scope(), std::slice::from_ref(machine))).remove(0)
    }

    pub(super) fn state(&self, machine: &MachineId) -> MachineState {
        self.cloud.machine(machine).expect("it was launched").state()
    }

    /// The offering of this type and purchase.
    pub(super) fn offering(&self, instance_type: &str, purchase: Purchase) -> &Offering {
        let wanted = |it: &&Offering| it.instance_type == instance_type && it.purchase == purchase;
        self.offerings.iter().find(wanted).expect("it is built in")
    }
}

pub(crate) fn request(offering: &Offering, launch: u64) -> LaunchRequest {
    LaunchRequest::new(LOG, LaunchId::from_bits(launch), offering, offering.zones[0].clone())
}

#[test]
fn a_machine_starts_runs_ends_and_is_forgotten_in_its_time() {
    let rig = Rig::new(1);
    let id = rig.machine(1);
    let mut states = Vec::new();
    for (secs, act) in [(0, false), (39, false), (1, true), (29, false), (1, false), (3_599, false), (1, false)] {
        rig.pass(Span::from_secs(secs));
        let rows = rig.look(&[]).machines;
        states.push(rows.first().map(|seen| (seen.state, seen.address.is_some())));
        if act {
            rig.terminate(&id).expect("it is ours");
        }
    }
    let expected = [
        Some((MachineState::Pending, false)),
        Some((MachineState::Pending, false)),
        Some((MachineState::Running, true)),
        Some((MachineState::ShuttingDown, true)),
        Some((MachineState::Terminated, false)),
        Some((MachineState::Terminated, false)),
        None,
    ];
    assert_eq!(states, expected);
    assert_eq!(rig.launch(1), Err(LaunchError::Ended), "the token outlives the listing");
}

#[test]
fn a_token_holds_for_its_zone_only() {
    let rig = Rig::new(1);
    let first = request(&rig.offerings[0], 1);
    let second = LaunchRequest { zone: rig.offerings[0].zones[1].clone(), ..first.clone() };
    let one = rig.run(rig.cloud.launch(&first)).expect("there is capacity");
    let two = rig.run(rig.cloud.launch(&second)).expect("there is capacity");
    assert_ne!(one.id, two.id);
}

#[test]
fn a_launch_that_failed_leaves_its_token_unspent() {
    let rig = Rig::new(1);
    let offering = &rig.offerings[0];
    rig.cloud.set_capacity(&offering.instance_type, &offering.zones[0], offering.purchase, Some(0));
    let answer = rig.launch(1);
    assert!(matches!(answer, Err(LaunchError::Capacity { permanent: false, all_zones: false, .. })), "{answer:?}");
    rig.cloud.set_capacity(&offering.instance_type, &offering.zones[0], offering.purchase, Some(1));
    assert!(rig.launch(1).is_ok());
    assert!(rig.launch(1).is_ok(), "the same machine again needs no capacity");
    assert!(rig.launch(2).is_err(), "the one that was left is taken");
}

#[test]
fn a_type_that_its_zone_does_not_have_is_never_there() {
    let rig = Rig::new(1);
    let mut wanted = request(rig.offering("p4d.24xlarge", Purchase::Spot), 1);
    wanted.zone = "us-east-1f".into();
    let answer = rig.run(rig.cloud.launch(&wanted));
    assert!(matches!(answer, Err(LaunchError::Capacity { permanent: true, .. })), "{answer:?}");
    wanted.zone = "us-east-1z".into();
    let answer = rig.run(rig.cloud.launch(&wanted));
    assert!(matches!(answer, Err(LaunchError::Invalid(_))), "{answer:?}");
}

#[test]
fn on_demand_quota_does_not_count_what_is_pending() {
    let rig = Rig::new(1);
    rig.cloud.set_quota(Purchase::OnDemand, MilliCpu(4_000));
    for launch in 1..=3 {
        rig.machine(launch);
    }
    rig.pass(Span::from_mins(1));
    assert!(matches!(rig.launch(4), Err(LaunchError::Quota(_))), "six of four processors run");
}

#[test]
fn spot_quota_counts_from_the_launch_on() {
    let rig = Rig::new(1);
    rig.cloud.set_quota(Purchase::Spot, MilliCpu(4_000));
    let spot = rig.offering("c7i.large", Purchase::Spot).clone();
    let launch = |number| rig.run(rig.cloud.launch(&request(&spot, number)));
    assert!(launch(1).is_ok() && launch(2).is_ok());
    assert!(matches!(launch(3), Err(LaunchError::Quota(_))));
}

#[test]
fn a_new_machine_may_get_the_address_of_a_dead_one() {
    let rig = Rig::new(1);
    let first = rig.machine(1);
    rig.pass(Span::from_mins(1));
    let address = rig.cloud.machine(&first).and_then(|machine| machine.address);
    rig.terminate(&first).expect("it is ours");
    rig.pass(Span::from_mins(1));
    let second = rig.machine(2);
    rig.pass(Span::from_mins(1));
    assert!(address.is_some());
    assert_eq!(rig.cloud.machine(&second).and_then(|machine| machine.address), address);
    assert_eq!(rig.cloud.machine(&first).and_then(|machine| machine.address), None);
}

#[test]
fn only_spot_machines_are_taken_back_two_minutes_after_their_notice() {
    let rig = Rig::new(1);
    let spot = rig.offering("c7i.large", Purchase::Spot).clone();
    let spot = rig.run(rig.cloud.launch(&request(&spot, 1))).expect("there is capacity").id;
    let on_demand = rig.machine(2);
    rig.pass(Span::from_mins(5));
    rig.cloud.interrupt(&spot);
    rig.cloud.interrupt_unannounced(&on_demand);
    let notice = rig.run(rig.cloud.notice());
    assert_eq!(notice.machine, spot);
    let deadline = notice.deadline.expect("the cloud names it");
    assert_eq!(deadline.as_micros() - rig.clock.wall_micros(), 120_000_000);
    rig.pass(Span::from_secs(119));
    assert_eq!(rig.state(&spot), MachineState::Running);
    rig.pass(Span::from_secs(1));
    assert_eq!(rig.state(&spot), MachineState::ShuttingDown);
    rig.pass(Span::from_mins(1));
    assert_eq!(rig.state(&on_demand), MachineState::Running);
    let seen = rig.look(&[]).machines.into_iter().find(|seen| seen.id == spot).expect("it is listed for an hour");
    assert_eq!(
        (seen.state, seen.reason.as_deref()),
        (MachineState::Terminated, Some("Server.SpotInstanceTermination"))
    );
}

#[test]
fn a_notice_that_is_due_later_wakes_who_waits_for_it() {
    let rig = Rig::new(1);
    rig.cloud.set_faults(Faults { interrupted: 1_000, ..Faults::none() });
    let spot = rig.offering("c7i.large", Purchase::Spot).clone();
    let id = rig.run(rig.cloud.launch(&request(&spot, 1))).expect("there is capacity").id;
    assert_eq!(rig.run(rig.cloud.notice()).machine, id);
}

#[test]
fn strangers_are_there_but_not_in_our_looks() {
    let rig = Rig::new(1);
    let theirs = rig.cloud.add_stranger("us-east-1", Some(LogId::from_bytes([8; 16]))).expect("the region is there");
    let nobodys = rig.cloud.add_stranger("us-east-1", None).expect("the region is there");
    assert_eq!(rig.look(&[]), Look::default());
    rig.pass(Span::from_mins(1));
    for id in [theirs, nobodys] {
        assert_eq!(rig.state(&id), MachineState::Running);
    }
    assert_eq!(rig.cloud.max_live_each(), std::collections::BTreeMap::new(), "they count under no rule");
}

#[test]
fn with_the_keys_of_another_account_nothing_of_this_one_is_seen_or_done() {
    let rig = Rig::new(1);
    let id = rig.machine(1);
    rig.cloud.use_account("111111111111");
    let other = rig.run(rig.cloud.scope("us-east-1")).expect("the region is there");
    assert_eq!(other.account, "111111111111");
    assert_eq!(rig.run(rig.cloud.look(&other, LOG, &[])), Ok(Look::default()), "complete, empty, and no evidence");
    let answer = rig.run(rig.cloud.look(&rig.scope(), LOG, &[]));
    assert!(matches!(answer, Err(CloudError::Credentials(_))), "{answer:?}");
    assert!(matches!(rig.terminate(&id), Err(CloudError::Credentials(_))));
    assert!(matches!(rig.launch(2), Err(LaunchError::Credentials(_))));
    assert_eq!(rig.run(rig.cloud.terminate(&other, &[id])), [Err(CloudError::NotFound)]);
}

#[test]
fn calls_beyond_the_limits_are_told_to_go_slower_and_do_nothing() {
    let rig = Rig::new(1);
    let cloud = rig.cloud.clone().with_throttling(Throttling::EC2);
    let answers: Vec<_> = (1..=7).map(|launch| rig.run(cloud.launch(&request(&rig.offerings[0], launch)))).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    assert!(answers[5..].iter().all(|answer| matches!(answer, Err(LaunchError::Throttled(_)))));
    assert_eq!((cloud.machines().len(), cloud.calls(Api::Launch)), (5, 7));
    rig.pass(Span::from_secs(1));
    assert!(rig.launch(6).is_ok() && rig.launch(7).is_ok() && rig.launch(8).is_err(), "two tokens a second come back");
}

#[test]
fn the_built_in_catalogue_has_twelve_types_each_way_and_spot_is_cheaper() {
    let offerings = builtin_offerings();
    assert_eq!(offerings.len(), 24);
    for pair in offerings.chunks(2) {
        assert_eq!(pair[0].instance_type, pair[1].instance_type);
        assert!(pair[1].price < pair[0].price && pair[1].price.is_some());
    }
}
