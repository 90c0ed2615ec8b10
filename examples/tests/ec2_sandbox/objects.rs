//! S3 as an object store uses it, without a client of Amazon's.

use super::client::{quick, started};

#[test]
fn an_object_is_put_once_and_got_whole_or_in_part() {
    let (_sandbox, client) = started(quick());
    let put =
        |headers: &str, body: &str| client.http_with("PUT", "/kept/a%20b", headers, body).expect("it is answered");
    assert_eq!(put("", "x").refusal(), (404, "NoSuchBucket".into()));
    assert_eq!(client.http("PUT", "/kept", "").expect("it is answered").status, 200);
    assert_eq!(put("if-none-match: *\r\n", "0123456789").status, 200);
    assert_eq!(put("if-none-match: *\r\n", "other").refusal(), (412, "PreconditionFailed".into()));
    let get = |headers: &str| client.http_with("GET", "/kept/a%20b", headers, "").expect("it is answered");
    assert_eq!((get("").status, get("").body), (200, "0123456789".into()));
    assert_eq!((get("range: bytes=3-5\r\n").status, get("range: bytes=3-5\r\n").body), (206, "345".into()));
    assert_eq!(get("range: bytes=10-\r\n").refusal(), (416, "InvalidRange".into()));
    assert_eq!(client.http("DELETE", "/kept/a%20b", "").expect("it is answered").status, 204);
    assert_eq!(get("").refusal(), (404, "NoSuchKey".into()));
}

#[test]
fn a_listing_has_every_key_once_in_order_and_cuts_at_the_delimiter() {
    let (_sandbox, client) = started(quick());
    client.http("PUT", "/kept", "").expect("it is answered");
    for key in ["b/2", "a", "b/1", "c/d/e", "z"] {
        client.http("PUT", &format!("/kept/{key}"), "").expect("it is answered");
    }
    let list = |query: &str| client.http("GET", &format!("/kept?list-type=2{query}"), "").expect("it is answered");
    let (mut keys, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("&max-keys=2&continuation-token={token}"));
        keys.extend(page.texts("Key"));
        match page.text("NextContinuationToken") {
            Some(next) => token = next,
            None => break,
        }
    }
    assert_eq!(keys, ["a", "b/1", "b/2", "c/d/e", "z"]);
    let tops = list("&delimiter=/");
    assert_eq!(tops.texts("Key"), ["a", "z"]);
    assert_eq!(tops.texts("CommonPrefixes"), ["<Prefix>b/</Prefix>", "<Prefix>c/</Prefix>"]);
    assert_eq!(list("&prefix=b/").texts("Key"), ["b/1", "b/2"]);
}

#[test]
fn a_lost_answer_leaves_an_object_and_faults_of_ec2_leave_s3_alone() {
    let (sandbox, client) = started(quick());
    client.http("PUT", "/kept", "").expect("it is answered");
    sandbox.set_rates(&"lost-answer=1,throttle=1,lost-call=1".parse().expect("these are faults"));
    assert_eq!(client.http("PUT", "/kept/k", "v").expect("it is answered").status, 200);
    sandbox.set_rates(&"s3-lost-answer=1".parse().expect("it is a fault"));
    assert!(client.http_with("PUT", "/kept/once", "if-none-match: *\r\n", "v").is_err());
    sandbox.set_rates(&"s3-throttle=1".parse().expect("it is a fault"));
    assert_eq!(client.http("GET", "/kept/once", "").expect("it is answered").refusal(), (503, "SlowDown".into()));
    sandbox.set_rates(&examples::ec2_sandbox::Rates::default());
    assert_eq!(client.http("GET", "/kept/once", "").expect("it is answered").body, "v");
}
