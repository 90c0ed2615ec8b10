//! Random sequences of calls and time, against what must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::behaviour::{LOG, Rig, request};
use super::*;
use crate::cloud::{Known, LaunchError, MachineState};
use crate::model::{MachineId, Purchase, Span, Token};

#[derive(Debug, Clone)]
enum Step {
    Launch { launch: u64, offering: usize, zone: usize },
    Terminate(usize),
    Look,
    Pass(u64),
    Interrupt(usize),
    OutsiderHalts(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..6, 0_usize..3, 0_usize..2)
            .prop_map(|(launch, offering, zone)| Step::Launch { launch, offering, zone }),
        3 => (0_usize..8).prop_map(Step::Terminate),
        3 => Just(Step::Look),
        4 => (1_u64..900).prop_map(Step::Pass),
        1 => (0_usize..8).prop_map(Step::Interrupt),
        1 => (0_usize..8).prop_map(Step::OutsiderHalts),
    ]
}

/// Keeps its own books of what it saw.
#[derive(Default)]
struct Books {
    answered: BTreeMap<(Token, String), MachineId>,
    ended: BTreeSet<MachineId>,
    most: BTreeMap<(String, Purchase), usize>,
}

impl Books {
    /// Looks at the truth, which must fit what was true before.
    fn check(&mut self, cloud: &FakeCloud) {
        let machines = cloud.machines();
        let mut tokens = BTreeSet::new();
        let mut live = BTreeMap::<_, usize>::new();
        for machine in &machines {
            let key = (machine.token.clone(), machine.zone.clone());
            assert!(tokens.insert(key), "a token has one machine in its zone");
            let has_ended = machine.state() == MachineState::Terminated;
            assert!(has_ended || !self.ended.contains(&machine.id), "{} lives again", machine.id);
            if has_ended {
                self.ended.insert(machine.id.clone());
            } else {
                *live.entry((machine.instance_type.clone(), machine.asked)).or_default() += 1;
            }
            assert!(machine.history.is_sorted(), "its states follow in time");
        }
        for (key, count) in live {
            let most = self.most.entry(key).or_default();
            *most = (*most).max(count);
        }
    }

    fn launched(&mut self, request: &crate::model::LaunchRequest, answer: &Result<crate::cloud::Machine, LaunchError>) {
        if let Ok(machine) = answer {
            let key = (request.token(), request.zone.clone());
            let known = self.answered.entry(key).or_insert_with(|| machine.id.clone());
            assert_eq!(*known, machine.id, "a token answers with one machine");
        }
    }
}

fn nth(rig: &Rig, number: usize) -> Option<MachineId> {
    let machines = rig.cloud.machines();
    machines.get(number % machines.len().max(1)).map(|machine| machine.id.clone())
}

fn take(rig: &Rig, books: &mut Books, step: &Step) {
    match step {
        Step::Launch { launch, offering, zone } => {
            let mut request = request(&rig.offerings[*offering], *launch);
            request.zone.clone_from(&rig.offerings[*offering].zones[*zone]);
            let answer = rig.run(rig.cloud.launch(&request));
            books.launched(&request, &answer);
        }
        Step::Terminate(number) => {
            if let Some(id) = nth(rig, *number) {
                rig.run(rig.cloud.terminate(&rig.scope(), &[id]));
            }
        }
        Step::Look => {
            // What comes of it is compared where there are no faults.
            let _answer = rig.run(rig.cloud.look(&rig.scope(), LOG, &[]));
        }
        Step::Pass(secs) => rig.pass(Span::from_secs(*secs)),
        Step::Interrupt(number) => nth(rig, *number).iter().for_each(|id| rig.cloud.interrupt(id)),
        Step::OutsiderHalts(number) => nth(rig, *number).iter().for_each(|id| rig.cloud.outsider_halts(id)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn without_faults_a_look_equals_the_truth(seed: u64, steps in prop::collection::vec(step(), 1..40)) {
        let rig = Rig::new(seed);
        let mut books = Books::default();
        for step in &steps {
            take(&rig, &mut books, step);
            books.check(&rig.cloud);
            let look = rig.look(&[]);
            let seen: BTreeMap<_, _> =
                look.machines.iter().map(|seen| (seen.id.clone(), (seen.state, seen.token.clone()))).collect();
            let now = rig.clock.boot();
            let is_listed = |machine: &FakeMachine| {
                let (since, state) = *machine.history.last().expect("it was launched");
                state != MachineState::Terminated || now < since.plus(Duration::from_secs(3_600))
            };
            let truth: BTreeMap<_, _> = rig.cloud.machines().into_iter().filter(is_listed)
                .map(|machine| {
                    let state = machine.state();
                    (machine.id, (state, machine.token))
                })
                .collect();
            prop_assert_eq!(seen, truth);
        }
    }

    #[test]
    fn the_most_that_lived_at_once_is_counted_right(seed: u64, steps in prop::collection::vec(step(), 1..40)) {
        let rig = Rig::new(seed);
        let mut books = Books::default();
        for step in &steps {
            take(&rig, &mut books, step);
            books.check(&rig.cloud);
        }
        prop_assert_eq!(rig.cloud.max_live_each(), books.most);
    }

    #[test]
    fn whatever_goes_wrong_a_token_has_one_machine_and_the_dead_stay_dead(
        seed: u64, rate in 1_u16..400, steps in prop::collection::vec(step(), 1..60),
    ) {
        let rig = Rig::new(seed);
        rig.cloud.set_faults(Faults::everything(rate));
        let mut books = Books::default();
        for step in &steps {
            take(&rig, &mut books, step);
            books.check(&rig.cloud);
        }
        for (key, most) in &books.most {
            prop_assert!(rig.cloud.max_live(&key.0, key.1) >= *most, "what was seen to live was counted");
        }
    }

    #[test]
    fn equal_seeds_and_calls_give_equal_worlds(seed: u64, steps in prop::collection::vec(step(), 1..30)) {
        let run = || {
            let rig = Rig::new(seed);
            rig.cloud.set_faults(Faults::everything(200));
            let mut books = Books::default();
            steps.iter().for_each(|step| take(&rig, &mut books, step));
            (rig.cloud.machines(), rig.clock.boot())
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn when_faults_stop_everything_shows_itself_and_can_be_ended(
        seed: u64, rate in 1_u16..400, steps in prop::collection::vec(step(), 1..30),
    ) {
        let rig = Rig::new(seed);
        rig.cloud.set_faults(Faults::everything(rate));
        let mut books = Books::default();
        steps.iter().for_each(|step| take(&rig, &mut books, step));
        rig.cloud.set_faults(Faults::none());
        rig.pass(Span::from_mins(10));
        let look = rig.look(&[]);
        let live: Vec<_> = rig.cloud.machines().into_iter().filter(FakeMachine::is_live).collect();
        for machine in &live {
            prop_assert!(look.machines.iter().any(|seen| seen.id == machine.id), "{} is hidden", machine.id);
        }
        let ids: Vec<MachineId> = live.iter().map(|machine| machine.id.clone()).collect();
        let answers = rig.run(rig.cloud.terminate(&rig.scope(), &ids));
        prop_assert!(answers.iter().all(Result::is_ok), "{:?}", answers);
        rig.pass(Span::from_mins(241));
        prop_assert!(!rig.cloud.machines().iter().any(FakeMachine::is_live));
        for ((token, _), machine) in &books.answered {
            let known = [Known { token: token.clone(), machine: Some(machine.clone()), is_final: false, is_unheard: false }];
            let look = rig.look(&known);
            let states: Vec<_> = look.machines.iter().filter(|seen| seen.id == *machine).map(|seen| seen.state).collect();
            prop_assert!(states.is_empty() || states == [MachineState::Terminated]);
        }
    }
}
