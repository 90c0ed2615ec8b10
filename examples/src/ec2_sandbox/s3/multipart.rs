//! Uploads in parts.

use bytes::Bytes;
use hyper::HeaderMap;

use super::super::ids::digest;
use super::super::reply::Reply;
use super::super::xml::Xml;
use super::body::{content, kept_headers, texts};
use super::object::may_write;
use super::store::{NAMESPACE, Object, Refusal, Store, Upload};

/// Least bytes of a part that is not the last.
const PART_LEAST: usize = 5 << 20;

fn no_upload() -> Refusal {
    Refusal::new(404, "NoSuchUpload", "The specified upload does not exist.")
}

pub(super) fn begin(store: &mut Store, (bucket, key): (&str, &str), headers: &HeaderMap) -> Result<Reply, Refusal> {
    store.uploads_made += 1;
    let id = digest(format!("upload {}", store.uploads_made).as_bytes())[..32].to_owned();
    let upload =
        Upload { key: key.to_owned(), headers: kept_headers(headers), parts: std::collections::BTreeMap::new() };
    store.bucket(bucket)?.uploads.insert(id.clone(), upload);
    let text = Xml::document("InitiateMultipartUploadResult", NAMESPACE, |xml| {
        xml.leaf("Bucket", bucket);
        xml.leaf("Key", key);
        xml.leaf("UploadId", &id);
    });
    Ok(Reply::new(200, "application/xml", text))
}

pub(super) fn put_part(
    store: &mut Store,
    (bucket, key): (&str, &str),
    (id, number): (&str, u64),
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Reply, Refusal> {
    let part = Object::new(content(headers, body)?, 0, Vec::new());
    let upload = store.bucket(bucket)?.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or_else(no_upload)?;
    let reply = Reply::empty(200).with("etag", part.etag.clone());
    upload.parts.insert(number, part);
    Ok(reply)
}

pub(super) fn complete(
    store: &mut Store,
    (bucket, key): (&str, &str),
    id: &str,
    headers: &HeaderMap,
    body: &Bytes,
    now_micros: i64,
) -> Result<Reply, Refusal> {
    let name = bucket;
    let bucket = store.bucket(bucket)?;
    let upload = bucket.uploads.get(id).filter(|upload| upload.key == key).ok_or_else(no_upload)?;
    let numbers: Vec<u64> = texts(body, "PartNumber").iter().filter_map(|text| text.trim().parse().ok()).collect();
    let tags = texts(body, "ETag");
    let mut whole = Vec::new();
    for (place, (number, tag)) in numbers.iter().zip(&tags).enumerate() {
        let part = upload.parts.get(number).filter(|part| part.etag.trim_matches('"') == tag.trim().trim_matches('"'));
        let part =
            part.ok_or_else(|| Refusal::new(400, "InvalidPart", "One of the specified parts could not be found"))?;
        if place + 1 < numbers.len() && part.body.len() < PART_LEAST {
            return Err(Refusal::new(400, "EntityTooSmall", "A part is smaller than the minimum of 5 MiB"));
        }
        whole.extend_from_slice(&part.body);
    }
    if numbers.is_empty() || !numbers.is_sorted() {
        return Err(Refusal::new(400, "InvalidPartOrder", "The parts are not in ascending order"));
    }
    may_write(headers, bucket.objects.get(key))?;
    let mut object = Object::new(whole.into(), now_micros, upload.headers.clone());
    object.etag = format!("\"{}-{}\"", object.etag.trim_matches('"'), numbers.len());
    let text = Xml::document("CompleteMultipartUploadResult", NAMESPACE, |xml| {
        xml.leaf("Bucket", name);
        xml.leaf("Key", key);
        xml.leaf("ETag", &object.etag);
    });
    bucket.objects.insert(key.to_owned(), object);
    bucket.uploads.remove(id);
    Ok(Reply::new(200, "application/xml", text))
}

pub(super) fn abort(store: &mut Store, bucket: &str, id: &str) -> Result<Reply, Refusal> {
    store.bucket(bucket)?.uploads.remove(id).ok_or_else(no_upload)?;
    Ok(Reply::empty(204))
}
