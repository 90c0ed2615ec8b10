//! One object: put, got, copied, removed.

use bytes::Bytes;
use hyper::HeaderMap;

use super::super::query::decode;
use super::super::reply::Reply;
use super::super::times::{http_date, iso};
use super::super::xml::Xml;
use super::body::{content, header, kept_headers};
use super::store::{NAMESPACE, Object, Refusal, Store};

/// Whether a write may go on, by what is there.
pub(super) fn may_write(headers: &HeaderMap, there: Option<&Object>) -> Result<(), Refusal> {
    if header(headers, "if-none-match") == Some("*") && there.is_some() {
        return Err(Refusal::precondition());
    }
    match (header(headers, "if-match"), there) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Refusal::no_key()),
        (Some(tag), Some(object)) if is_same_tag(tag, &object.etag) => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::precondition()),
    }
}

fn is_same_tag(tag: &str, etag: &str) -> bool {
    tag == "*" || tag.trim_matches('"') == etag.trim_matches('"')
}

pub(super) fn put(
    store: &mut Store,
    (bucket, key): (&str, &str),
    headers: &HeaderMap,
    body: &Bytes,
    now_micros: i64,
) -> Result<Reply, Refusal> {
    let copied = header(headers, "x-amz-copy-source").map(|source| read_source(store, source)).transpose()?;
    let bucket = store.bucket(bucket)?;
    may_write(headers, bucket.objects.get(key))?;
    if let Some(source) = copied {
        let object = Object { modified_micros: now_micros, ..source };
        let text = Xml::document("CopyObjectResult", NAMESPACE, |xml| {
            xml.leaf("ETag", &object.etag);
            xml.leaf("LastModified", iso(now_micros));
        });
        bucket.objects.insert(key.to_owned(), object);
        return Ok(Reply::new(200, "application/xml", text));
    }
    let object = Object::new(content(headers, body)?, now_micros, kept_headers(headers));
    let reply = Reply::empty(200).with("etag", object.etag.clone());
    bucket.objects.insert(key.to_owned(), object);
    Ok(reply)
}

fn read_source(store: &mut Store, source: &str) -> Result<Object, Refusal> {
    let source = decode(source, false);
    let (bucket, key) = source.trim_start_matches('/').split_once('/').ok_or_else(Refusal::no_key)?;
    store.bucket(bucket)?.objects.get(key).cloned().ok_or_else(Refusal::no_key)
}

pub(super) fn get(store: &mut Store, (bucket, key): (&str, &str), headers: &HeaderMap) -> Result<Reply, Refusal> {
    let object = store.bucket(bucket)?.objects.get(key).ok_or_else(Refusal::no_key)?;
    if header(headers, "if-match").is_some_and(|tag| !is_same_tag(tag, &object.etag)) {
        return Err(Refusal::precondition());
    }
    if header(headers, "if-none-match").is_some_and(|tag| is_same_tag(tag, &object.etag)) {
        return Err(Refusal::new(304, "NotModified", ""));
    }
    let size = object.body.len();
    let range = match header(headers, "range").and_then(|text| text.strip_prefix("bytes=")) {
        None => None,
        Some(text) => Some(
            range(text, size)
                .ok_or_else(|| Refusal::new(416, "InvalidRange", "The requested range is not satisfiable"))?,
        ),
    };
    let mut reply = match range {
        None => Reply { status: 200, headers: Vec::new(), body: object.body.clone() },
        Some((from, to)) => Reply { status: 206, headers: Vec::new(), body: object.body.slice(from..to) }
            .with("content-range", format!("bytes {from}-{}/{size}", to - 1)),
    };
    reply = reply
        .with("etag", object.etag.clone())
        .with("last-modified", http_date(object.modified_micros))
        .with("accept-ranges", "bytes");
    if !object.headers.iter().any(|(name, _)| name == "content-type") {
        reply = reply.with("content-type", "binary/octet-stream");
    }
    reply.headers.extend(object.headers.iter().cloned());
    Ok(reply)
}

/// The bytes of `1-5`, `7-` or `-3`, the end not included.
fn range(text: &str, size: usize) -> Option<(usize, usize)> {
    let (from, to) = text.split_once('-')?;
    if from.is_empty() {
        let last: usize = to.parse().ok()?;
        return (last > 0 && size > 0).then(|| (size.saturating_sub(last), size));
    }
    let from: usize = from.parse().ok()?;
    let to = if to.is_empty() { size } else { to.parse::<usize>().ok()?.saturating_add(1).min(size) };
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_cut_at_the_end_and_empty_ones_refused() {
        let cases = [("0-3", Some((0, 4))), ("8-", Some((8, 10))), ("-3", Some((7, 10))), ("-30", Some((0, 10)))];
        for (text, expected) in
            cases.into_iter().chain([("5-99", Some((5, 10))), ("10-", None), ("4-2", None), ("x", None)])
        {
            assert_eq!(range(text, 10), expected, "{text}");
        }
    }
}
