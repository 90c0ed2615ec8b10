//! Regions: which there are, and which the account has enabled.

use std::collections::BTreeMap;

use crate::api::Api;
use crate::failure::{Class, Failure};
use crate::session::Session;

/// Refuses what can be no region's name, so that it never becomes part of a host name.
pub(crate) fn check_form(region: &str) -> Result<(), Failure> {
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let parts: Vec<&str> = region.split('-').collect();
    let ends_in_number = parts.last().is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if (3..=5).contains(&parts.len()) && parts.iter().all(|part| is_word(part)) && ends_in_number {
        return Ok(());
    }
    Err(Failure::new(Class::Invalid, format!("{region:?} is no region: name one such as us-east-1")))
}

/// All regions, and whether the account has enabled them.
pub(crate) async fn list(session: &Session) -> Result<BTreeMap<String, bool>, Failure> {
    let request = session.ec2.describe_regions().all_regions(true);
    let answer = session.calls.make(Api::DescribeRegions, request.send()).await?;
    let region = |region: &aws_sdk_ec2::types::Region| {
        Some((region.region_name()?.to_owned(), region.opt_in_status() != Some("not-opted-in")))
    };
    Ok(answer.regions().iter().filter_map(region).collect())
}

/// Refuses a region that the account does not have.
pub(crate) fn check_listed(region: &str, listed: Option<&BTreeMap<String, bool>>) -> Result<(), Failure> {
    let Some(listed) = listed.filter(|listed| !listed.is_empty()) else { return Ok(()) };
    match listed.get(region) {
        Some(true) => Ok(()),
        Some(false) => {
            let words = format!("region {region} is not enabled in this account: enable it under Account, AWS Regions");
            Err(Failure::new(Class::Invalid, words))
        }
        None => {
            let names: Vec<&str> = listed.keys().map(String::as_str).collect();
            Err(Failure::new(Class::Invalid, format!("there is no region {region}; there are {}", names.join(", "))))
        }
    }
}
