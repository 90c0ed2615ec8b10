//! Which operation a request is.

use bytes::Bytes;
use hyper::Method;

use super::super::query::{Query, decode};
use super::super::reply::{NoAnswer, Reply};
use super::super::server::Asked;
use super::super::state::Shared;
use super::super::xml::Xml;
use super::body::texts;
use super::store::{Bucket, NAMESPACE, Object, Refusal, Store};
use super::{list, multipart, object};

/// Answers a request that is for no other API.
pub(in super::super) fn answer(shared: &Shared, asked: &Asked) -> Result<Reply, NoAnswer> {
    let query = Query::parse(&asked.query);
    let path = decode(asked.path.trim_start_matches('/'), false);
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let name = operation(&asked.method, bucket, key, &query, asked);
    let (request_id, now_micros) = (shared.request_id(), shared.now_micros());
    let mut world = shared.world();
    *world.calls.entry(name.to_owned()).or_default() += 1;
    let rates = world.rates.clone();
    if world.draw.chance(rates.s3_throttled) {
        let refusal = Refusal::new(503, "SlowDown", "Please reduce your request rate.");
        return Ok(refusal.reply(&asked.path, &request_id));
    }
    let is_signed = asked.headers.contains_key("authorization") || query.get("X-Amz-Credential").is_some();
    let result = if is_signed {
        perform(&mut world.s3, name, (bucket, key), &query, asked, now_micros)
    } else {
        Err(Refusal::new(403, "AccessDenied", "Access Denied"))
    };
    if world.draw.chance(rates.s3_answer_lost) {
        return Err(NoAnswer::Cut);
    }
    let reply = result.unwrap_or_else(|refusal| refusal.reply(&asked.path, &request_id));
    Ok(reply.with("x-amz-request-id", request_id))
}

/// The name of the operation.
fn operation(method: &Method, bucket: &str, key: &str, query: &Query, asked: &Asked) -> &'static str {
    let has = |name: &str| query.get(name).is_some();
    match (method.as_str(), bucket, key) {
        ("GET", "", _) => "ListBuckets",
        ("GET", _, "") if has("location") => "GetBucketLocation",
        ("GET", _, "") => "ListObjects",
        ("HEAD", _, "") => "HeadBucket",
        ("PUT", _, "") => "CreateBucket",
        ("DELETE", _, "") => "DeleteBucket",
        ("POST", _, "") if has("delete") => "DeleteObjects",
        ("GET", ..) => "GetObject",
        ("HEAD", ..) => "HeadObject",
        ("PUT", ..) if has("partNumber") && has("uploadId") => "UploadPart",
        ("PUT", ..) if asked.headers.contains_key("x-amz-copy-source") => "CopyObject",
        ("PUT", ..) => "PutObject",
        ("DELETE", ..) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", ..) => "DeleteObject",
        ("POST", ..) if has("uploads") => "CreateMultipartUpload",
        ("POST", ..) if has("uploadId") => "CompleteMultipartUpload",
        _ => "NotImplemented",
    }
}

fn perform(
    store: &mut Store,
    name: &str,
    place: (&str, &str),
    query: &Query,
    asked: &Asked,
    now_micros: i64,
) -> Result<Reply, Refusal> {
    let (bucket, key) = place;
    let (headers, body) = (&asked.headers, &asked.body);
    let upload = query.get("uploadId").unwrap_or_default();
    match name {
        "ListBuckets" => Ok(list::buckets(store)),
        "ListObjects" => list::objects(store, bucket, query),
        "GetBucketLocation" => {
            store.bucket(bucket)?;
            Ok(Reply::new(200, "application/xml", Xml::document("LocationConstraint", NAMESPACE, |_| {})))
        }
        "HeadBucket" => store.bucket(bucket).map(|_| Reply::empty(200)),
        "CreateBucket" => {
            let new = || Bucket { created_micros: now_micros, ..Bucket::default() };
            store.buckets.entry(bucket.to_owned()).or_insert_with(new);
            Ok(Reply::empty(200).with("location", format!("/{bucket}")))
        }
        "DeleteBucket" => {
            if !store.bucket(bucket)?.objects.is_empty() {
                return Err(Refusal::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty"));
            }
            store.buckets.remove(bucket);
            Ok(Reply::empty(204))
        }
        "DeleteObjects" => delete_many(store, bucket, body),
        "GetObject" | "HeadObject" => object::get(store, place, headers),
        "PutObject" | "CopyObject" => object::put(store, place, headers, body, now_micros),
        "DeleteObject" => {
            let bucket = store.bucket(bucket)?;
            let there: Option<&Object> = bucket.objects.get(key);
            if headers.contains_key("if-match") {
                object::may_write(headers, there)?;
            }
            bucket.objects.remove(key);
            Ok(Reply::empty(204))
        }
        "CreateMultipartUpload" => multipart::begin(store, place, headers),
        "UploadPart" => {
            let number = query.number("partNumber").ok().flatten().filter(|number| (1..=10_000).contains(number));
            let wrong = || Refusal::new(400, "InvalidArgument", "Part number must be an integer between 1 and 10000");
            multipart::put_part(store, place, (upload, number.ok_or_else(wrong)?), headers, body)
        }
        "CompleteMultipartUpload" => multipart::complete(store, place, upload, headers, body, now_micros),
        "AbortMultipartUpload" => multipart::abort(store, bucket, upload),
        _ => Err(Refusal::new(501, "NotImplemented", "The sandbox does not know this operation")),
    }
}

fn delete_many(store: &mut Store, bucket: &str, body: &Bytes) -> Result<Reply, Refusal> {
    let bucket = store.bucket(bucket)?;
    let keys = texts(body, "Key");
    for key in &keys {
        bucket.objects.remove(key);
    }
    let is_quiet = texts(body, "Quiet").first().is_some_and(|text| text == "true");
    let text = Xml::document("DeleteResult", NAMESPACE, |xml| {
        for key in keys.iter().filter(|_| !is_quiet) {
            xml.group("Deleted", |xml| xml.leaf("Key", key));
        }
    });
    Ok(Reply::new(200, "application/xml", text))
}
