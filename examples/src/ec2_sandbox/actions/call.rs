//! One call of an action.

use std::path::Path;

use super::super::account::Account;
use super::super::addresses::Addresses;
use super::super::query::Query;
use super::super::reply::{Failure, NoAnswer};
use super::super::xml::Xml;
use super::{groups, images, instances, network, run_instances, spot, tags, types};

/// The name space of EC2's documents.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// One call of an action, with everything that it may use.
pub(in super::super) struct Call<'a> {
    pub(in super::super) account: &'a mut Account,
    pub(in super::super) addresses: &'a mut Addresses,
    pub(in super::super) region: &'a str,
    pub(in super::super) query: &'a Query,
    pub(in super::super) request_id: &'a str,
    pub(in super::super) now_micros: i64,
    /// Every other call is odd; lists come in another order then.
    pub(in super::super) is_odd: bool,
    /// The user and the port that instances have for SSH.
    pub(in super::super) ssh: (&'a str, u16),
    /// Where the folders of instances are.
    pub(in super::super) folder: &'a Path,
}

impl Call<'_> {
    /// An action's document.
    pub(super) fn document(&self, action: &str, fill: impl FnOnce(&mut Xml)) -> String {
        Xml::document(&format!("{action}Response"), NAMESPACE, |xml| {
            xml.leaf("requestId", self.request_id);
            fill(xml);
        })
    }

    /// The document of an action that has nothing to say.
    pub(super) fn done(&self, action: &str) -> String {
        self.document(action, |xml| xml.leaf("return", "true"))
    }

    /// Ends a dry run that has come this far.
    pub(super) fn dry_run(&self) -> Result<(), Failure> {
        if self.query.flag("DryRun")? { Err(Failure::dry_run()) } else { Ok(()) }
    }
}

/// Whether an action changes what there is, so that its effect can come late and its delivery be doubled.
pub(in super::super) fn is_changing(action: &str) -> bool {
    matches!(action, "RunInstances" | "TerminateInstances")
}

/// Answers a call.
pub(in super::super) fn answer(call: &mut Call<'_>, action: &str) -> Result<String, NoAnswer> {
    match action {
        "RunInstances" => run_instances::run_instances(call),
        "DescribeInstances" => instances::describe_instances(call),
        "DescribeInstanceStatus" => instances::describe_instance_status(call),
        "TerminateInstances" => instances::terminate_instances(call),
        "GetConsoleOutput" => instances::get_console_output(call),
        "DescribeInstanceTypes" => types::describe_instance_types(call),
        "DescribeInstanceTypeOfferings" => types::describe_offerings(call),
        "DescribeImages" => images::describe_images(call),
        "DescribeRegions" => network::describe_regions(call),
        "DescribeAvailabilityZones" => network::describe_zones(call),
        "DescribeVpcs" => network::describe_vpcs(call),
        "DescribeSubnets" => network::describe_subnets(call),
        "DescribeAccountAttributes" => network::describe_account_attributes(call),
        "DescribeSecurityGroups" => groups::describe(call),
        "CreateSecurityGroup" => groups::create(call),
        "AuthorizeSecurityGroupIngress" => groups::authorize(call),
        "RevokeSecurityGroupIngress" => groups::revoke(call),
        "DeleteSecurityGroup" => groups::delete(call),
        "CreateTags" => tags::create_tags(call),
        "DeleteTags" => tags::delete_tags(call),
        "DescribeTags" => tags::describe_tags(call),
        "ImportKeyPair" => tags::import_key_pair(call),
        "DescribeKeyPairs" => tags::describe_key_pairs(call),
        "DeleteKeyPair" => tags::delete_key_pair(call),
        "DescribeSpotPriceHistory" => spot::price_history(call),
        "DescribeSpotInstanceRequests" => spot::describe_requests(call),
        "CancelSpotInstanceRequests" => spot::cancel_requests(call),
        other => {
            let words = format!("The action {other} is not valid for this web service.");
            Err(Failure::client("InvalidAction", words).into())
        }
    }
}
