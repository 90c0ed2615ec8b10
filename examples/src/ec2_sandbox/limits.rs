//! EC2's token buckets: for each account, region and API, as its developer guide documents them.

use std::collections::BTreeMap;

use dstack_core::clock::Boot;

use super::query::Query;
use super::reply::Failure;

/// Tokens at most, and tokens back each second.
type Size = (u64, u64);

/// Parts that a token is counted in, so that a microsecond brings whole parts.
const PARTS: u64 = 1_000_000;

#[derive(Debug)]
struct Bucket {
    parts: u64,
    filled: Boot,
}

impl Bucket {
    fn take(&mut self, tokens: u64, (most, per_sec): Size, now: Boot) -> bool {
        let micros = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        self.parts = self.parts.saturating_add(micros.saturating_mul(per_sec)).min(most * PARTS);
        self.filled = self.filled.max(now);
        match self.parts.checked_sub(tokens.saturating_mul(PARTS)) {
            Some(rest) => {
                self.parts = rest;
                true
            }
            None => false,
        }
    }
}

/// All buckets.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<(String, &'static str, String), Bucket>);

impl Limits {
    /// Takes what this call costs, or refuses it.
    pub(super) fn charge(&mut self, place: &str, action: &str, query: &Query, now: Boot) -> Result<(), Failure> {
        let (name, size) = request_bucket(action, query);
        self.take(place, "request", name, 1, size, now)?;
        if let Some((machines, size)) = resources(action, query) {
            self.take(place, "resource", action, machines, size, now)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        place: &str,
        kind: &'static str,
        name: &str,
        tokens: u64,
        size: Size,
        now: Boot,
    ) -> Result<(), Failure> {
        let key = (place.to_owned(), kind, name.to_owned());
        let bucket = self.0.entry(key).or_insert(Bucket { parts: size.0 * PARTS, filled: now });
        if bucket.take(tokens, size, now) { Ok(()) } else { Err(Failure::throttled()) }
    }
}

fn request_bucket<'a>(action: &'a str, query: &Query) -> (&'a str, Size) {
    let reads = ["Describe", "List", "Get", "Search"].iter().any(|verb| action.starts_with(verb));
    match action {
        "RunInstances" | "StartInstances" => (action, (5, 2)),
        "TerminateInstances" | "CreateVolume" => (action, (100, 5)),
        "CreateTags" => (action, (100, 10)),
        "DescribeInstances" if is_unfiltered(query) => ("DescribeInstances of everything", (50, 10)),
        _ if reads => (action, (100, 20)),
        _ => (action, (50, 5)),
    }
}

fn is_unfiltered(query: &Query) -> bool {
    query.get("MaxResults").is_none() && query.list("InstanceId").is_empty() && query.members("Filter").is_empty()
}

fn resources(action: &str, query: &Query) -> Option<(u64, Size)> {
    match action {
        "RunInstances" => Some((query.number("MaxCount").ok().flatten().unwrap_or(1), (1_000, 2))),
        "TerminateInstances" => Some((query.list("InstanceId").len() as u64, (1_000, 20))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Boot {
        Boot(Duration::from_millis(millis))
    }

    #[test]
    fn launches_come_in_a_burst_of_five_and_then_two_a_second() {
        let (mut limits, query) = (Limits::default(), Query::default());
        let mut sent = |millis| limits.charge("1/us-east-1", "RunInstances", &query, at(millis)).is_ok();
        assert!((0..5).all(|_| sent(0)));
        assert!(!sent(0) && !sent(499));
        assert!(sent(500) && !sent(999));
    }

    #[test]
    fn a_region_and_an_action_have_buckets_of_their_own() {
        let (mut limits, query) = (Limits::default(), Query::default());
        for _ in 0..50 {
            assert_eq!(limits.charge("1/us-east-1", "DescribeInstances", &query, at(0)), Ok(()));
        }
        assert!(limits.charge("1/us-east-1", "DescribeInstances", &query, at(0)).is_err());
        assert_eq!(limits.charge("1/eu-west-1", "DescribeInstances", &query, at(0)), Ok(()));
        assert_eq!(limits.charge("1/us-east-1", "DescribeInstances", &Query::parse("MaxResults=5"), at(0)), Ok(()));
        assert_eq!(limits.charge("1/us-east-1", "DescribeImages", &query, at(0)), Ok(()));
    }

    #[test]
    fn a_launch_of_many_costs_as_many_tokens() {
        let mut limits = Limits::default();
        let query = Query::parse("MaxCount=600");
        assert_eq!(limits.charge("1/us-east-1", "RunInstances", &query, at(0)), Ok(()));
        assert!(limits.charge("1/us-east-1", "RunInstances", &query, at(0)).is_err());
    }
}
