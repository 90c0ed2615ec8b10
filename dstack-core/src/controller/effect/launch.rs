//! Launch, termination and the first contact.

use std::sync::Arc;

use super::outcome::{Outcome, host_failure, until};
use crate::clock::Clock;
use crate::cloud::{LaunchError, Machine, SendPermit};
use crate::controller::ports::Provider;
use crate::host::RunnerHost;
use crate::model::{ClaimNumber, LaunchRequest, MachineId, Observation, Place, RunnerId, Scope};
use crate::planted::{self, Bug};

/// One send. The claim's ttl is checked once more right before it, by whoever sends.
pub(in crate::controller) async fn launch(
    provider: Provider,
    clock: Arc<dyn Clock>,
    runner: RunnerId,
    request: Arc<LaunchRequest>,
    permit: SendPermit,
    timeout: std::time::Duration,
    greets: bool,
) -> Outcome {
    let now = clock.boot();
    if !permit.holds(now) && !planted::is(Bug::LateSend) {
        return Outcome::Failed("the launch was not sent: it is no longer wanted, or not by this claim".to_owned());
    }
    let answer = until(&*clock, now.plus(timeout), provider.cloud.launch_with(&request, &permit)).await;
    let answer = answer.unwrap_or_else(|| Err(LaunchError::Unknown("no answer in time".to_owned())));
    let greeting = match &answer {
        Ok(Machine { id, address: Some(address), .. }) if greets => {
            let place = Place { runner, machine: id.clone(), address: address.clone(), identity: None };
            let greeting = until(&*clock, clock.boot().plus(timeout), provider.host.greet(&place)).await;
            greeting.and_then(Result::ok)
        }
        Ok(_) | Err(_) => None,
    };
    Outcome::Launched { answer, greeting }
}

pub(in crate::controller) async fn terminate(
    provider: Provider,
    runner: RunnerId,
    scope: Scope,
    machine: MachineId,
) -> Outcome {
    let answers = provider.cloud.terminate(&scope, &[machine]).await;
    match answers.into_iter().next() {
        Some(Err(crate::cloud::CloudError::NotFound)) if planted::is(Bug::NotFoundTrusted) => ended(runner),
        // A machine that the provider does not know is proven gone by looks, like any other.
        Some(Ok(()) | Err(crate::cloud::CloudError::NotFound)) => Outcome::Terminating,
        Some(Err(error)) => Outcome::Failed(error.to_string()),
        None => Outcome::Failed("the provider did not answer for the machine".to_owned()),
    }
}

/// What a launch says whose machine has lived and died.
fn ended(runner: RunnerId) -> Outcome {
    let (claim, answer) = (ClaimNumber(0), Err(LaunchError::Ended));
    Outcome::Saw(vec![Observation::LaunchAnswered { runner, claim, answer, greeting: None }])
}

pub(in crate::controller) async fn greet(host: Arc<dyn RunnerHost>, place: Place) -> Outcome {
    match host.greet(&place).await {
        Ok(greeting) => Outcome::Saw(vec![Observation::Answered { runner: place.runner, greeting }]),
        Err(error) => host_failure(place.runner, &error),
    }
}
