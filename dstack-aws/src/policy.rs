//! The least policy that the provider works with, made of the list of its calls.

use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::tags;

/// What the calls need beside themselves: tags in the same call, and the role that AWS makes for an account's first Spot
/// request.
pub const BESIDE_CALLS: [&str; 2] = ["ec2:CreateTags", "iam:CreateServiceLinkedRole"];

/// What the bucket needs.
pub const BUCKET_ACTIONS: [&str; 5] =
    ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucket"];

fn resources(kinds: &[&str]) -> Value {
    kinds.iter().map(|kind| format!("arn:aws:ec2:*:*:{kind}/*")).collect()
}

/// What a call may be made on.
fn place(api: Api) -> &'static str {
    match api {
        Api::RunInstances => "Launch",
        Api::TerminateInstances => "End",
        Api::CreateSecurityGroup => "MakeGroup",
        Api::AuthorizeSecurityGroupIngress | Api::RevokeSecurityGroupIngress | Api::DeleteSecurityGroup => {
            "ChangeGroup"
        }
        Api::DescribeInstances
        | Api::DescribeSpotInstanceRequests
        | Api::CancelSpotInstanceRequests
        | Api::DescribeInstanceTypes
        | Api::DescribeInstanceTypeOfferings
        | Api::DescribeSpotPriceHistory
        | Api::DescribeImages
        | Api::DescribeRegions
        | Api::DescribeVpcs
        | Api::DescribeSubnets
        | Api::DescribeSecurityGroups
        | Api::GetCallerIdentity => "Look",
    }
}

fn actions(name: &str) -> Value {
    Api::ALL.into_iter().filter(|api| place(*api) == name).map(Api::action).collect()
}

/// The policy as JSON, for the user or role that dstack runs as; with the bucket, if there is one.
///
/// Only machines and groups with a log's tag can be ended and changed, and nothing can be launched without one. EC2 does not
/// let reading be narrowed to resources, nor the cancelling of a Spot request to ours.
pub fn policy(bucket: Option<&str>) -> String {
    let is_tagged = json!({ "Null": { format!("aws:ResourceTag/{}", tags::LOG): "false" } });
    let tags_it = json!({ "Null": { format!("aws:RequestTag/{}", tags::LOG): "false" } });
    let made =
        json!({ "StringEquals": { "ec2:CreateAction": [Api::RunInstances.name(), Api::CreateSecurityGroup.name()] } });
    let mut statements = vec![
        statement("Look", actions("Look"), json!("*"), None),
        statement("Launch", actions("Launch"), resources(&["instance", "volume"]), Some(tags_it.clone())),
        statement(
            "LaunchInto",
            actions("Launch"),
            resources(&["network-interface", "security-group", "spot-instances-request", "subnet"]),
            None,
        ),
        statement(
            "LaunchFrom",
            actions("Launch"),
            json!(["arn:aws:ec2:*::image/*", "arn:aws:ec2:*::snapshot/*"]),
            None,
        ),
        statement(
            "TagWhatIsMade",
            json!([BESIDE_CALLS[0]]),
            resources(&["instance", "volume", "security-group"]),
            Some(made),
        ),
        statement("End", actions("End"), resources(&["instance"]), Some(is_tagged.clone())),
        statement("MakeGroup", actions("MakeGroup"), resources(&["security-group"]), Some(tags_it)),
        statement("MakeGroupIn", actions("MakeGroup"), resources(&["vpc"]), None),
        statement("ChangeGroup", actions("ChangeGroup"), resources(&["security-group"]), Some(is_tagged)),
        statement(
            "FirstSpotRequest",
            json!([BESIDE_CALLS[1]]),
            json!("arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"),
            Some(json!({ "StringEquals": { "iam:AWSServiceName": "spot.amazonaws.com" } })),
        ),
    ];
    if let Some(bucket) = bucket {
        let [objects @ .., list] = BUCKET_ACTIONS;
        statements.push(statement("Keep", json!(objects), json!(format!("arn:aws:s3:::{bucket}/dstack/*")), None));
        let below = json!({ "StringLike": { "s3:prefix": ["dstack/*"] } });
        statements.push(statement("KeepList", json!([list]), json!(format!("arn:aws:s3:::{bucket}")), Some(below)));
    }
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    format!("{policy:#}")
}

fn statement(name: &str, actions: impl Into<Value>, resources: impl Into<Value>, condition: Option<Value>) -> Value {
    let (actions, resources): (Value, Value) = (actions.into(), resources.into());
    let condition = condition.unwrap_or(Value::Null);
    let mut statement = Map::from_iter([
        ("Sid".to_owned(), Value::from(name)),
        ("Effect".to_owned(), Value::from("Allow")),
        ("Action".to_owned(), actions),
        ("Resource".to_owned(), resources),
        ("Condition".to_owned(), condition),
    ]);
    statement.retain(|_, value| !value.is_null());
    Value::Object(statement)
}
