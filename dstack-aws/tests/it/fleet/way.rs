//! A way to a sandbox in virtual time: real requests over HTTP that take no time but what the clock is told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use chrono::DateTime;
use dstack_core::clock::{Boot, Clock, VirtualClock};

/// How long a call is on its way there, and as long again with its answer.
const HALF_WAY: Duration = Duration::from_millis(300);

/// A call that was answered.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) action: String,
    /// When it arrived.
    pub(super) at: Boot,
    pub(super) status: u16,
    /// Its parameters, as they were sent.
    pub(super) form: String,
}

/// What was sent this way.
#[derive(Debug, Clone)]
pub(super) struct Way {
    address: String,
    clock: Arc<VirtualClock>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Way {
    pub(super) fn new(url: &str, clock: Arc<VirtualClock>) -> Self {
        Self { address: url.trim_start_matches("http://").to_owned(), clock, sent: Arc::default() }
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().expect("no test panics here").clone()
    }

    /// When each call of this action arrived.
    pub(super) fn arrivals(&self, action: &str) -> Vec<Boot> {
        self.sent().into_iter().filter(|sent| sent.action == action).map(|sent| sent.at).collect()
    }

    pub(super) fn http_client(&self) -> SharedHttpClient {
        let connector = self.clone();
        http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone()))
    }

    async fn passes(&self, length: Duration) {
        self.clock.sleep_until(self.clock.boot().plus(length)).await;
    }

    /// One request and its whole answer. Nothing else of this process goes on meanwhile, so that no time passes.
    fn exchange(&self, request: &HttpRequest) -> (u16, String) {
        let body = request.body().bytes().unwrap_or_default();
        let now = DateTime::from_timestamp_micros(self.clock.wall_micros()).expect("it is a time");
        let stamp = now.format("%Y%m%dT%H%M%SZ").to_string();
        let mut text = format!("{} / HTTP/1.1\r\nHost: {}\r\n", request.method(), self.address);
        text.push_str(&format!("Connection: close\r\nContent-Length: {}\r\n", body.len()));
        let is_ours = |name: &str| ["host", "connection", "content-length"].contains(&name);
        for (name, value) in request.headers().iter().filter(|(name, _)| !is_ours(name)) {
            // It was signed by this machine's clock, and arrives in virtual time.
            let value = if name == "x-amz-date" { &stamp } else { value };
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut stream = TcpStream::connect(&self.address).expect("the sandbox listens");
        stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(body)).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let answer = String::from_utf8(answer).expect("EC2 speaks UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("it has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it has a status");
        (status, body.to_owned())
    }
}

impl HttpConnector for Way {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let way = self.clone();
        HttpConnectorFuture::new(async move {
            way.passes(HALF_WAY).await;
            let (status, body) = way.exchange(&request);
            let form = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
            let action = form.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned();
            let sent = Sent { action, at: way.clock.boot(), status, form };
            way.sent.lock().expect("no test panics here").push(sent);
            way.passes(HALF_WAY).await;
            let status = StatusCode::try_from(status).expect("it is a status");
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        })
    }
}
