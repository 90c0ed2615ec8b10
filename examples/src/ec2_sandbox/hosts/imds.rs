//! The metadata service of one instance, on its own loopback address: version 2 with tokens only.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::ids::digest;
use super::super::state::Shared;
use super::super::times::iso_short;

/// The service of an instance; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Imds {
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Imds {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Imds {
    /// Starts it.
    pub(super) async fn start(shared: Arc<Shared>, id: String, address: Ipv4Addr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, id) = (Arc::clone(&shared), id.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&shared, &id, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(async move {
                    let _over = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { port, task })
    }
}

fn answer(shared: &Shared, id: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let reply = |status: u16, text: String| {
        Response::builder().status(status).body(Full::new(Bytes::from(text))).expect("a status and text are a response")
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let token = digest(format!("{id} {}", shared.folder.display()).as_bytes());
    if request.method() == Method::PUT && request.uri().path() == "/latest/api/token" {
        return match header("x-aws-ec2-metadata-token-ttl-seconds") {
            Some(_) => reply(200, token),
            None => reply(400, String::new()),
        };
    }
    if header("x-aws-ec2-metadata-token") != Some(token.as_str()) {
        return reply(401, String::new());
    }
    match request.uri().path().strip_prefix("/latest/meta-data/").and_then(|name| value(shared, id, name)) {
        Some(text) => reply(200, text),
        None => reply(404, String::new()),
    }
}

/// The words of a Spot notice, as the service and the file in the instance's home have them.
pub(super) fn notice_text(micros: i64) -> String {
    format!("{{\"action\": \"terminate\", \"time\": \"{}\"}}", iso_short(micros))
}

fn value(shared: &Shared, id: &str, name: &str) -> Option<String> {
    let world = shared.world();
    let account = world.accounts.values().find(|account| account.records.contains_key(id))?;
    let record = account.records.get(id)?;
    let machine = account.cloud.machine(&dstack_core::model::MachineId(id.to_owned()))?;
    Some(match name {
        "instance-id" => id.to_owned(),
        "instance-type" => record.launch.row.name.clone(),
        "ami-id" => record.launch.image.id.clone(),
        "placement/availability-zone" => machine.zone,
        "placement/region" => record.launch.region.clone(),
        "instance-life-cycle" => machine.purchase.to_string(),
        "public-ipv4" => record.address.to_string(),
        "spot/instance-action" => notice_text(record.notice_micros?),
        "spot/termination-time" => iso_short(record.notice_micros?),
        _ => return None,
    })
}
