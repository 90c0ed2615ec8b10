//! STS: who is it that calls.

use super::caller::Caller;
use super::query::Query;
use super::reply::{Failure, Reply};
use super::xml::Xml;

/// The name space of its documents.
pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Answers a call with this version of the API.
pub(super) const VERSION: &str = "2011-06-15";

pub(super) fn answer(caller: &Caller, query: &Query, request_id: &str) -> Result<Reply, Failure> {
    let action = query.required("Action")?;
    if action != "GetCallerIdentity" {
        return Err(Failure::client(
            "InvalidAction",
            format!("Could not find operation {action} for version {VERSION}"),
        ));
    }
    let account = &caller.account;
    let text = Xml::document("GetCallerIdentityResponse", NAMESPACE, |xml| {
        xml.group("GetCallerIdentityResult", |xml| {
            xml.leaf("Arn", format!("arn:aws:iam::{account}:user/sandbox"));
            xml.leaf("UserId", "AIDASANDBOXSANDBOXSAN");
            xml.leaf("Account", account);
        });
        xml.group("ResponseMetadata", |xml| xml.leaf("RequestId", request_id));
    });
    Ok(Reply::xml(200, text))
}
