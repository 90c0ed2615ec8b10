//! RunInstances.

use std::sync::Arc;

use dstack_core::cloud::{CloudProvider, LaunchError};
use dstack_core::model::{LaunchId, LaunchRequest, LaunchTiming, MachineId, Purchase, RuleKey};
use futures::FutureExt;

use super::super::account::{LaunchKey, Launched, OWNER, Record};
use super::super::ids::{hash, made_id};
use super::super::launch::Launch;
use super::super::reply::{Failure, NoAnswer};
use super::Call;
use super::instance_xml::write_reservation;

pub(super) fn run_instances(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let launch = Launch::read(call.account, call.region, call.query)?;
    if call.query.flag("DryRun")? {
        return Err(Failure::dry_run().into());
    }
    let token = launch.token.clone().unwrap_or_else(|| format!("without token {}", call.account.launched.len()));
    let key = LaunchKey { region: launch.region.clone(), zone: launch.zone.clone(), token };
    let ids = match call.account.launched.get(&key).cloned() {
        Some(before) => again(call, &launch, &key, &before)?,
        None => anew(call, &Arc::new(launch), &key)?,
    };
    let mut rows = call.account.truth(&ids);
    // What a launch answers with is what was decided, not what has become of it since.
    for row in &mut rows {
        row.seen.state = dstack_core::cloud::MachineState::Pending;
        row.seen.address = None;
        row.seen.reason = None;
    }
    let account = &*call.account;
    Ok(call.document("RunInstances", |xml| write_reservation(xml, account, &rows)))
}

/// The same token once more: FakeCloud compares the requests and knows whether the machine still lives.
fn again(call: &Call<'_>, launch: &Launch, key: &LaunchKey, before: &Launched) -> Result<Vec<MachineId>, NoAnswer> {
    let answers = (0..before.count).map(|index| send(call, launch, key, &before.zone, index));
    let (mut ids, mut ended) = (Vec::new(), None);
    for answer in answers {
        match answer {
            Ok(id) => ids.push(id),
            Err(LaunchError::Ended) => ended = Some(LaunchError::Ended),
            Err(error) => return Err(told(&error, launch, &before.zone)),
        }
    }
    match ended {
        Some(error) if ids.is_empty() => Err(told(&error, launch, &before.zone)),
        _ => Ok(ids),
    }
}

fn anew(call: &mut Call<'_>, launch: &Arc<Launch>, key: &LaunchKey) -> Result<Vec<MachineId>, NoAnswer> {
    let zones = launch.zone.clone().map_or_else(|| launch.row.zones(&launch.region), |zone| vec![zone]);
    let mut refusal = NoAnswer::Cut;
    for zone in zones {
        if let Some(refused) = price_refusal(launch, &zone) {
            refusal = refused.into();
            continue;
        }
        let mut ids = Vec::new();
        let mut stop = None;
        while stop.is_none() && (ids.len() as u64) < launch.most {
            match send(call, launch, key, &zone, ids.len() as u64) {
                Ok(id) => ids.push(id),
                Err(error) => stop = Some(error),
            }
        }
        if ids.len() as u64 >= launch.least {
            take_in(call, launch, key, &zone, &ids);
            return Ok(ids);
        }
        for id in &ids {
            call.account.cloud.outsider_terminates(id);
        }
        let Some(error) = stop else { continue };
        refusal = told(&error, launch, &zone);
        if !matches!(error, LaunchError::Capacity { .. }) {
            break;
        }
    }
    Err(refusal)
}

fn price_refusal(launch: &Launch, zone: &str) -> Option<Failure> {
    let (most, now) = (launch.spot_price_most?, launch.row.spot_price(&launch.region, zone)?);
    (most < now).then(|| {
        let dollars = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let words = format!(
            "Your Spot request price of {} is lower than the minimum required Spot request fulfillment price of {}.",
            dollars(most),
            dollars(now)
        );
        Failure::client("SpotMaxPriceTooLow", words)
    })
}

/// One machine's launch in FakeCloud. The request's fingerprint stands as its image, so that FakeCloud compares all of it.
fn send(call: &Call<'_>, launch: &Launch, key: &LaunchKey, zone: &str, index: u64) -> Result<MachineId, LaunchError> {
    let realm = key.zone.as_deref().unwrap_or("region");
    let request = LaunchRequest {
        log: OWNER,
        launch: LaunchId::from_bits(hash(&[realm, &key.token, &index.to_string()])),
        rule: RuleKey {
            provider: "ec2".into(),
            region: launch.region.clone(),
            instance_type: launch.row.name.clone(),
            purchase: if launch.is_spot { Purchase::Spot } else { Purchase::OnDemand },
        },
        scope: call.account.scope(&launch.region),
        zone: zone.to_owned(),
        image: launch.fingerprint.clone(),
        timing: LaunchTiming::CLOUD,
    };
    let answer = call.account.cloud.launch(&request).now_or_never();
    answer.expect("no gate and no delay hold the call").map(|machine| machine.id)
}

fn take_in(call: &mut Call<'_>, launch: &Arc<Launch>, key: &LaunchKey, zone: &str, ids: &[MachineId]) {
    let reservation = made_id("r", &[&call.account.id, call.request_id]);
    for (index, id) in (0..).zip(ids) {
        let record = Record {
            launch: Arc::clone(launch),
            reservation: reservation.clone(),
            index,
            launched_micros: call.now_micros,
            address: call.addresses.take(),
            notice_micros: None,
            taken_back: None,
            reason: None,
            console: String::new(),
        };
        call.account.records.insert(id.0.clone(), record);
        let tags = |kind: &str| launch.tags.get(kind).cloned().unwrap_or_default();
        call.account.tags.insert(id.0.clone(), tags("instance"));
        for disk in &launch.disks {
            call.account.tags.insert(made_id("vol", &[&id.0, &disk.device]), tags("volume"));
        }
    }
    let launched = Launched { zone: zone.to_owned(), count: ids.len() as u64 };
    call.account.launched.insert(key.clone(), launched);
}

/// FakeCloud's refusals in EC2's words.
fn told(error: &LaunchError, launch: &Launch, zone: &str) -> NoAnswer {
    let name = &launch.row.name;
    let zones = launch.row.zones(&launch.region);
    let others = zones.iter().filter(|other| *other != zone).cloned().collect::<Vec<_>>().join(", ");
    let failure = match error {
        LaunchError::Throttled(_) => Failure::throttled(),
        LaunchError::Capacity { permanent: true, .. } => Failure::client(
            "Unsupported",
            format!(
                "Your requested instance type ({name}) is not supported in your requested Availability Zone ({zone}). \
                 Please retry your request by not specifying an Availability Zone or choosing {others}."
            ),
        ),
        LaunchError::Capacity { .. } if launch.is_spot => Failure::with_status(
            500,
            "InsufficientInstanceCapacity",
            "There is no Spot capacity available that matches your request.",
        ),
        LaunchError::Capacity { .. } => Failure::with_status(
            500,
            "InsufficientInstanceCapacity",
            format!(
                "We currently do not have sufficient {name} capacity in the Availability Zone you requested ({zone}). \
                 You can currently get {name} capacity by choosing {others}."
            ),
        ),
        LaunchError::Quota(_) if launch.is_spot => {
            Failure::client("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        }
        LaunchError::Quota(_) => Failure::client(
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket that the \
             specified instance type belongs to.",
        ),
        LaunchError::Denied(_) => Failure::denied("You are not authorized to perform this operation."),
        LaunchError::Invalid(words) => {
            let code = words.split(':').next().unwrap_or("InvalidParameterValue");
            Failure::client(code, words.clone())
        }
        LaunchError::Credentials(_) => Failure::client("RequestExpired", "Request has expired."),
        LaunchError::Mismatch(_) => Failure::client(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        ),
        LaunchError::Ended => Failure::client(
            "IdempotentInstanceTerminated",
            "The client token you have provided is associated with a terminated instance. Please use a different client token.",
        ),
        _ => return NoAnswer::Cut,
    };
    failure.into()
}
