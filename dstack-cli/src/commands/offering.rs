//! The offering that a name on the command line means.

use dstack_core::model::{Offering, Purchase};
use dstack_core::project::nearest;

use crate::app::{App, LOCAL};
use crate::failure::{Failure, refused};

/// The offering that is named, as its provider has it now.
pub(super) async fn named(
    app: &App,
    name: &str,
    purchase: Purchase,
    region: Option<&str>,
) -> Result<Offering, Failure> {
    if name != LOCAL && region != Some(LOCAL) {
        return elsewhere(app, name, purchase, region).await;
    }
    if purchase == Purchase::Spot {
        return Err(refused("this machine is never spot: `dstack autoscale allow local --max 1 --on-demand`"));
    }
    let offerings = app.local()?.cloud.catalogue(region.unwrap_or(LOCAL)).await;
    let offerings = offerings.map_err(|error| refused(error.to_string()))?;
    let found = offerings.into_iter().find(|offering| offering.instance_type == name);
    found.ok_or_else(|| refused(format!("there is no instance type {name} on this machine: `local` is the one")))
}

/// An offering of an account.
#[cfg(feature = "aws")]
async fn elsewhere(app: &App, name: &str, purchase: Purchase, region: Option<&str>) -> Result<Offering, Failure> {
    let settings = crate::account::settings(&app.home)?.ok_or_else(|| refused(no_account(name)))?;
    let offerings = crate::account::catalogue(&app.home, &settings, region).await?;
    let same = |offering: &&Offering| offering.instance_type == name;
    if let Some(found) = offerings.iter().find(|offering| same(offering) && offering.purchase == purchase) {
        return Ok(found.clone());
    }
    let place = offerings.first().map_or_else(|| "this region".to_owned(), |offering| offering.scope.region.clone());
    if let Some(other) = offerings.iter().find(same) {
        return Err(refused(format!("{name} is not offered as {purchase} in {place}: it is as {}", other.purchase)));
    }
    let near = dstack_aws::near_matches(&offerings, name);
    Err(refused(match near.as_slice() {
        [] => format!("there is no instance type {name} in {place}"),
        [one] => format!("there is no instance type {name} in {place}: did you mean {one}?"),
        many => format!("there is no instance type {name} in {place}: did you mean one of {}?", many.join(", ")),
    }))
}

/// An offering of an account, in a program that was built without clouds.
#[cfg(not(feature = "aws"))]
async fn elsewhere(_app: &App, name: &str, _purchase: Purchase, _region: Option<&str>) -> Result<Offering, Failure> {
    std::future::ready(Err(refused(no_account(name)))).await
}

fn no_account(name: &str) -> String {
    match nearest(name, std::iter::once(LOCAL)) {
        Some(near) => format!("there is no instance type {name}: did you mean {near}?"),
        None => format!(
            "there is no instance type {name}: `local` is this machine, and accounts of clouds come with `dstack aws \
             configure`"
        ),
    }
}
