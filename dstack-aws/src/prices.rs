//! Prices: a table of list prices with its date, and what spot costs now.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_sdk_ec2::types::InstanceType;
use aws_smithy_types::DateTime;
use dstack_core::model::MicroUsd;

use crate::api::Api;
use crate::failure::{Class, Failure};
use crate::session::Session;

/// The day of the table of list prices. A type that came later, or a region that it does not have, has no known price.
pub const LIST_PRICES_OF: &str = "2026-07-20";
/// Most pages of the history of spot prices.
const PAGES_MOST: usize = 200;

/// Micro-dollars an hour by type, for Linux on shared hardware: `data/prices.csv`, whose README names the sources.
static TABLE: LazyLock<BTreeMap<(&'static str, &'static str), u64>> = LazyLock::new(|| {
    let mut lines = include_str!("../data/prices.csv").lines();
    let regions: Vec<&str> = lines.next().unwrap_or_default().split(',').skip(1).collect();
    let row = |line: &'static str| {
        let mut fields = line.split(',');
        let name = fields.next().unwrap_or_default();
        let prices = regions.clone().into_iter().zip(fields);
        prices.filter_map(move |(region, price)| Some(((region, name), price.parse().ok()?)))
    };
    lines.flat_map(row).collect()
});

/// The list price an hour of a type in a region, if the table has it.
pub fn list_price(region: &str, instance_type: &str) -> Option<MicroUsd> {
    TABLE.get(&(region, instance_type)).copied().map(MicroUsd)
}

/// What spot costs now, by type and zone.
pub(crate) type SpotPrices = BTreeMap<String, BTreeMap<String, u64>>;

/// A price such as `0.071200` in micro-dollars; what is finer is rounded up.
pub(crate) fn micro_usd(text: &str) -> Option<u64> {
    let (whole, part) = text.trim().split_once('.').unwrap_or_else(|| (text.trim(), ""));
    if !(whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) && !(whole.is_empty() && part.is_empty()))
    {
        return None;
    }
    let digits = format!("{part:0<6}");
    let rest = digits[6..].bytes().any(|byte| byte != b'0');
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    whole.checked_mul(1_000_000)?.checked_add(digits[..6].parse().ok()?)?.checked_add(u64::from(rest))
}

/// Asks for the prices as they are now: of all types, or of these.
pub(crate) async fn spot(session: &Session, now_secs: i64, types: &[String]) -> Result<SpotPrices, Failure> {
    let mut prices = SpotPrices::new();
    let mut newest: BTreeMap<(String, String), DateTime> = BTreeMap::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MOST {
        let now = DateTime::from_secs(now_secs);
        let types = types.iter().map(|name| InstanceType::from(name.as_str())).collect::<Vec<_>>();
        let request = session
            .ec2
            .describe_spot_price_history()
            .set_instance_types(Some(types).filter(|types| !types.is_empty()))
            .product_descriptions("Linux/UNIX")
            .start_time(now)
            .end_time(now)
            .max_results(1_000)
            .set_next_token(next.take());
        let answer = session.calls.read(Api::DescribeSpotPriceHistory, || request.clone().send()).await?;
        for row in answer.spot_price_history() {
            let (Some(name), Some(zone)) = (row.instance_type(), row.availability_zone()) else { continue };
            let Some(price) = row.spot_price().and_then(micro_usd) else { continue };
            let at = row.timestamp().copied().unwrap_or_else(|| DateTime::from_secs(0));
            let key = (name.as_str().to_owned(), zone.to_owned());
            if newest.get(&key).is_none_or(|known| *known <= at) {
                newest.insert(key, at);
                prices.entry(name.as_str().to_owned()).or_default().insert(zone.to_owned(), price);
            }
        }
        match answer.next_token().filter(|token| !token.is_empty()) {
            Some(token) => next = Some(token.to_owned()),
            None => return Ok(prices),
        }
    }
    Err(Failure::new(Class::Unknown, format!("the spot prices have more than {PAGES_MOST} pages")))
}
