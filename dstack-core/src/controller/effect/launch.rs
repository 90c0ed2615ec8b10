//! Launch, termination and the first contact.

use std::sync::Arc;

use super::outcome::{Outcome, host_failure, until};
use crate::clock::{Boot, Clock};
use crate::cloud::LaunchError;
use crate::controller::ports::Provider;
use crate::host::RunnerHost;
use crate::model::{LaunchRequest, MachineId, Observation, Place, RunnerId, Scope};

/// One send. The claim's ttl is checked once more right before it.
pub(in crate::controller) async fn launch(
    provider: Provider,
    clock: Arc<dyn Clock>,
    runner: RunnerId,
    request: Arc<LaunchRequest>,
    send_before: Boot,
    timeout: std::time::Duration,
    greets: bool,
) -> Outcome {
    let now = clock.boot();
    if now >= send_before {
        return Outcome::Failed("the claim ran out before the launch was sent".to_owned());
    }
    let answer = until(&*clock, now.plus(timeout), provider.cloud.launch(&request)).await;
    let answer = answer.unwrap_or_else(|| Err(LaunchError::Unknown("no answer in time".to_owned())));
    let is_ready = match &answer {
        Ok(machine) if greets => match &machine.address {
            Some(address) => {
                let place = Place { runner, machine: machine.id.clone(), address: address.clone() };
                provider.host.poll(&place, &[]).await.is_ok()
            }
            None => false,
        },
        Ok(_) | Err(_) => false,
    };
    Outcome::Launched { answer, is_ready }
}

pub(in crate::controller) async fn terminate(provider: Provider, scope: Scope, machine: MachineId) -> Outcome {
    let answers = provider.cloud.terminate(&scope, &[machine]).await;
    match answers.into_iter().next() {
        // A machine that the provider does not know is proven gone by looks, like any other.
        Some(Ok(()) | Err(crate::cloud::CloudError::NotFound)) => Outcome::Terminating,
        Some(Err(error)) => Outcome::Failed(error.to_string()),
        None => Outcome::Failed("the provider did not answer for the machine".to_owned()),
    }
}

pub(in crate::controller) async fn greet(host: Arc<dyn RunnerHost>, place: Place) -> Outcome {
    match host.poll(&place, &[]).await {
        Ok(_) => Outcome::Saw(vec![Observation::Answered(place.runner)]),
        Err(error) => host_failure(place.runner, &error),
    }
}
