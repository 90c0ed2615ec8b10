//! Buckets and their objects.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::ids::digest;
use super::super::reply::Reply;
use super::super::xml::Xml;

/// The name space of S3's documents.
pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) body: Bytes,
    pub(super) etag: String,
    pub(super) modified_micros: i64,
    /// Headers that it was put with and is got with.
    pub(super) headers: Vec<(String, String)>,
}

impl Object {
    pub(super) fn new(body: Bytes, modified_micros: i64, headers: Vec<(String, String)>) -> Self {
        Self { etag: etag(&body), body, modified_micros, headers }
    }
}

/// The tag of these bytes: not MD5, as nobody may count on that.
pub(super) fn etag(body: &[u8]) -> String {
    format!("\"{}\"", &digest(body)[..32])
}

/// An upload in parts that is not complete.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) parts: BTreeMap<u64, Object>,
}

/// A bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) created_micros: i64,
}

/// All buckets.
#[derive(Debug, Default)]
pub(in super::super) struct Store {
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) uploads_made: u64,
}

impl Store {
    pub(super) fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        self.buckets
            .get_mut(name)
            .ok_or_else(|| Refusal::new(404, "NoSuchBucket", "The specified bucket does not exist"))
    }
}

/// A refusal, as S3 puts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn no_key() -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.")
    }

    pub(super) fn precondition() -> Self {
        Self::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    }

    pub(super) fn reply(&self, resource: &str, request_id: &str) -> Reply {
        if self.status == 304 {
            return Reply::empty(304);
        }
        let text = Xml::bare_document("Error", |xml| {
            xml.leaf("Code", self.code);
            xml.leaf("Message", &self.message);
            xml.leaf("Resource", resource);
            xml.leaf("RequestId", request_id);
        });
        Reply::new(self.status, "application/xml", text)
    }
}
