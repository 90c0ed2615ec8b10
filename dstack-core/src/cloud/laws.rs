//! What every [`CloudProvider`] holds to: one function per law, and [`cloud_laws!`](crate::cloud_laws) makes a test of each.
//!
//! Laws never wait for a clock: they ask the [`Subject`] to let time pass, at most [`PATIENCE`] times in a row. They need a
//! provider that has capacity and is not broken on purpose. They launch what the catalogue offers first, and end it again.

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::join;

use super::{Absence, CloudError, CloudProvider, Known, LaunchError, Look, Machine, MachineState, Seen};
use crate::model::{LaunchId, LaunchRequest, LogId, MachineId, Offering, Scope};

pub use super::subject::{Law, Subject};

/// How often a law lets time pass before it gives up.
pub const PATIENCE: u32 = 100;

/// Every law with its name, for a program that tries them on a provider outside of a test.
pub const ALL: &[(&str, Law)] = crate::cloud_laws!(@each table());

const LOG: LogId = LogId::from_bytes([1; 16]);
const OTHER_LOG: LogId = LogId::from_bytes([2; 16]);

/// A provider in use by a law.
struct Bench<'a> {
    subject: &'a dyn Subject,
    cloud: std::sync::Arc<dyn CloudProvider>,
    scope: Scope,
    offerings: Vec<Offering>,
}

impl<'a> Bench<'a> {
    async fn new(subject: &'a dyn Subject) -> Self {
        let (cloud, region) = (subject.cloud(), subject.region());
        let scope = cloud.scope(&region).await.expect("the region is there");
        let offerings = cloud.catalogue(&region).await.expect("the region has a catalogue");
        Self { subject, cloud, scope, offerings }
    }

    fn request(&self, log: LogId, launch: u64) -> LaunchRequest {
        request(self.offerings.first().expect("something is offered"), log, launch)
    }

    async fn launch(&self, log: LogId, launch: u64) -> Machine {
        self.cloud.launch(&self.request(log, launch)).await.expect("there is capacity for a law")
    }

    async fn look(&self, log: LogId, known: &[Known]) -> Look {
        let look = self.cloud.look(&self.scope, log, known).await.expect("the provider answers");
        let ids: BTreeSet<&MachineId> = look.machines.iter().map(|seen| &seen.id).collect();
        assert_eq!(ids.len(), look.machines.len(), "a look shows a machine once");
        look
    }

    /// Looks until the machine is seen as it is wanted.
    async fn until(&self, log: LogId, machine: &MachineId, wanted: impl Fn(&Seen) -> bool) -> Seen {
        for _ in 0..PATIENCE {
            let look = self.look(log, &[]).await;
            if let Some(seen) = look.machines.into_iter().find(|seen| seen.id == *machine && wanted(seen)) {
                return seen;
            }
            self.subject.settle().await;
        }
        panic!("{machine} was not seen as it should be, however much time passed");
    }

    async fn until_listed(&self, log: LogId, machine: &MachineId) -> Seen {
        self.until(log, machine, |_| true).await
    }

    async fn end(&self, log: LogId, machine: &MachineId) {
        self.until_listed(log, machine).await;
        let answers = self.cloud.terminate(&self.scope, std::slice::from_ref(machine)).await;
        assert_eq!(answers, [Ok(())], "a machine of ours can be terminated");
        self.until(log, machine, |seen| seen.state == MachineState::Terminated).await;
    }
}

fn request(offering: &Offering, log: LogId, launch: u64) -> LaunchRequest {
    LaunchRequest::new(
        log,
        LaunchId::from_bits(launch),
        offering,
        offering.zones.first().expect("an offering has a zone").clone(),
    )
}

fn known(request: &LaunchRequest, machine: Option<&MachineId>, is_final: bool) -> Known {
    Known { token: request.token(), machine: machine.cloned(), is_final, is_unheard: false }
}

/// The same region is the same scope, whoever asks.
pub async fn a_scope_is_stable(subject: &dyn Subject) {
    let (one, two, region) = (subject.cloud(), subject.cloud(), subject.region());
    let scope = one.scope(&region).await.expect("the region is there");
    assert_eq!(scope.region, region);
    assert_eq!(two.scope(&region).await, Ok(scope.clone()));
    subject.settle().await;
    assert_eq!(one.scope(&region).await, Ok(scope));
}

/// Offerings name the scope that looks name, have a zone, and there is one for each type and purchase.
pub async fn the_catalogue_is_of_its_scope(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    assert!(!bench.offerings.is_empty(), "something is offered");
    let keys: BTreeSet<_> = bench.offerings.iter().map(Offering::rule_key).collect();
    assert_eq!(keys.len(), bench.offerings.len(), "a type and purchase is offered once");
    for offering in &bench.offerings {
        assert_eq!(offering.scope, bench.scope);
        assert!(!offering.zones.is_empty() && offering.cpu.0 > 0 && offering.memory.0 > 0, "{offering:?}");
    }
}

/// What the catalogue offers can be launched as it stands there, bought as it was asked for.
pub async fn every_offering_can_be_launched(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    for (launch, offering) in (1..).zip(&bench.offerings) {
        let machine = bench.cloud.launch(&request(offering, LOG, launch)).await.expect("it is offered");
        assert_eq!(machine.purchase, offering.purchase);
        bench.end(LOG, &machine.id).await;
    }
}

/// The same token and request answer with the same machine, at once and later, from any handle.
pub async fn a_token_makes_one_machine(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    assert_eq!(bench.launch(LOG, 1).await.id, machine.id);
    bench.until_listed(LOG, &machine.id).await;
    subject.settle().await;
    let again = subject.cloud().launch(&bench.request(LOG, 1)).await.expect("it is launched");
    assert_eq!(again.id, machine.id);
    assert_eq!(bench.look(LOG, &[]).await.machines.len(), 1);
    bench.end(LOG, &machine.id).await;
}

/// Two sends that meet make one machine between them; one of the two may be told that the outcome is unknown.
pub async fn a_token_sent_twice_at_once_makes_one_machine(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let (other, request) = (subject.cloud(), bench.request(LOG, 1));
    let (first, second) = join(bench.cloud.launch(&request), other.launch(&request)).await;
    let answered: BTreeSet<MachineId> =
        [&first, &second].into_iter().filter_map(|answer| Some(answer.as_ref().ok()?.id.clone())).collect();
    assert_eq!(answered.len(), 1, "they answered {first:?} and {second:?}");
    for answer in [&first, &second] {
        assert!(matches!(answer, Ok(_) | Err(LaunchError::Unknown(_))), "{answer:?}");
    }
    let machine = answered.first().expect("one answered").clone();
    bench.until_listed(LOG, &machine).await;
    subject.settle().await;
    assert_eq!(bench.look(LOG, &[]).await.machines.len(), 1);
    bench.end(LOG, &machine).await;
}

/// The token with another request is refused, and makes nothing.
pub async fn another_request_with_the_token_is_a_mismatch(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    let mut other = bench.request(LOG, 1);
    // Not the image: a provider may refuse one that it does not have before it compares the token's requests.
    other.options.ssh_user = Some("other".into());
    let answer = bench.cloud.launch(&other).await;
    assert!(matches!(answer, Err(LaunchError::Mismatch(_))), "{answer:?}");
    assert_eq!(bench.launch(LOG, 1).await.id, machine.id, "the right request still answers");
    bench.until_listed(LOG, &machine.id).await;
    assert_eq!(bench.look(LOG, &[]).await.machines.len(), 1);
    bench.end(LOG, &machine.id).await;
}

/// Other launches and other logs have other machines.
pub async fn another_token_makes_another_machine(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let first = bench.launch(LOG, 1).await;
    let second = bench.launch(LOG, 2).await;
    let third = bench.launch(OTHER_LOG, 1).await;
    let ids = BTreeSet::from([&first.id, &second.id, &third.id]);
    assert_eq!(ids.len(), 3);
    for (log, machine) in [(LOG, first), (LOG, second), (OTHER_LOG, third)] {
        bench.end(log, &machine.id).await;
    }
}

/// In time a look lists what was launched, and with the token of its launch.
pub async fn a_launched_machine_is_seen_with_its_token(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    let token = bench.request(LOG, 1).token();
    let seen = bench.until(LOG, &machine.id, |seen| seen.token.is_some()).await;
    assert_eq!(seen.token, Some(token));
    bench.end(LOG, &machine.id).await;
}

/// In time it runs, and the look or the launch has said how it is reached.
pub async fn a_machine_comes_to_run_and_has_an_address(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    let seen = bench.until(LOG, &machine.id, |seen| seen.state == MachineState::Running).await;
    assert!(seen.address.is_some() || machine.address.is_some());
    bench.end(LOG, &machine.id).await;
}

/// A look is complete: no machine of the log is left out once it has shown itself.
pub async fn a_look_shows_all_machines_of_the_log(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let mut launched = BTreeSet::new();
    for launch in 1..=5 {
        launched.insert(bench.launch(LOG, launch).await.id);
    }
    for machine in &launched {
        bench.until_listed(LOG, machine).await;
    }
    for cloud in [&bench.cloud, &subject.cloud()] {
        let look = cloud.look(&bench.scope, LOG, &[]).await.expect("the provider answers");
        assert_eq!(look.machines.into_iter().map(|seen| seen.id).collect::<BTreeSet<_>>(), launched);
    }
    for machine in &launched {
        bench.end(LOG, machine).await;
    }
}

/// Where nothing was launched there is nothing to see.
pub async fn a_look_without_machines_is_empty(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    assert_eq!(bench.look(LOG, &[]).await, Look::default());
}

/// Machines of other logs are not in the look.
pub async fn a_look_leaves_out_other_logs(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(OTHER_LOG, 1).await;
    bench.until_listed(OTHER_LOG, &machine.id).await;
    assert_eq!(bench.look(LOG, &[]).await, Look::default());
    bench.end(OTHER_LOG, &machine.id).await;
}

/// Each known launch is answered for: its machine is in the look, or its token is named as absent; never both.
pub async fn a_known_launch_is_seen_or_absent(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    bench.until_listed(LOG, &machine.id).await;
    let (there, missing) = (bench.request(LOG, 1), bench.request(LOG, 9));
    for machine in [None, Some(&machine.id)] {
        let asked = [known(&missing, None, false), known(&there, machine, false)];
        let look = bench.look(LOG, &asked).await;
        assert_eq!(look.absent, [Absence(missing.token())]);
        assert_eq!(look.machines.len(), 1);
        assert_eq!(look.machines[0].token, Some(there.token()), "a look-up by its token knows its token");
    }
    bench.end(LOG, &machine.id).await;
}

/// Terminating ends a machine, in time and for good; asking again is harmless.
pub async fn terminate_is_idempotent_and_ends_the_machine(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    bench.until_listed(LOG, &machine.id).await;
    let ids = [machine.id.clone()];
    for cloud in [&bench.cloud, &subject.cloud(), &bench.cloud] {
        assert_eq!(cloud.terminate(&bench.scope, &ids).await, [Ok(())]);
    }
    bench.until(LOG, &machine.id, |seen| seen.state == MachineState::Terminated).await;
    assert_eq!(bench.cloud.terminate(&bench.scope, &ids).await, [Ok(())]);
}

/// There is one answer for each machine, in their order: one that is not known fails alone.
pub async fn terminate_answers_for_each_machine(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let (first, second) = (bench.launch(LOG, 1).await, bench.launch(LOG, 2).await);
    bench.until_listed(LOG, &first.id).await;
    bench.until_listed(LOG, &second.id).await;
    let unknown = MachineId("i-00000000000000000".into());
    let answers = bench.cloud.terminate(&bench.scope, &[first.id.clone(), unknown, second.id.clone()]).await;
    assert_eq!(answers.len(), 3);
    assert_eq!((&answers[0], &answers[2]), (&Ok(()), &Ok(())));
    assert!(matches!(answers[1], Err(CloudError::NotFound | CloudError::Invalid(_))), "{:?}", answers[1]);
    assert_eq!(bench.cloud.terminate(&bench.scope, &[]).await, []);
    for machine in [first, second] {
        bench.until(LOG, &machine.id, |seen| seen.state == MachineState::Terminated).await;
    }
}

/// After a look has shown it terminated, every look does, until none shows it.
pub async fn a_terminated_machine_never_lives_again(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    bench.until(LOG, &machine.id, |seen| seen.state == MachineState::Running).await;
    bench.end(LOG, &machine.id).await;
    for _ in 0..5 {
        subject.settle().await;
        let asked = [known(&bench.request(LOG, 1), Some(&machine.id), false)];
        let look = bench.look(LOG, &asked).await;
        assert!(look.machines.iter().all(|seen| seen.id == machine.id && seen.state == MachineState::Terminated));
        assert_eq!(look.machines.len() + look.absent.len(), 1);
    }
}

/// A spent token says so, for ever.
pub async fn the_token_of_an_ended_machine_starts_no_other(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let machine = bench.launch(LOG, 1).await;
    bench.end(LOG, &machine.id).await;
    for cloud in [&bench.cloud, &subject.cloud(), &bench.cloud] {
        assert_eq!(cloud.launch(&bench.request(LOG, 1)).await, Err(LaunchError::Ended));
        subject.settle().await;
        let look = bench.look(LOG, &[]).await;
        assert!(look.machines.iter().all(|seen| seen.state == MachineState::Terminated), "{look:?}");
    }
}

/// A launch that was dropped on its way may have happened or not; sent again, it answers, and there is one machine.
pub async fn a_dropped_launch_may_be_sent_again(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    drop(bench.cloud.launch(&bench.request(LOG, 1)));
    bench.cloud.launch(&bench.request(LOG, 1)).now_or_never();
    let machine = bench.launch(LOG, 1).await;
    bench.until_listed(LOG, &machine.id).await;
    subject.settle().await;
    assert_eq!(bench.look(LOG, &[]).await.machines.len(), 1);
    bench.end(LOG, &machine.id).await;
}

/// After a look has been asked for the last word on a launch, that launch is refused, or what it makes is found.
pub async fn a_launch_after_a_final_look_is_fenced_or_found(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let request = bench.request(LOG, 1);
    let look = bench.look(LOG, &[known(&request, None, true)]).await;
    assert_eq!(look.absent, [Absence(request.token())]);
    match bench.cloud.launch(&request).await {
        Ok(machine) => {
            assert!(
                request.timing.settle > crate::model::Span::ZERO,
                "without a time to settle in, a final look must fence the launch"
            );
            bench.until(LOG, &machine.id, |seen| seen.token == Some(request.token())).await;
            bench.end(LOG, &machine.id).await;
        }
        Err(_) => {
            subject.settle().await;
            let look = bench.look(LOG, &[known(&request, None, true)]).await;
            assert!(look.machines.iter().all(|seen| seen.state == MachineState::Terminated), "{look:?}");
            assert!(bench.cloud.launch(&request).await.is_err(), "what is fenced stays so");
        }
    }
}

/// A region that the provider does not have is an error of the request, not an empty one.
pub async fn a_region_that_is_not_there_is_an_error(subject: &dyn Subject) {
    let bench = Bench::new(subject).await;
    let region = format!("not-{}", subject.region());
    assert!(matches!(bench.cloud.scope(&region).await, Err(CloudError::Invalid(_))));
    assert!(matches!(bench.cloud.catalogue(&region).await, Err(CloudError::Invalid(_))));
    let elsewhere = Scope { region, ..bench.scope.clone() };
    assert!(bench.cloud.look(&elsewhere, LOG, &[]).await.is_err(), "no evidence comes from there");
}
