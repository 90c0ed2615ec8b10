//! DescribeInstances, DescribeInstanceStatus, TerminateInstances and GetConsoleOutput.

use std::collections::{BTreeMap, BTreeSet};

use dstack_core::cloud::{CloudError, CloudProvider, MachineState};
use dstack_core::model::{MachineId, Purchase};
use futures::FutureExt;

use super::super::account::{Account, Row};
use super::super::filter::{Filters, Page, PageSize};
use super::super::ids::is_id;
use super::super::query::to_base64;
use super::super::reply::{Failure, NoAnswer};
use super::super::tags::tag_values;
use super::super::times::iso;
use super::Call;
use super::instance_xml::{private_address, state_name, state_reason, write_reservation, write_state};

const FILTERS: [&str; 27] = [
    "instance-id",
    "instance-state-name",
    "instance-state-code",
    "instance-type",
    "instance-lifecycle",
    "client-token",
    "image-id",
    "availability-zone",
    "vpc-id",
    "subnet-id",
    "key-name",
    "reservation-id",
    "owner-id",
    "architecture",
    "instance.group-id",
    "instance.group-name",
    "group-id",
    "private-ip-address",
    "ip-address",
    "launch-time",
    "spot-instance-request-id",
    "root-device-type",
    "state-reason-code",
    "tag:",
    "tag-key",
    "tag-value",
    "network-interface.group-id",
];

const PAGE: PageSize = PageSize { least: 5, most: 1_000 };

pub(super) fn describe_instances(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &FILTERS)?;
    let ids = asked_ids(call)?;
    let rows = named(call.account.rows(call.region)?, &ids)?;
    call.dry_run()?;
    let account = &*call.account;
    let fitting: Vec<Row> = rows.into_iter().filter(|row| filters.fit(|name| values(account, row, name))).collect();
    let page = Page::cut(call.query, fitting, PAGE, |row| row.machine.id.0.clone())?;
    let mut reservations: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for row in &page.rows {
        reservations.entry(&row.record.reservation).or_default().push(row.clone());
    }
    // The order is not promised, and so it is not kept.
    let mut reservations: Vec<&Vec<Row>> = reservations.values().collect();
    if call.is_odd {
        reservations.reverse();
    }
    Ok(call.document("DescribeInstances", |xml| {
        xml.items("reservationSet", reservations, |xml, rows| write_reservation(xml, account, rows));
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}

/// The instances that the call names, in their order.
fn asked_ids(call: &Call<'_>) -> Result<Vec<String>, Failure> {
    let ids: Vec<String> = call.query.list("InstanceId").into_iter().map(str::to_owned).collect();
    if let Some(id) = ids.iter().find(|id| !is_id("i", id)) {
        return Err(Failure::client("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"")));
    }
    if !ids.is_empty() && call.query.text("MaxResults").is_some() {
        let words = "The parameter instancesSet cannot be used with the parameter maxResults";
        return Err(Failure::client("InvalidParameterCombination", words));
    }
    Ok(ids)
}

/// The rows of these ids, all of them if none is named. One that is not there fails the whole call.
fn named(rows: Vec<Row>, ids: &[String]) -> Result<Vec<Row>, Failure> {
    if ids.is_empty() {
        return Ok(rows);
    }
    let there: BTreeSet<&str> = rows.iter().map(|row| row.machine.id.0.as_str()).collect();
    let missing: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !there.contains(id)).collect();
    let words = match missing.as_slice() {
        [] => return Ok(rows.into_iter().filter(|row| ids.contains(&row.machine.id.0)).collect()),
        [one] => format!("The instance ID '{one}' does not exist"),
        many => format!("The instance IDs '{}' do not exist", many.join(", ")),
    };
    Err(Failure::client("InvalidInstanceID.NotFound", words))
}

fn values(account: &Account, row: &Row, name: &str) -> Vec<String> {
    if let Some(values) = tag_values(&row.tags, name) {
        return values;
    }
    let launch = &row.record.launch;
    let is_over = row.seen.state == MachineState::Terminated;
    let (code, state) = state_name(row.seen.state);
    let unless_over = |text: String| if is_over { Vec::new() } else { vec![text] };
    match name {
        "instance-id" => vec![row.machine.id.0.clone()],
        "instance-state-name" => vec![state.to_owned()],
        "instance-state-code" => vec![code.to_string()],
        "instance-type" => vec![launch.row.name.clone()],
        "instance-lifecycle" if row.machine.purchase == Purchase::Spot => vec!["spot".to_owned()],
        // A look-up by token goes by an index of its own, which knows what a stale row does not show.
        "client-token" => launch.token.clone().into_iter().collect(),
        "image-id" => vec![launch.image.id.clone()],
        "availability-zone" => vec![row.machine.zone.clone()],
        "vpc-id" => unless_over(account.vpc(&launch.region)),
        "subnet-id" => unless_over(account.subnet(&row.machine.zone)),
        "key-name" => launch.key_name.clone().into_iter().collect(),
        "reservation-id" => vec![row.record.reservation.clone()],
        "owner-id" => vec![account.id.clone()],
        "architecture" => vec![launch.image.arch.to_owned()],
        "instance.group-id" | "group-id" | "network-interface.group-id" if !is_over => launch.groups.clone(),
        "instance.group-name" if !is_over => {
            let name = |id: &String| Some(account.groups.find(&launch.region, id).ok()?.name.clone());
            launch.groups.iter().filter_map(name).collect()
        }
        "private-ip-address" => unless_over(private_address(row)),
        "ip-address" if row.seen.address.is_some() => vec![row.record.address.to_string()],
        "launch-time" => vec![iso(row.record.launched_micros)],
        "spot-instance-request-id" if row.machine.purchase == Purchase::Spot => {
            vec![Account::spot_request(&row.machine.id)]
        }
        "root-device-type" => vec!["ebs".to_owned()],
        "state-reason-code" => state_reason(row).map(|(code, _)| code).into_iter().collect(),
        _ => Vec::new(),
    }
}

pub(super) fn describe_instance_status(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &["instance-state-name", "instance-state-code", "availability-zone"])?;
    let ids = asked_ids(call)?;
    let all = call.query.flag("IncludeAllInstances")?;
    let account = &*call.account;
    let rows = named(account.rows(call.region)?, &ids)?;
    let fits =
        |row: &Row| (all || row.seen.state == MachineState::Running) && filters.fit(|name| values(account, row, name));
    let page = Page::cut(call.query, rows.into_iter().filter(fits).collect(), PAGE, |row| row.machine.id.0.clone())?;
    Ok(call.document("DescribeInstanceStatus", |xml| {
        xml.items("instanceStatusSet", &page.rows, |xml, row| {
            xml.leaf("instanceId", &row.machine.id.0);
            xml.leaf("availabilityZone", &row.machine.zone);
            write_state(xml, "instanceState", row.seen.state);
            let status = if row.seen.state == MachineState::Running { "ok" } else { "not-applicable" };
            for name in ["systemStatus", "instanceStatus"] {
                xml.group(name, |xml| xml.leaf("status", status));
            }
        });
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}

pub(super) fn terminate_instances(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let ids = asked_ids(call)?;
    if ids.is_empty() {
        return Err(Failure::client("MissingParameter", "The request must contain the parameter InstanceId").into());
    }
    let rows = named(call.account.rows(call.region)?, &ids)?;
    call.dry_run()?;
    let before: BTreeMap<String, MachineState> =
        rows.iter().map(|row| (row.machine.id.0.clone(), row.machine.state())).collect();
    // A protected instance saves those of its own zone only.
    let guarded: Vec<&Row> =
        rows.iter().filter(|row| row.record.launch.is_protected && row.machine.is_live()).collect();
    let zones: BTreeSet<&str> = guarded.iter().map(|row| row.machine.zone.as_str()).collect();
    let free = rows.iter().filter(|row| !zones.contains(row.machine.zone.as_str()));
    let free: Vec<MachineId> = free.map(|row| row.machine.id.clone()).collect();
    let scope = call.account.scope(call.region);
    let answers = call.account.cloud.terminate(&scope, &free).now_or_never();
    let answers = answers.expect("no gate and no delay hold the call");
    let refused = free.iter().zip(&answers).find(|(_, answer)| matches!(answer, Err(CloudError::Denied(_))));
    let kept = guarded.first().map(|row| &row.machine.id).or_else(|| refused.map(|(id, _)| id));
    if let Some(id) = kept {
        let words = format!(
            "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
        );
        return Err(Failure::client("OperationNotPermitted", words).into());
    }
    let account = &*call.account;
    Ok(call.document("TerminateInstances", |xml| {
        xml.items("instancesSet", &ids, |xml, id| {
            let after =
                account.cloud.machine(&MachineId(id.clone())).map_or(MachineState::Terminated, |one| one.state());
            let previous = before.get(id).copied().unwrap_or(after);
            // The answer is about the request: a machine that has begun to end is shutting down.
            let current = if previous == MachineState::Terminated { previous } else { MachineState::ShuttingDown };
            xml.leaf("instanceId", id);
            write_state(xml, "currentState", current);
            write_state(xml, "previousState", previous);
        });
    }))
}

pub(super) fn get_console_output(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let id = call.query.required("InstanceId")?.to_owned();
    if !is_id("i", &id) {
        return Err(Failure::client("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"")).into());
    }
    let rows = named(call.account.rows(call.region)?, std::slice::from_ref(&id))?;
    // While it lives, what it writes; afterwards, what was kept.
    let live = std::fs::read_to_string(call.folder.join(&id).join("log/console.log")).ok();
    let kept = || rows.first().map(|row| row.record.console.clone()).unwrap_or_default();
    let console = live.unwrap_or_else(kept);
    let now = call.now_micros;
    Ok(call.document("GetConsoleOutput", |xml| {
        xml.leaf("instanceId", &id);
        xml.leaf("timestamp", iso(now));
        xml.leaf("output", to_base64(console.as_bytes()));
    }))
}
