//! Each fault does what it says, and no more.

use std::sync::Mutex;

use super::behaviour::{LOG, Rig, request};
use super::*;
use crate::cloud::{Absence, CloudError, Known, LaunchError, Look, MachineState};
use crate::model::{Purchase, Span};

fn is_unknown<R>(answer: &Result<R, LaunchError>) -> bool {
    matches!(answer, Err(LaunchError::Unknown(_)))
}

#[test]
fn a_lost_answer_hides_an_effect_and_the_same_token_finds_it() {
    let rig = Rig::new(1);
    rig.cloud.lose_next_answer();
    assert!(is_unknown(&rig.launch(1)));
    assert_eq!(rig.cloud.machines().len(), 1);
    assert_eq!(rig.machine(1), rig.cloud.machines()[0].id);
    rig.cloud.lose_next_answer();
    let id = rig.cloud.machines()[0].id.clone();
    assert!(matches!(rig.terminate(&id), Err(CloudError::Unknown(_))));
    assert_eq!(rig.state(&id), MachineState::ShuttingDown);
}

#[test]
fn a_lost_call_has_no_effect_and_answers_the_same() {
    let rig = Rig::new(1);
    rig.cloud.lose_next_call();
    assert!(is_unknown(&rig.launch(1)));
    assert_eq!(rig.cloud.machines(), []);
}

#[test]
fn a_late_call_takes_effect_after_its_caller_gave_up() {
    let rig = Rig::new(1);
    rig.cloud.run_next_late(Span::from_secs(80));
    assert!(is_unknown(&rig.launch(1)));
    rig.pass(Span::from_secs(79));
    assert_eq!(rig.cloud.machines(), []);
    rig.pass(Span::from_secs(30));
    let machines = rig.cloud.machines();
    assert_eq!(machines.len(), 1);
    assert_eq!(machines[0].launched(), crate::clock::Boot(Duration::from_secs(80)), "at its time, not when asked");
    rig.cloud.run_next_late(Span::from_secs(5));
    assert!(rig.terminate(&machines[0].id).is_err());
    assert!(!rig.cloud.machines().iter().any(|machine| machine.state() == MachineState::ShuttingDown));
    rig.pass(Span::from_secs(5));
    assert_eq!(rig.state(&machines[0].id), MachineState::ShuttingDown);
}

#[test]
fn an_answer_can_take_its_time_while_its_effect_is_there() {
    let rig = Rig::new(1);
    rig.cloud.answer_late(Span::from_secs(20));
    let request = request(&rig.offerings[0], 1);
    let mut launch = rig.cloud.launch(&request);
    assert!(launch.as_mut().now_or_never().is_none());
    assert_eq!(rig.cloud.machines().len(), 1);
    rig.pass(Span::from_secs(20));
    assert!(launch.now_or_never().is_some_and(|answer| answer.is_ok()));
}

#[test]
fn an_error_to_order_comes_once_and_does_nothing() {
    let rig = Rig::new(1);
    let errors = [
        LaunchError::Denied("no".into()),
        LaunchError::Quota("full".into()),
        LaunchError::Capacity { why: "none".into(), all_zones: true, permanent: false },
    ];
    errors.iter().for_each(|error| rig.cloud.fail_next_launch(error.clone()));
    for error in errors {
        assert_eq!(rig.launch(1), Err(error));
    }
    assert_eq!(rig.cloud.machines(), []);
    assert!(rig.launch(1).is_ok());
}

#[test]
fn a_doubled_call_makes_one_machine() {
    let rig = Rig::new(1);
    rig.cloud.double_next_call();
    let id = rig.machine(1);
    assert_eq!(rig.cloud.machines().len(), 1);
    rig.cloud.double_next_call();
    assert_eq!(rig.terminate(&id), Ok(()));
}

#[test]
fn a_hidden_machine_is_absent_everywhere_until_it_shows_itself() {
    let rig = Rig::new(1);
    rig.cloud.hide_new_for(Span::from_secs(300));
    let id = rig.machine(1);
    let token = request(&rig.offerings[0], 1).token();
    let known = [Known { token: token.clone(), machine: Some(id.clone()), is_final: false, is_unheard: false }];
    rig.pass(Span::from_secs(299));
    assert_eq!(rig.look(&known), Look { machines: vec![], absent: vec![Absence(token)] });
    assert_eq!(rig.terminate(&id), Err(CloudError::NotFound));
    assert_eq!(rig.machine(1), id, "the token knows it all the time");
    rig.pass(Span::from_secs(1));
    let look = rig.look(&known);
    assert_eq!((look.machines.len(), look.absent.len()), (1, 0));
}

#[test]
fn stale_looks_show_what_was() {
    let rig = Rig::new(1);
    let id = rig.machine(1);
    rig.pass(Span::from_mins(5));
    rig.terminate(&id).expect("it is ours");
    rig.pass(Span::from_mins(1));
    rig.cloud.show_states_of(Span::from_secs(70));
    assert_eq!(rig.look(&[]).machines[0].state, MachineState::Running);
    rig.cloud.show_states_of(Span::ZERO);
    assert_eq!(rig.look(&[]).machines[0].state, MachineState::Terminated);
}

#[test]
fn a_look_with_a_broken_page_is_an_error_as_a_whole() {
    let rig = Rig::new(1);
    let cloud = rig.cloud.clone().with_page_size(2);
    for launch in 1..=5 {
        rig.machine(launch);
    }
    cloud.script(Script::FailPage(3));
    assert!(matches!(rig.run(cloud.look(&rig.scope(), LOG, &[])), Err(CloudError::Unknown(_))));
    assert_eq!(rig.look(&[]).machines.len(), 5);
    cloud.script(Script::FailPage(4));
    assert_eq!(rig.look(&[]).machines.len(), 5, "there is no fourth page to fail");
}

#[test]
fn rows_can_lack_their_token_and_address_and_a_look_up_still_finds_them() {
    let rig = Rig::new(1);
    let id = rig.machine(1);
    rig.pass(Span::from_mins(5));
    rig.cloud.set_faults(Faults { row_without_token: 1_000, row_without_address: 1_000, ..Faults::none() });
    let row = rig.look(&[]).machines.remove(0);
    assert_eq!((row.id, row.token, row.address), (id, None, None));
    let token = request(&rig.offerings[0], 1).token();
    let look = rig.look(&[Known { token: token.clone(), machine: None, is_final: true, is_unheard: false }]);
    assert_eq!((look.machines.len(), look.machines[0].token.as_ref(), look.absent.len()), (1, Some(&token), 0));
}

#[test]
fn a_termination_can_be_refused_or_hang() {
    let rig = Rig::new(1);
    let id = rig.machine(1);
    rig.cloud.script(Script::RefuseTerminate);
    assert!(matches!(rig.terminate(&id), Err(CloudError::Denied(_))));
    assert_eq!(rig.state(&id), MachineState::Pending);
    rig.cloud.script(Script::StickTerminate(Span::from_mins(180)));
    assert_eq!(rig.terminate(&id), Ok(()));
    rig.pass(Span::from_mins(179));
    assert_eq!(rig.state(&id), MachineState::ShuttingDown);
    rig.pass(Span::from_mins(1));
    assert_eq!(rig.state(&id), MachineState::Terminated);
}

#[test]
fn outsiders_terminate_and_halt() {
    let rig = Rig::new(1);
    let (first, second) = (rig.machine(1), rig.machine(2));
    rig.pass(Span::from_mins(1));
    rig.cloud.outsider_terminates(&first);
    rig.cloud.outsider_halts(&second);
    assert_eq!(rig.state(&first), MachineState::ShuttingDown);
    rig.pass(Span::from_mins(600));
    assert_eq!(rig.state(&second), MachineState::Halted, "it stays and takes its slot");
    assert_eq!(rig.terminate(&second), Ok(()));
}

#[test]
fn spot_can_be_answered_with_on_demand_and_counts_where_it_was_asked_for() {
    let rig = Rig::new(1);
    rig.cloud.script(Script::GiveOnDemand);
    let spot = rig.offering("c7i.large", Purchase::Spot).clone();
    let machine = rig.run(rig.cloud.launch(&request(&spot, 1))).expect("there is capacity");
    assert_eq!(machine.purchase, Purchase::OnDemand);
    assert_eq!(rig.cloud.max_live("c7i.large", Purchase::Spot), 1);
    assert_eq!(rig.cloud.max_live("c7i.large", Purchase::OnDemand), 0);
}

#[test]
fn machines_can_die_booting_or_never_be_reachable() {
    let rig = Rig::new(1);
    rig.cloud.script(Script::FailBoot("Client.VolumeLimitExceeded".into()));
    rig.cloud.script(Script::NeverReachable);
    let (dead, deaf) = (rig.machine(1), rig.machine(2));
    rig.pass(Span::from_mins(1));
    let look = rig.look(&[]);
    let row = look.machines.iter().find(|seen| seen.id == dead).expect("it is listed");
    assert_eq!((row.state, row.reason.as_deref()), (MachineState::Terminated, Some("Client.VolumeLimitExceeded")));
    // Both orders fall on the first machine that they fit; a network that nobody ever had is not missed.
    assert_eq!(rig.state(&deaf), MachineState::Running);
    assert!(!rig.cloud.machine(&dead).expect("it was launched").has_network);
    rig.cloud.script(Script::NeverReachable);
    let third = rig.machine(3);
    rig.pass(Span::from_mins(1));
    assert!(!rig.cloud.is_reachable(&third) && rig.cloud.is_reachable(&deaf));
}

#[test]
fn a_region_that_is_down_answers_nothing_and_does_nothing() {
    let rig = Rig::new(1);
    let id = rig.machine(1);
    rig.cloud.take_down("us-east-1");
    assert!(is_unknown(&rig.launch(2)));
    assert!(matches!(rig.terminate(&id), Err(CloudError::Unknown(_))));
    assert!(rig.run(rig.cloud.look(&rig.scope(), LOG, &[])).is_err());
    assert!(rig.run(rig.cloud.scope("us-east-1")).is_err());
    rig.cloud.bring_up("us-east-1");
    assert_eq!((rig.look(&[]).machines.len(), rig.state(&id)), (1, MachineState::Pending));
}

#[test]
fn a_terminated_machine_can_be_forgotten_at_once_but_its_token_is_not() {
    let rig = Rig::new(1);
    rig.cloud.set_faults(Faults { forgotten_early: 1_000, ..Faults::none() });
    let id = rig.machine(1);
    rig.terminate(&id).expect("it is ours");
    rig.pass(Span::from_secs(29));
    assert_eq!(rig.look(&[]).machines[0].state, MachineState::ShuttingDown);
    rig.pass(Span::from_secs(1));
    let token = request(&rig.offerings[0], 1).token();
    let look =
        rig.look(&[Known { token: token.clone(), machine: Some(id.clone()), is_final: false, is_unheard: false }]);
    assert_eq!(look, Look { machines: vec![], absent: vec![Absence(token)] });
    assert_eq!(rig.terminate(&id), Err(CloudError::NotFound));
    assert_eq!(rig.launch(1), Err(LaunchError::Ended));
}

/// Holds calls at one of their two points, and writes down all points.
struct Hold {
    at: Moment,
    passed: Mutex<Vec<(&'static str, Moment)>>,
}

#[async_trait]
impl Gate for Hold {
    async fn pass(&self, point: GatePoint) {
        self.passed.lock().expect("no test fails with it held").push((point.call, point.moment));
        if point.moment == self.at {
            std::future::pending::<()>().await;
        }
    }
}

#[test]
fn a_call_dropped_before_its_effect_never_was_and_one_dropped_after_it_was() {
    for (at, machines) in [(Moment::BeforeEffect, 0), (Moment::BeforeReply, 1)] {
        let rig = Rig::new(1);
        let gate = Arc::new(Hold { at, passed: Mutex::default() });
        let cloud = rig.cloud.clone().with_gate(Arc::clone(&gate) as Arc<dyn Gate>);
        let request = request(&rig.offerings[0], 1);
        let mut launch = cloud.launch(&request);
        assert!(launch.as_mut().now_or_never().is_none());
        drop(launch);
        assert_eq!(cloud.machines().len(), machines);
        let passed = gate.passed.lock().expect("no test fails with it held").clone();
        assert_eq!(passed.len(), 1 + machines);
    }
}

#[test]
fn rates_of_a_thousand_hit_every_time_and_rates_of_none_never() {
    let rig = Rig::new(1);
    let all = |faults: Faults| {
        rig.cloud.set_faults(faults);
        (0..20).map(|_| rig.launch(1)).collect::<Vec<_>>()
    };
    let none = Faults::none;
    assert!(all(Faults { throttled: 1_000, ..none() }).iter().all(|it| matches!(it, Err(LaunchError::Throttled(_)))));
    assert!(all(Faults { quota: 1_000, ..none() }).iter().all(|it| matches!(it, Err(LaunchError::Quota(_)))));
    assert!(all(Faults { denied: 1_000, ..none() }).iter().all(|it| matches!(it, Err(LaunchError::Denied(_)))));
    assert!(all(Faults { invalid: 1_000, ..none() }).iter().all(|it| matches!(it, Err(LaunchError::Invalid(_)))));
    let credentials = all(Faults { credentials: 1_000, ..none() });
    assert!(credentials.iter().all(|it| matches!(it, Err(LaunchError::Credentials(_)))));
    assert!(all(Faults { capacity: 1_000, ..none() }).iter().all(|it| matches!(it, Err(LaunchError::Capacity { .. }))));
    assert_eq!(rig.cloud.machines(), []);
    rig.pass(Span::from_mins(11));
    assert!(all(none()).iter().all(Result::is_ok), "the lack of capacity is over");
}
