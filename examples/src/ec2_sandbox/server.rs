//! HTTP: which API a request is for, and its answer with what the way does to it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::actions::is_changing;
use super::caller::Caller;
use super::catalogue::Catalogue;
use super::query::Query;
use super::reply::{Failure, NoAnswer, Reply};
use super::state::Shared;
use super::way::Way;
use super::{control, s3, sts};

/// Most bytes of a request.
const BODY_MOST: usize = 1 << 30;

/// A request, its body read.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The connection is to end without an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

/// Answers connections for ever.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener) -> Infallible {
    loop {
        // A connection that is gone before it is taken is nobody's.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(connection(Arc::clone(&shared), stream));
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    // Answers are small and waited for: they are not held back to be sent together.
    let _as_it_was = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    // An error here is a client that went away, or a cut of ours.
    let _over = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_MOST).collect().await.map_err(|_| Cut)?.to_bytes();
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    let reply = route(&shared, asked).await?;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(reply.body)).map_err(|_| Cut)
}

async fn route(shared: &Arc<Shared>, asked: Asked) -> Result<Reply, Cut> {
    if asked.path == "/sandbox" || asked.path.starts_with("/sandbox/") {
        return Ok(control::answer(shared, &asked));
    }
    let form = if asked.method == Method::POST && asked.path == "/" {
        Some(String::from_utf8_lossy(&asked.body).into_owned())
    } else {
        Some(asked.query.clone()).filter(|query| asked.path == "/" && query.contains("Action="))
    };
    if let Some(form) = form {
        return query_api(shared, &asked.headers, Query::parse(&form)).await;
    }
    tokio::time::sleep(shared.options.latency).await;
    s3::answer(shared, &asked).map_err(|_| Cut)
}

async fn query_api(shared: &Arc<Shared>, headers: &HeaderMap, query: Query) -> Result<Reply, Cut> {
    let request_id = shared.request_id();
    let action = query.text("Action").unwrap_or("no action").to_owned();
    *shared.world().calls.entry(action.clone()).or_default() += 1;
    tokio::time::sleep(shared.options.latency).await;
    let caller = Caller::of(headers, shared.now_micros());
    if query.get("Version") == Some(sts::VERSION) {
        let answer = caller.and_then(|caller| sts::answer(&caller, &query, &request_id));
        return Ok(answer.unwrap_or_else(|failure| Reply::sts_failure(&failure, &request_id)));
    }
    let answer = match caller.and_then(|caller| checked(caller, &query)) {
        Ok(caller) => ec2(shared, caller, action, query, &request_id).await,
        Err(failure) => Err(failure.into()),
    };
    match answer {
        Ok(text) => Ok(Reply::xml(200, text)),
        Err(NoAnswer::Failed(failure)) => Ok(Reply::ec2_failure(&failure, &request_id)),
        Err(NoAnswer::Page) => Ok(Reply::new(503, "text/html", "<html><body>Service Unavailable</body></html>")),
        Err(NoAnswer::Cut) => Err(Cut),
    }
}

fn checked(caller: Caller, query: &Query) -> Result<Caller, Failure> {
    query.text("Action").ok_or_else(|| Failure::client("MissingAction", "The request has no action"))?;
    if Catalogue::get().regions().contains(&caller.region.as_str()) {
        return Ok(caller);
    }
    let words =
        format!("there is no region {}: the sandbox has {}", caller.region, Catalogue::get().regions().join(", "));
    Err(Failure::client("InvalidParameterValue", words))
}

async fn ec2(
    shared: &Arc<Shared>,
    caller: Caller,
    action: String,
    query: Query,
    request_id: &str,
) -> Result<String, NoAnswer> {
    let way = Way::draw(&mut shared.world(), is_changing(&action));
    if way.is_lost {
        return Err(way.loss.answer());
    }
    if way.are_keys_refused {
        return Err(Failure::client("RequestExpired", "Request has expired.").into());
    }
    if let Some(late) = way.late {
        let (shared, request_id) = (Arc::clone(shared), request_id.to_owned());
        tokio::spawn(async move {
            let moment = shared.now().plus(late);
            shared.options.clock.sleep_until(moment).await;
            // Nobody hears the answer.
            let _unheard = shared.act(&caller, &action, &query, &request_id);
        });
        return Err(way.loss.answer());
    }
    let mut answer = shared.act(&caller, &action, &query, request_id);
    if way.is_doubled {
        answer = shared.act(&caller, &action, &query, request_id);
    }
    if let Some(delay) = way.delay {
        shared.options.clock.sleep_until(shared.now().plus(delay)).await;
    }
    if way.is_answer_lost { Err(way.loss.answer()) } else { answer }
}
