//! Instances as DescribeInstances and RunInstances write them.

use dstack_core::cloud::MachineState;
use dstack_core::model::Purchase;

use super::super::account::{Account, Row};
use super::super::catalogue::Catalogue;
use super::super::ids::made_id;
use super::super::tags::write_tags;
use super::super::times::{iso, spoken};
use super::super::xml::Xml;

/// A state's code and name.
pub(super) const fn state_name(state: MachineState) -> (u16, &'static str) {
    match state {
        MachineState::Pending => (0, "pending"),
        MachineState::Running => (16, "running"),
        MachineState::ShuttingDown => (32, "shutting-down"),
        MachineState::Terminated => (48, "terminated"),
        MachineState::Halted => (80, "stopped"),
    }
}

/// EC2's name of a state.
pub(in super::super) const fn instance_state_name(state: MachineState) -> &'static str {
    state_name(state).1
}

pub(super) fn write_state(xml: &mut Xml, name: &str, state: MachineState) {
    let (code, words) = state_name(state);
    xml.group(name, |xml| {
        xml.leaf("code", code.to_string());
        xml.leaf("name", words);
    });
}

/// The code of why a machine is in its state, and its sentence.
pub(super) fn state_reason(row: &Row) -> Option<(String, String)> {
    let code = match row.seen.state {
        MachineState::Pending => return Some(("pending".into(), "pending".into())),
        MachineState::Running => return None,
        _ => row.record.reason.map(str::to_owned).or_else(|| row.seen.reason.clone())?,
    };
    let words = match code.as_str() {
        "Client.UserInitiatedShutdown" => "User initiated shutdown",
        "Client.InstanceInitiatedShutdown" => "Instance initiated shutdown",
        "Server.SpotInstanceTermination" => "Spot instance termination",
        "Server.InternalError" => "Internal error on launch",
        "Server.InsufficientInstanceCapacity" => "Insufficient capacity",
        _ => "",
    };
    let sentence = format!("{code}: {words}");
    Some((code, sentence))
}

/// The `reason` element: another text than the state's reason.
fn transition_reason(account: &Account, row: &Row) -> String {
    let code = state_reason(row).map(|(code, _)| code).unwrap_or_default();
    match code.as_str() {
        "Client.UserInitiatedShutdown" => {
            let ended = row.machine.ran_until().map_or(row.record.launched_micros, |moment| account.wall(moment));
            format!("User initiated ({})", spoken(ended))
        }
        "pending" | "Client.InstanceInitiatedShutdown" => String::new(),
        _ => code,
    }
}

/// A reservation's elements, without one around them. All rows are of the same.
pub(super) fn write_reservation(xml: &mut Xml, account: &Account, rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    xml.leaf("reservationId", &first.record.reservation);
    xml.leaf("ownerId", &account.id);
    xml.group("groupSet", |_| {});
    xml.items("instancesSet", rows, |xml, row| write_instance(xml, account, row));
    if first.machine.purchase == Purchase::Spot {
        xml.leaf("requesterId", "222233334444");
    }
}

fn write_instance(xml: &mut Xml, account: &Account, row: &Row) {
    let (launch, id) = (&row.record.launch, row.machine.id.0.as_str());
    let state = row.seen.state;
    let is_over = state == MachineState::Terminated;
    let public = row.seen.address.as_ref().filter(|_| state == MachineState::Running).map(|_| row.record.address);
    xml.leaf("instanceId", id);
    xml.leaf("imageId", &launch.image.id);
    write_state(xml, "instanceState", state);
    let private = private_address(row);
    xml.leaf(
        "privateDnsName",
        if is_over { String::new() } else { format!("ip-{}.ec2.internal", private.replace('.', "-")) },
    );
    // A name would have to be looked up; the address is a name that needs no looking up.
    xml.leaf("dnsName", public.map(|address| address.to_string()).unwrap_or_default());
    xml.leaf("reason", transition_reason(account, row));
    xml.leaf_if("keyName", launch.key_name.as_deref());
    xml.leaf("amiLaunchIndex", row.record.index.to_string());
    xml.group("productCodes", |_| {});
    xml.leaf("instanceType", &launch.row.name);
    xml.leaf("launchTime", iso(row.record.launched_micros));
    write_placement(xml, &row.machine.zone);
    xml.group("monitoring", |xml| xml.leaf("state", "disabled"));
    if !is_over {
        xml.leaf("subnetId", account.subnet(&row.machine.zone));
        xml.leaf("vpcId", account.vpc(&launch.region));
        xml.leaf("privateIpAddress", &private);
        xml.leaf_if("ipAddress", public.map(|address| address.to_string()));
        xml.leaf("sourceDestCheck", "true");
        write_groups(xml, account, row);
    }
    if let Some((code, sentence)) = state_reason(row) {
        xml.group("stateReason", |xml| {
            xml.leaf("code", code);
            xml.leaf("message", sentence);
        });
    }
    xml.leaf("architecture", launch.image.arch);
    xml.leaf("rootDeviceType", "ebs");
    xml.leaf("rootDeviceName", launch.image.root_device);
    write_disks(xml, row);
    if row.machine.purchase == Purchase::Spot {
        xml.leaf("instanceLifecycle", "spot");
        xml.leaf("spotInstanceRequestId", Account::spot_request(&row.machine.id));
    }
    xml.leaf("virtualizationType", "hvm");
    if row.seen.token.is_some() {
        xml.leaf_if("clientToken", launch.token.as_deref());
    }
    write_tags(xml, &row.tags);
    xml.leaf("hypervisor", "xen");
    write_interface(xml, account, row, &private);
    xml.leaf("ebsOptimized", "false");
    xml.leaf("enaSupport", "true");
    xml.group("metadataOptions", |xml| {
        xml.leaf("state", "applied");
        xml.leaf("httpTokens", &launch.http_tokens);
        xml.leaf("httpPutResponseHopLimit", launch.hop_limit.to_string());
        xml.leaf("httpEndpoint", "enabled");
    });
}

fn write_placement(xml: &mut Xml, zone: &str) {
    xml.group("placement", |xml| {
        xml.leaf("availabilityZone", zone);
        xml.leaf_if("availabilityZoneId", Catalogue::get().zone(zone).map(|zone| &zone.id));
        xml.leaf("groupName", "");
        xml.leaf("tenancy", "default");
    });
}

/// The address in the network: the loopback address, as it would be in 10.0.0.0/16.
pub(super) fn private_address(row: &Row) -> String {
    let [_, _, high, low] = row.record.address.octets();
    format!("10.0.{high}.{low}")
}

fn write_groups(xml: &mut Xml, account: &Account, row: &Row) {
    xml.items("groupSet", &row.record.launch.groups, |xml, id| {
        xml.leaf("groupId", id);
        xml.leaf_if("groupName", account.groups.find(&row.record.launch.region, id).ok().map(|group| &group.name));
    });
}

fn write_disks(xml: &mut Xml, row: &Row) {
    let is_gone = row.is_bare || row.seen.state == MachineState::Terminated;
    let disks = if is_gone { &[][..] } else { &row.record.launch.disks };
    xml.items("blockDeviceMapping", disks, |xml, disk| {
        xml.leaf("deviceName", &disk.device);
        xml.group("ebs", |xml| {
            xml.leaf("volumeId", made_id("vol", &[&row.machine.id.0, &disk.device]));
            xml.leaf("status", "attached");
            xml.leaf("attachTime", iso(row.record.launched_micros));
            xml.leaf("deleteOnTermination", disk.is_deleted_with_instance.to_string());
        });
    });
}

fn write_interface(xml: &mut Xml, account: &Account, row: &Row, private: &str) {
    let here: &[()] = if row.seen.state == MachineState::Terminated { &[] } else { &[()] };
    let id = &row.machine.id.0;
    xml.items("networkInterfaceSet", here, |xml, ()| {
        xml.leaf("networkInterfaceId", made_id("eni", &[id]));
        xml.leaf("subnetId", account.subnet(&row.machine.zone));
        xml.leaf("vpcId", account.vpc(&row.record.launch.region));
        xml.leaf("description", "");
        xml.leaf("ownerId", &account.id);
        xml.leaf("status", "in-use");
        xml.leaf("privateIpAddress", private);
        xml.leaf("sourceDestCheck", "true");
        write_groups(xml, account, row);
        xml.group("attachment", |xml| {
            xml.leaf("attachmentId", made_id("eni-attach", &[id]));
            xml.leaf("deviceIndex", "0");
            xml.leaf("status", "attached");
            xml.leaf("attachTime", iso(row.record.launched_micros));
            xml.leaf("deleteOnTermination", "true");
        });
    });
}
