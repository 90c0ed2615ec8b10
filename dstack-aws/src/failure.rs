//! What a call's failure means: the code decides before the status, and what is not known is unknown.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::LazyLock;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dstack_core::cloud::{CloudError, LaunchError};

use crate::api::Api;

/// Longest words of the cloud that are passed on, in characters.
const WORDS_MOST: usize = 300;

/// What the caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Throttled,
    Capacity {
        all_zones: bool,
        permanent: bool,
    },
    Quota,
    Denied,
    Credentials,
    Invalid,
    NotFound,
    /// The token's machine has ended.
    Ended,
    /// The token was used for another request.
    Mismatch,
    Unknown,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    /// EC2's code, where one could be read.
    pub(crate) code: Option<String>,
    pub(crate) words: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}

/// A row of the table of codes: which API it is for, its class, and what its scope is.
struct Row {
    api: &'static str,
    class: &'static str,
    scope: &'static str,
}

/// `data/error_codes.csv`: facts of AWS's pages about EC2's errors and of public issues; its README names the sources.
static CODES: LazyLock<BTreeMap<&'static str, Vec<Row>>> = LazyLock::new(|| {
    let mut codes: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for line in include_str!("../data/error_codes.csv").lines().skip(1) {
        let mut fields = line.split(',');
        let mut next = || fields.next().unwrap_or_default();
        let (code, api, class, scope) = (next(), next(), next(), next());
        codes.entry(code).or_default().push(Row { api, class, scope });
    }
    codes
});

/// Codes of refused credentials: expired, unknown, badly signed, or at a wrong time. The first part is of EC2, the second of
/// the services behind credentials. All other denials are the account's.
const CREDENTIALS: [&str; 14] = [
    "AuthFailure",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSecurity.RequestHasExpired",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "UnrecognizedClientException",
    "MissingAuthenticationTokenException",
];

/// What to look at where a signature is refused for its time: expired credentials have the same code.
const CLOCK_HINT: &str = " (this machine's clock may be wrong, or the credentials have expired)";

/// Whether a signature was refused for the time at which it was made.
fn is_about_time(code: &str, message: &str) -> bool {
    match code {
        "RequestExpired" | "RequestTimeTooSkewed" | "InvalidSecurity.RequestHasExpired" => true,
        "SignatureDoesNotMatch" => message.starts_with("Signature expired") || message.starts_with("Signature not yet"),
        _ => false,
    }
}

fn class_of(code: &str, api: Api) -> Class {
    if CREDENTIALS.contains(&code) {
        return Class::Credentials;
    }
    let rows = CODES.get(code).map_or(&[][..], Vec::as_slice);
    let is_of_api = |row: &&Row| row.api.split('|').any(|name| name == api.name());
    let row = rows.iter().find(is_of_api).or_else(|| rows.iter().find(|row| row.api == "*")).or_else(|| rows.first());
    match row.map_or("unknown", |row| row.class) {
        "throttled" => Class::Throttled,
        "capacity" => Class::Capacity {
            all_zones: row.is_some_and(|row| row.scope == "region"),
            permanent: matches!(code, "Unsupported" | "VolumeTypeNotAvailableInZone"),
        },
        "quota" => Class::Quota,
        "denied" => Class::Denied,
        "invalid" => Class::Invalid,
        "not_found" => Class::NotFound,
        "terminated" => Class::Ended,
        _ if code == "IdempotentParameterMismatch" => Class::Mismatch,
        _ => Class::Unknown,
    }
}

/// The cloud's words as they may be shown: one line, not too long, and without the encoded part of a denial, which names
/// the account's resources.
pub(crate) fn shown(words: &str) -> String {
    let words = words.split("Encoded authorization failure message").next().unwrap_or_default().trim();
    let line: String = words.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    match line.char_indices().nth(WORDS_MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl Failure {
    pub(crate) fn new(class: Class, words: impl Into<String>) -> Self {
        Self { class, code: None, words: words.into() }
    }

    /// What a failure of this call means.
    pub(crate) fn of<E>(api: Api, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let SdkError::ServiceError(service) = error else { return Self::without_answer(error) };
        let status = service.raw().status().as_u16();
        // A body that was cut off may end within another error than it began with.
        let is_whole = service.raw().body().bytes().is_none_or(is_whole);
        let code = service.err().code().filter(|code| is_whole && !code.is_empty());
        let message = service.err().message().unwrap_or_default();
        let Some(code) = code else {
            let class = if matches!(status, 429 | 509) { Class::Throttled } else { Class::Unknown };
            return Self::new(class, format!("HTTP status {status} without a code"));
        };
        let mut words = if message.is_empty() { code.to_owned() } else { shown(&format!("{code}: {message}")) };
        if is_about_time(code, message) {
            words.push_str(CLOCK_HINT);
        }
        Self { class: class_of(code, api), code: Some(code.to_owned()), words }
    }

    fn without_answer<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> Self {
        let (class, what) = match error {
            SdkError::ConstructionFailure(_) => (Class::Invalid, "the request cannot be made"),
            SdkError::TimeoutError(_) => (Class::Unknown, "no answer in time"),
            SdkError::DispatchFailure(_) => (Class::Unknown, "the connection failed"),
            SdkError::ResponseError(_) => (Class::Unknown, "the answer cannot be read"),
            _ => (Class::Unknown, "no answer"),
        };
        Self::new(class, format!("{what}: {}", causes(error.source())))
    }

    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What a failed RunInstances means.
    pub(crate) fn into_launch(self) -> LaunchError {
        let words = self.words;
        match self.class {
            Class::Throttled => LaunchError::Throttled(words),
            Class::Capacity { all_zones, permanent } => LaunchError::Capacity { why: words, all_zones, permanent },
            Class::Quota => LaunchError::Quota(words),
            Class::Denied => LaunchError::Denied(words),
            Class::Credentials => LaunchError::Credentials(words),
            Class::Invalid | Class::NotFound => LaunchError::Invalid(words),
            Class::Ended => LaunchError::Ended,
            Class::Mismatch => LaunchError::Mismatch(words),
            Class::Unknown => LaunchError::Unknown(words),
        }
    }

    /// What a call that failed before RunInstances was sent means for the launch: nothing was launched, whatever it was.
    pub(crate) fn into_not_launched(self) -> LaunchError {
        match self.class {
            Class::Unknown => LaunchError::Throttled(format!("not sent yet: {}", self.words)),
            _ => self.into_launch(),
        }
    }

    /// What a failure of another call means.
    pub(crate) fn into_cloud(self) -> CloudError {
        match self.class {
            Class::Throttled => CloudError::Throttled(self.words),
            Class::Denied | Class::Quota => CloudError::Denied(self.words),
            Class::Credentials => CloudError::Credentials(self.words),
            Class::Invalid => CloudError::Invalid(self.words),
            Class::NotFound => CloudError::NotFound,
            Class::Capacity { .. } | Class::Ended | Class::Mismatch | Class::Unknown => CloudError::Unknown(self.words),
        }
    }
}

/// Whether the outermost element of a body is closed at its end.
fn is_whole(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let root = text.split('<').skip(1).find(|part| !part.starts_with(['?', '!'])).unwrap_or_default();
    let name = root.split(|end: char| end == '>' || end.is_whitespace()).next().unwrap_or_default();
    text.trim_end().ends_with(&format!("</{name}>"))
}

/// A chain of causes in one line.
pub(crate) fn causes(error: Option<&(dyn Error + 'static)>) -> String {
    let mut words = Vec::new();
    let mut next = error;
    while let Some(error) = next {
        let text = error.to_string();
        if words.last() != Some(&text) {
            words.push(text);
        }
        next = error.source();
    }
    shown(&words.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class of a row, as the table's words say it.
    fn expected(code: &str, class: &str, scope: &str) -> Class {
        match class {
            "throttled" => Class::Throttled,
            "capacity" => Class::Capacity {
                all_zones: scope == "region",
                permanent: code == "Unsupported" || code == "VolumeTypeNotAvailableInZone",
            },
            "quota" => Class::Quota,
            "denied" if CREDENTIALS.contains(&code) => Class::Credentials,
            "denied" => Class::Denied,
            "invalid" => Class::Invalid,
            "not_found" => Class::NotFound,
            "terminated" => Class::Ended,
            "unknown" if code == "IdempotentParameterMismatch" => Class::Mismatch,
            "unknown" => Class::Unknown,
            other => panic!("{other} is no class"),
        }
    }

    /// A code means what its row for that call says, and what it says of every call in all of them.
    #[test]
    fn every_row_of_the_table_has_its_class_for_each_of_its_calls() {
        let mut walked = 0;
        for line in include_str!("../data/error_codes.csv").lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let (code, apis, class, scope) = (fields[0], fields[1], fields[2], fields[3]);
            // Those in brackets are no codes: the tests on the wire have them.
            if code.starts_with('(') {
                continue;
            }
            let of_row = |api: &Api| apis == "*" || apis.split('|').any(|name| name == api.name());
            let mut apis_of_row: Vec<Api> = Api::ALL.into_iter().filter(of_row).collect();
            if apis_of_row.is_empty() {
                // A call that is never made: the code means the same, should another one answer with it.
                apis_of_row = Api::ALL.to_vec();
            }
            for api in apis_of_row {
                assert_eq!(class_of(code, api), expected(code, class, scope), "{code} of {}", api.name());
            }
            walked += 1;
        }
        assert!(walked > 140, "{walked} rows were tried");
    }

    #[test]
    fn credentials_are_refused_by_named_codes_alone() {
        let named: Vec<&str> =
            CODES.iter().filter(|(code, _)| CREDENTIALS.contains(code)).map(|(code, _)| *code).collect();
        assert_eq!(
            named,
            [
                "AuthFailure",
                "IncompleteSignature",
                "InvalidClientTokenId",
                "InvalidSecurity.RequestHasExpired",
                "MissingAuthenticationToken",
                "RequestExpired",
                "SignatureDoesNotMatch",
            ]
        );
        assert!(
            CODES
                .iter()
                .all(|(code, rows)| !CREDENTIALS.contains(code) || rows.iter().all(|row| row.class == "denied"))
        );
    }
}
