//! A burst of launches goes as fast as EC2's bucket lets it, and no faster; ends never wait behind it.

use std::time::Duration;

use dstack_aws::Ec2;
use dstack_core::clock::{Boot, Clock as _};
use dstack_core::model::{Command, Event, Purchase, Record};

use super::way::Sent;
use super::world::{BOOT, Fleet, count};

/// Between two looks while something starts, and the ways there and back of the calls before and after.
const LOOK: Duration = Duration::from_secs(7);

/// EC2's bucket of RunInstances: 5 at once, then 2 a second.
fn fits_the_bucket(arrivals: &[Boot]) -> bool {
    let window = |first: usize, last: usize| {
        let millis = arrivals[last].since(arrivals[first]).as_millis();
        (last - first + 1) as u128 * 1_000 <= 5_000 + 2 * millis
    };
    (0..arrivals.len()).all(|first| (first..arrivals.len()).all(|last| window(first, last)))
}

/// What EC2's bucket costs a burst, and a second.
fn delay_most(count: u32) -> Duration {
    Duration::from_millis(u64::from(count.saturating_sub(5)) * 500 + 1_000)
}

fn refused(fleet: &Fleet) -> Vec<Sent> {
    fleet.way.sent().into_iter().filter(|sent| sent.status != 200).collect()
}

/// Appends that want runners, and how many of them came with no launch's answer before them in the same moment: those cost
/// a commit of their own.
fn appends_of_wishes(records: &[Record]) -> (usize, usize) {
    let (mut all, mut alone) = (0, 0);
    let mut before: Option<&Record> = None;
    for record in records {
        let is_new = before.is_none_or(|before| before.append != record.append);
        if is_new && matches!(record.event(), Some(Event::RunnerWanted(_))) {
            all += 1;
            let is_answer = |before: &&Record| -> bool {
                matches!(before.event(), Some(Event::RunnerLaunched(_) | Event::ClaimClosed(_)))
                    && before.at == record.at
            };
            alone += usize::from(!before.as_ref().is_some_and(is_answer));
        }
        before = Some(record);
    }
    (all, alone)
}

#[test]
fn two_hundred_runners_are_ready_as_soon_as_the_bucket_of_launches_allows() {
    for size in [1, 10, 200] {
        let fleet = Fleet::new();
        let mut controller = fleet.controller();
        fleet.allow(&mut controller, Purchase::OnDemand, size);
        fleet.submit(&mut controller, size, "sleep 9000");
        let began = fleet.clock.boot();
        fleet.until(&mut controller, |records| count(records, "RunnerReady") == size as usize);
        let took = fleet.clock.boot().since(began);

        let launches = fleet.way.arrivals("RunInstances");
        assert_eq!(launches.len(), size as usize, "a call for each runner, and no more");
        assert!(refused(&fleet).is_empty(), "{:#?}", refused(&fleet));
        assert!(fits_the_bucket(&launches), "{launches:?}");
        let spread = launches[launches.len() - 1].since(launches[0]);
        assert!(spread <= delay_most(size), "{size}: the last launch was {spread:?} after the first");
        assert!(took <= delay_most(size) + BOOT + LOOK, "{size}: the last runner was ready after {took:?}");
        assert_eq!(fleet.sandbox.state().max_live["m5.xlarge/on-demand"], size as usize);
        let (wishes, alone) = appends_of_wishes(&fleet.records());
        assert!(alone <= size as usize / 50 + 1, "{size}: {alone} of {wishes} appends of wishes cost a commit");
        println!("{size} runners: launched within {spread:?}, ready after {took:?}; wishes in {wishes} appends");
    }
}

#[test]
fn the_ends_of_machines_never_wait_behind_launches() {
    let fleet = Fleet::new();
    let mut controller = fleet.controller();
    fleet.allow(&mut controller, Purchase::OnDemand, 200);
    fleet.submit(&mut controller, 200, "sleep 9000");
    fleet.until(&mut controller, |records| count(records, "RunnerLaunched") >= 80);
    let alive: Vec<String> = fleet.sandbox.state().instances.into_iter().map(|instance| instance.id).collect();
    let asked = fleet.clock.boot();
    fleet.run(controller.client_mut().command(Command::Disable)).expect("it is done");
    fleet.run(controller.run_until_idle()).expect("the log can be used");

    let state = fleet.sandbox.state();
    assert_eq!(state.live(), 0);
    assert!(refused(&fleet).is_empty(), "{:#?}", refused(&fleet));
    let most = alive.len() + Ec2::LAUNCHES_AT_ONCE as usize;
    assert!(state.instances.len() <= most, "{} were launched, {} had been", state.instances.len(), alive.len());
    let ends: Vec<Sent> = fleet.way.sent().into_iter().filter(|sent| sent.action == "TerminateInstances").collect();
    let soon = |sent: &&Sent| sent.at.since(asked) <= Duration::from_secs(1);
    let first: Vec<&Sent> = ends.iter().take_while(soon).collect();
    // Those whose launch is answered in this moment are known a moment later.
    let named = alive.iter().filter(|id| first.iter().any(|sent| sent.form.contains(id.as_str()))).count();
    assert!(named + 2 >= alive.len(), "{named} of {} were asked to end within a second", alive.len());
    assert!(first.len() <= 3, "they are ended together, not one by one: {} calls", first.len());
    println!("{named} of {} machines were asked to end in {} calls, {} in all", alive.len(), first.len(), ends.len());
}
