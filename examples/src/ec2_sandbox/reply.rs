//! What a call is answered with.

use bytes::Bytes;

use super::xml::Xml;

/// A refusal, as EC2 and STS put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Failure {
    /// The request is at fault.
    pub(super) fn client(code: &str, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    /// A refusal with a status of its own.
    pub(super) fn with_status(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// The account has no such permission.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::with_status(403, "UnauthorizedOperation", message)
    }

    /// The token buckets are empty.
    pub(super) fn throttled() -> Self {
        Self::with_status(503, "RequestLimitExceeded", "Request limit exceeded.")
    }

    /// What a dry run that would work is told.
    pub(super) fn dry_run() -> Self {
        let words = "Request would have succeeded, but DryRun flag is set.";
        Self::with_status(412, "DryRunOperation", words)
    }
}

/// Why there is no proper answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The connection is closed without a word.
    Cut,
    /// A page of something in front of the API, with a status of 503 and no code in it.
    Page,
    /// A refusal.
    Failed(Failure),
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Reply {
    /// A document.
    pub(super) fn xml(status: u16, text: String) -> Self {
        Self::new(status, "text/xml;charset=UTF-8", text)
    }

    /// Text of some kind.
    pub(super) fn new(status: u16, kind: &str, text: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type".into(), kind.into())], body: text.into() }
    }

    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// With one header more.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// A refusal in EC2's form. `RequestID` is spelled so in errors only.
    pub(super) fn ec2_failure(failure: &Failure, request_id: &str) -> Self {
        let text = Xml::bare_document("Response", |xml| {
            xml.group("Errors", |xml| {
                xml.group("Error", |xml| {
                    xml.leaf("Code", &failure.code);
                    xml.leaf("Message", &failure.message);
                });
            });
            xml.leaf("RequestID", request_id);
        });
        Self::xml(failure.status, text)
    }

    /// A refusal in the form of STS.
    pub(super) fn sts_failure(failure: &Failure, request_id: &str) -> Self {
        let text = Xml::document("ErrorResponse", super::sts::NAMESPACE, |xml| {
            xml.group("Error", |xml| {
                xml.leaf("Type", if failure.status < 500 { "Sender" } else { "Receiver" });
                xml.leaf("Code", &failure.code);
                xml.leaf("Message", &failure.message);
            });
            xml.leaf("RequestId", request_id);
        });
        Self::xml(failure.status, text)
    }
}
