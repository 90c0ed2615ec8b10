//! Answers lost, late, doubled and throttled on the way: what holds all the same.

use std::collections::{BTreeMap, BTreeSet};

use dstack_core::cloud::{CloudProvider, Known, LaunchError, MachineState};
use dstack_core::model::{LaunchId, LaunchRequest, MachineId, Offering, Purchase, Token};
use examples::ec2_sandbox::Rates;

use crate::laws::Account;
use crate::wire::{LOG, REGION, run};

const FAULTS: &str = "lost-answer=0.2,lost-call=0.1,late=0.1,doubled=0.2,throttle=0.1,capacity=0.1,page-fails=0.1,no-tags=0.2,no-address=0.2,late-within=50ms";
const LAUNCHES: u64 = 5;
const TRIES: u32 = 200;

fn request(offering: &Offering, launch: u64) -> LaunchRequest {
    LaunchRequest {
        log: LOG,
        launch: LaunchId::from_bits(launch),
        rule: offering.rule_key(),
        scope: offering.scope.clone(),
        zone: offering.zones[0].clone(),
        image: offering.image.clone(),
        details: offering.details.clone(),
        ..crate::wire::request(launch, offering.purchase)
    }
}

/// Sends until an answer says what became of it.
async fn launch(cloud: &dyn CloudProvider, request: &LaunchRequest) -> Option<MachineId> {
    for _ in 0..TRIES {
        match cloud.launch(request).await {
            Ok(machine) => return Some(machine.id),
            Err(LaunchError::Ended) => return None,
            Err(LaunchError::Unknown(_) | LaunchError::Throttled(_) | LaunchError::Capacity { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it was never answered");
}

fn swarm(seed: u64) {
    let account = Account::seeded(seed);
    run(async {
        let clouds = [account.ec2(), account.ec2()];
        let offerings = clouds[0].catalogue(REGION).await.expect("nothing fails yet");
        let offering = offerings.iter().find(|row| row.purchase == Purchase::Spot).expect("spot is sold");
        let rates: Rates = FAULTS.parse().expect("they are faults of the sandbox");
        account.sandbox.set_rates(&rates);
        let mut known = BTreeMap::new();
        for number in 1..=LAUNCHES {
            let request = request(offering, number);
            let (one, other) = futures::future::join(launch(&clouds[0], &request), launch(&clouds[1], &request)).await;
            assert_eq!(one, other, "two controllers are told of the same machine");
            known.insert(request.token(), one);
        }
        let asked: Vec<Known> = known
            .iter()
            .map(|(token, machine)| Known {
                token: token.clone(),
                machine: machine.clone(),
                is_final: false,
                is_unheard: false,
            })
            .collect();
        let scope = offering.scope.clone();
        let mut is_over = false;
        for _ in 0..TRIES {
            let Ok(look) = clouds[0].look(&scope, LOG, &asked).await else { continue };
            let seen: BTreeSet<&MachineId> = look.machines.iter().map(|seen| &seen.id).collect();
            let truly: BTreeSet<MachineId> = known.values().flatten().cloned().collect();
            assert!(seen.iter().all(|id| truly.contains(*id)), "nobody else's");
            assert_eq!(look.machines.len() + look.absent.len(), asked.len(), "each is answered for");
            let alive: Vec<MachineId> = look
                .machines
                .iter()
                .filter(|seen| seen.state != MachineState::Terminated)
                .map(|seen| seen.id.clone())
                .collect();
            is_over = alive.is_empty() && look.absent.is_empty();
            if is_over {
                break;
            }
            clouds[1].terminate(&scope, &alive).await;
        }
        assert!(is_over, "all were seen to end");
    });
    let mut by_token: BTreeMap<Option<String>, u64> = BTreeMap::new();
    for instance in account.sandbox.state().instances {
        *by_token.entry(instance.token).or_default() += 1;
        assert_eq!(instance.state, "terminated");
    }
    let tokens: BTreeSet<Token> = by_token.keys().flatten().cloned().map(Token).collect();
    assert_eq!(tokens.len() as u64, LAUNCHES);
    assert!(by_token.values().all(|count| *count == 1), "a token makes one machine: {by_token:?}");
}

#[test]
fn a_token_makes_one_machine_whatever_happens_on_the_way() {
    swarm(1);
}

#[test]
fn a_token_makes_one_machine_whatever_else_happens_on_the_way() {
    swarm(2);
}
