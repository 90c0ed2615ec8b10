//! A client small enough to be right at sight: one connection a call, nothing tried twice.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use examples::ec2_sandbox::{Machines, Options, Sandbox, State};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The text of the first element of this name.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.texts(name).into_iter().next()
    }

    /// The texts of all elements of this name.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let pieces = self.body.split(&open).skip(1);
        pieces.filter_map(|piece| Some(piece.split_once(&close)?.0.to_owned())).collect()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.text("Code").unwrap_or_default())
    }
}

/// Calls one sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: String,
    key_id: String,
    region: String,
}

impl Client {
    pub(crate) fn of(url: &str) -> Self {
        let address = url.trim_start_matches("http://").trim().to_owned();
        Self { address, key_id: "AKIASANDBOX".into(), region: "us-east-1".into() }
    }

    pub(crate) fn with_key(mut self, key_id: &str) -> Self {
        self.key_id = key_id.to_owned();
        self
    }

    pub(crate) fn in_region(mut self, region: &str) -> Self {
        self.region = region.to_owned();
        self
    }

    /// One HTTP request. An error is a connection that ended without an answer.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.http_with(method, path, "", body)
    }

    /// One HTTP request with more headers, each with its line end.
    pub(crate) fn http_with(&self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260801/{}/ec2/aws4_request, SignedHeaders=host, Signature=0",
            self.key_id, self.region
        );
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {authorization}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n{headers}\r\n",
            self.address,
            body.len()
        );
        stream.write_all((head + body).as_bytes())?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "no answer");
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        Ok(Answer { status, body: body.to_owned() })
    }

    /// One EC2 call.
    pub(crate) fn call(&self, action: &str, parameters: &[(&str, &str)]) -> io::Result<Answer> {
        let mut form = format!("Action={action}&Version=2016-11-15");
        for (name, value) in parameters {
            form.push_str(&format!("&{name}={}", encoded(value)));
        }
        self.http("POST", "/", &form)
    }

    /// One EC2 call that is answered.
    pub(crate) fn asked(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        self.call(action, parameters).expect("the call is answered")
    }

    /// The newest Amazon Linux image for x86-64.
    pub(crate) fn image(&self) -> String {
        let parameters =
            [("Owner.1", "amazon"), ("Filter.1.Name", "name"), ("Filter.1.Value.1", "al2023-ami-2023.9*-6.1-x86_64")];
        self.asked("DescribeImages", &parameters).text("imageId").expect("there is one")
    }

    /// A launch of one m5.large.
    pub(crate) fn launch(&self, more: &[(&str, &str)]) -> io::Result<Answer> {
        let image = self.image();
        let mut parameters =
            vec![("MinCount", "1"), ("MaxCount", "1"), ("ImageId", &image), ("InstanceType", "m5.large")];
        parameters.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        parameters.extend_from_slice(more);
        self.call("RunInstances", &parameters)
    }

    /// A launch that succeeds: the instance's id.
    pub(crate) fn launched(&self, more: &[(&str, &str)]) -> String {
        let answer = self.launch(more).expect("the call is answered");
        answer.text("instanceId").unwrap_or_else(|| panic!("it is launched: {}", answer.body))
    }

    /// The instance's state and address, as it is listed.
    pub(crate) fn seen(&self, id: &str) -> (String, Option<String>) {
        let answer = self.asked("DescribeInstances", &[("InstanceId.1", id)]);
        (answer.text("name").unwrap_or_default(), answer.text("ipAddress"))
    }
}

/// As in a form: everything but letters and digits by number.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A sandbox whose instances are rows, without limits and delays.
pub(crate) fn quick() -> Options {
    Options {
        machines: Machines::Fake,
        has_limits: false,
        boot: Duration::ZERO,
        shutdown: Duration::ZERO,
        ..Options::default()
    }
}

pub(crate) fn started(options: Options) -> (Sandbox, Client) {
    let sandbox = Sandbox::start(options).expect("it starts");
    let client = Client::of(sandbox.url());
    (sandbox, client)
}

/// Looks again and again until it is so, for a minute.
pub(crate) fn until<R>(what: &str, mut look: impl FnMut() -> Option<R>) -> R {
    for _ in 0..3_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it never came: {what}");
}

/// Says that something was not tried, past what catches the output of tests that pass.
pub(crate) fn skipped(words: &str) {
    let _no_stderr = writeln!(io::stderr(), "SKIPPED: {words}");
}

/// The state of an instance in truth.
pub(crate) fn state_of(state: &State, id: &str) -> String {
    state.instances.iter().find(|instance| instance.id == id).map(|one| one.state.clone()).unwrap_or_default()
}
