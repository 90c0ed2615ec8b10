//! TerminateInstances: all at once, and one by one where that fails for one of them.

use aws_sdk_ec2::types::Filter;
use dstack_core::cloud::CloudError;
use dstack_core::model::MachineId;

use crate::api::Api;
use crate::failure::{Class, Failure};
use crate::session::Session;

/// Machines of one call.
const BATCH: usize = 100;

/// Asks for the end of each machine.
pub(crate) async fn terminate(session: &Session, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
    let mut answers = Vec::with_capacity(machines.len());
    for batch in machines.chunks(BATCH) {
        match send(session, batch).await {
            Ok(()) => answers.extend(batch.iter().map(|_| Ok(()))),
            // One that is not known, protected or misspelt fails the call for the others.
            Err(failure) if batch.len() > 1 && is_of_one(failure.class) => {
                for machine in batch {
                    let answer = send(session, std::slice::from_ref(machine)).await;
                    answers.push(answer.map_err(Failure::into_cloud));
                }
            }
            Err(failure) => answers.extend(batch.iter().map(|_| Err(failure.clone().into_cloud()))),
        }
    }
    answers
}

const fn is_of_one(class: Class) -> bool {
    match class {
        Class::NotFound | Class::Denied | Class::Invalid => true,
        Class::Throttled
        | Class::Capacity { .. }
        | Class::Quota
        | Class::Credentials
        | Class::Ended
        | Class::Mismatch
        | Class::Unknown => false,
    }
}

async fn send(session: &Session, batch: &[MachineId]) -> Result<(), Failure> {
    let ids = batch.iter().map(|machine| machine.0.clone()).collect();
    let request = session.ec2.terminate_instances().set_instance_ids(Some(ids));
    session.calls.make(Api::TerminateInstances, request.send()).await?;
    Ok(())
}

/// Cancels what is left of the Spot requests of machines that end: a request that is still open counts against the quota.
pub(crate) async fn cancel_spot_requests(session: &Session, requests: Vec<String>) {
    if requests.is_empty() {
        return;
    }
    let request = session.ec2.cancel_spot_instance_requests().set_spot_instance_request_ids(Some(requests));
    if let Err(failure) = session.calls.make(Api::CancelSpotInstanceRequests, request.send()).await {
        tracing::warn!(%failure, "spot requests of ended machines may stay open for a while");
    }
}

/// One filter with these values.
pub(crate) fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}
