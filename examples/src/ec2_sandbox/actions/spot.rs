//! Spot prices and requests.

use std::collections::BTreeSet;

use dstack_core::cloud::MachineState;
use dstack_core::model::Purchase;

use super::super::account::{Account, Row};
use super::super::catalogue::Catalogue;
use super::super::filter::{Filters, Page, PageSize};
use super::super::reply::{Failure, NoAnswer};
use super::super::times::iso;
use super::Call;

const PAGE: PageSize = PageSize { least: 5, most: 1_000 };

const REQUEST_FILTERS: [&str; 6] =
    ["spot-instance-request-id", "state", "status-code", "instance-id", "type", "launched-availability-zone"];

/// One price for each type and zone: the last change, an hour ago. What the table has no list price of has none.
pub(super) fn price_history(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let known = ["instance-type", "product-description", "availability-zone", "spot-price", "timestamp"];
    let filters = Filters::parse(call.query, &known)?;
    let types = call.query.list("InstanceType");
    let products = call.query.list("ProductDescription");
    let zone = call.query.text("AvailabilityZone");
    call.dry_run()?;
    let is_linux = |name: &&str| ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"].contains(name);
    let mut rows = Vec::new();
    for row in Catalogue::get().types.values().filter(|row| row.usages.iter().any(|usage| usage == "spot")) {
        if !types.is_empty() && !types.contains(&row.name.as_str())
            || !products.is_empty() && !products.iter().any(is_linux)
        {
            continue;
        }
        for place in row.zones(call.region) {
            let Some(price) = row.spot_price(call.region, &place) else { continue };
            let price = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
            let fits = filters.fit(|name| match name {
                "instance-type" => vec![row.name.clone()],
                "product-description" => vec!["Linux/UNIX".to_owned()],
                "availability-zone" => vec![place.clone()],
                "spot-price" => vec![price.clone()],
                _ => Vec::new(),
            });
            if fits && zone.is_none_or(|zone| zone == place) {
                rows.push((&row.name, place, price));
            }
        }
    }
    let page =
        Page::cut(call.query, rows, PageSize { least: 1, most: 1_000 }, |(name, zone, _)| format!("{name} {zone}"))?;
    let changed = iso(call.now_micros - 3_600_000_000);
    Ok(call.document("DescribeSpotPriceHistory", |xml| {
        xml.items("spotPriceHistorySet", &page.rows, |xml, (name, zone, price)| {
            xml.leaf("instanceType", name);
            xml.leaf("productDescription", "Linux/UNIX");
            xml.leaf("spotPrice", price);
            xml.leaf("timestamp", &changed);
            xml.leaf("availabilityZone", zone);
            xml.leaf_if("availabilityZoneId", Catalogue::get().zone(zone).map(|zone| &zone.id));
        });
        // The last page has an empty token here, and not none.
        xml.leaf("nextToken", page.next.as_deref().unwrap_or_default());
    }))
}

/// A request's state, and the code and sentence of its status.
fn status(account: &Account, row: &Row) -> (&'static str, &'static str, &'static str) {
    let is_cancelled = account.cancelled.contains(&Account::spot_request(&row.machine.id));
    let is_over = matches!(row.seen.state, MachineState::ShuttingDown | MachineState::Terminated);
    let is_reclaimed = row.seen.reason.as_deref() == Some("Server.SpotInstanceTermination");
    match (row.seen.state, is_over) {
        (MachineState::Pending, _) if !is_cancelled => {
            ("active", "pending-fulfillment", "Your Spot request is pending fulfillment.")
        }
        (_, true) if is_reclaimed => (
            "closed",
            "instance-terminated-no-capacity",
            "Your Spot instance was terminated because there is no Spot capacity available.",
        ),
        (_, true) => ("closed", "instance-terminated-by-user", "Your Spot instance was terminated by you."),
        _ if is_cancelled => (
            "cancelled",
            "request-canceled-and-instance-running",
            "Your Spot request was cancelled, and its instance still runs.",
        ),
        _ if row.record.notice_micros.is_some() => {
            ("active", "marked-for-termination", "Your Spot instance is marked for termination.")
        }
        _ => ("active", "fulfilled", "Your Spot request is fulfilled."),
    }
}

/// The Spot rows of the region, those that the call names. One that is not there fails the whole call.
fn requests(call: &Call<'_>) -> Result<Vec<Row>, NoAnswer> {
    let asked: BTreeSet<&str> = call.query.list("SpotInstanceRequestId").into_iter().collect();
    let rows: Vec<Row> =
        call.account.rows(call.region)?.into_iter().filter(|row| row.machine.purchase == Purchase::Spot).collect();
    let there: BTreeSet<String> = rows.iter().map(|row| Account::spot_request(&row.machine.id)).collect();
    if let Some(missing) = asked.iter().find(|id| !there.contains(**id)) {
        let words = format!("The spot instance request ID '{missing}' does not exist");
        return Err(Failure::client("InvalidSpotInstanceRequestID.NotFound", words).into());
    }
    let is_asked = |row: &Row| asked.is_empty() || asked.contains(Account::spot_request(&row.machine.id).as_str());
    Ok(rows.into_iter().filter(is_asked).collect())
}

pub(super) fn describe_requests(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &REQUEST_FILTERS)?;
    let rows = requests(call)?;
    call.dry_run()?;
    let account = &*call.account;
    let fits = |row: &Row| {
        let (state, code, _) = status(account, row);
        filters.fit(|name| {
            vec![match name {
                "spot-instance-request-id" => Account::spot_request(&row.machine.id),
                "state" => state.to_owned(),
                "status-code" => code.to_owned(),
                "instance-id" => row.machine.id.0.clone(),
                "type" => "one-time".to_owned(),
                _ => row.machine.zone.clone(),
            }]
        })
    };
    let rows = rows.into_iter().filter(fits).collect();
    let page = Page::cut(call.query, rows, PAGE, |row| Account::spot_request(&row.machine.id))?;
    Ok(call.document("DescribeSpotInstanceRequests", |xml| {
        xml.items("spotInstanceRequestSet", &page.rows, |xml, row| {
            let (state, code, words) = status(account, row);
            xml.leaf("spotInstanceRequestId", Account::spot_request(&row.machine.id));
            xml.leaf("type", "one-time");
            xml.leaf("state", state);
            xml.group("status", |xml| {
                xml.leaf("code", code);
                xml.leaf("updateTime", iso(row.record.launched_micros));
                xml.leaf("message", words);
            });
            xml.leaf("instanceId", &row.machine.id.0);
            xml.leaf("createTime", iso(row.record.launched_micros));
            xml.leaf("productDescription", "Linux/UNIX");
            xml.leaf("launchedAvailabilityZone", &row.machine.zone);
            xml.leaf("instanceInterruptionBehavior", "terminate");
        });
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}

/// Cancels requests. Their instances go on running.
pub(super) fn cancel_requests(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    call.query.required("SpotInstanceRequestId.1")?;
    let rows = requests(call)?;
    call.dry_run()?;
    let ids: Vec<String> = rows.iter().map(|row| Account::spot_request(&row.machine.id)).collect();
    call.account.cancelled.extend(ids.iter().cloned());
    Ok(call.document("CancelSpotInstanceRequests", |xml| {
        xml.items("spotInstanceRequestSet", &ids, |xml, id| {
            xml.leaf("spotInstanceRequestId", id);
            xml.leaf("state", "cancelled");
        });
    }))
}
