//! One connection to a runner, shared by all calls.

use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::address::Target;
use super::client::{self, Trust};
use super::known_host::KnownHost;
use super::protocol::{Mode, Request, opening};
use super::replies::{self, Expected, Reply, SILENCE_MAX};
use crate::clock::{Clock as _, SystemClock};
use crate::host::HostError;
use crate::model::Identity;

/// How long a connection may take until the runner's side is ready.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// A connection that nobody uses for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// Requests that wait for their turn.
const WAITING_MAX: usize = 64;
/// What is written at a time, so that a slow connection shows that it moves.
const PIECE_BYTES: usize = 16 * 1024;

/// Tells the sockets of this process apart.
static SOCKETS_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// A mark that no other channel's answers carry.
pub(super) fn nonce() -> String {
    SystemClock.entropy().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A connection whose runner's side is ready. It is closed with this value.
pub(super) struct Link {
    pub(super) keys: PathBuf,
    pub(super) target: Target,
    pub(super) socket: String,
    /// The host key that it is encrypted to.
    pub(super) identity: Identity,
    requests: mpsc::Sender<(Request, oneshot::Sender<Reply>)>,
    /// Why it is no more, once it is.
    end: watch::Receiver<Option<HostError>>,
}

impl Link {
    /// Connects, and starts the runner's side.
    pub(super) async fn connect(
        keys: &Path,
        target: Target,
        known_host: &KnownHost,
        trust: Trust,
        news: Arc<watch::Sender<u64>>,
    ) -> Result<Self, HostError> {
        let number = SOCKETS_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let socket = format!("sockets/{}-{number}", process::id());
        let mut client = client::connect(keys, &target, &socket, known_host.name(), trust)?;
        let nonce = nonce();
        let stdin = client.child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(client.child.stdout.take().expect("it is piped"));
        let ready = timeout(CONNECT_MAX, open(stdin, stdout, Mode::Serve, &nonce)).await;
        let (stdin, stdout) = match ready {
            Ok(Ok(Ok(pipes))) => pipes,
            Ok(Ok(Err(refused))) => return Err(refused),
            Ok(Err(error)) => return Err(client.failure(&error.to_string()).await),
            Err(_) => return Err(client.failure("it did not answer in time").await),
        };
        let Some(identity) = known_host.read() else {
            return Err(HostError::Unreachable("its host key was not noted".to_owned()));
        };
        let (requests, queue) = mpsc::channel(WAITING_MAX);
        let (ended, end) = watch::channel(None);
        tokio::spawn(async move {
            let mut client = client;
            let failed = converse(stdin, stdout, queue).await;
            let error = client.failure(&failed.to_string()).await;
            tracing::debug!(%error, "a connection to a runner ended");
            ended.send_replace(Some(error));
            news.send_modify(|count| *count += 1);
        });
        Ok(Self { keys: keys.to_owned(), target, socket, identity, requests, end })
    }

    pub(super) fn is_open(&self) -> bool {
        self.end.borrow().is_none() && !self.requests.is_closed()
    }

    /// Sends a request and awaits its answer. Dropped, the answer is read all the same, so no other request meets it.
    pub(super) async fn ask(&self, request: Request) -> Result<Reply, HostError> {
        let (sender, answer) = oneshot::channel();
        if self.requests.send((request, sender)).await.is_ok()
            && let Ok(reply) = answer.await
        {
            return Ok(reply);
        }
        Err(self.why_ended().await)
    }

    async fn why_ended(&self) -> HostError {
        let mut end = self.end.clone();
        let error = end.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        error.unwrap_or_else(|| HostError::Unreachable("the connection was closed".to_owned()))
    }
}

type Pipes = (ChildStdin, BufReader<ChildStdout>);

/// Sends the runner's side and awaits that it is ready; the inner error is its own refusal.
pub(super) async fn open(
    mut stdin: ChildStdin,
    mut stdout: BufReader<ChildStdout>,
    mode: Mode,
    nonce: &str,
) -> io::Result<Result<Pipes, HostError>> {
    stdin.write_all(&opening(mode, nonce)).await?;
    let answer = replies::marked_line(&mut stdout, nonce).await?;
    Ok(match answer.strip_prefix("refused ") {
        _ if answer == "ready" => Ok((stdin, stdout)),
        Some(why) => Err(HostError::Refused(why.to_owned())),
        None => return Err(replies::not_understood("greeting")),
    })
}

/// Writes requests in their order and reads the answers in the same; returns why it cannot go on.
async fn converse(
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    queue: mpsc::Receiver<(Request, oneshot::Sender<Reply>)>,
) -> io::Error {
    let (sent, awaited) = mpsc::channel(WAITING_MAX);
    tokio::select! {
        biased;
        error = write(stdin, queue, sent) => error,
        error = read(stdout, awaited) => error,
    }
}

async fn write(
    mut stdin: ChildStdin,
    mut queue: mpsc::Receiver<(Request, oneshot::Sender<Reply>)>,
    sent: mpsc::Sender<(Expected, oneshot::Sender<Reply>)>,
) -> io::Error {
    loop {
        let (request, answer) = match timeout(IDLE_MAX, queue.recv()).await {
            Ok(Some(next)) => next,
            Ok(None) => return io::Error::other("nobody needs it any more"),
            Err(_) => return io::Error::other("it was not used for a while"),
        };
        if sent.send((request.expected, answer)).await.is_err() {
            return io::ErrorKind::BrokenPipe.into();
        }
        if let Err(error) = write_moving(&mut stdin, &request.bytes).await {
            return error;
        }
    }
}

/// Writes all of it, as long as each piece goes in time.
async fn write_moving(out: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(PIECE_BYTES) {
        timeout(SILENCE_MAX, out.write_all(piece)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    }
    out.flush().await
}

async fn read(
    mut stdout: BufReader<ChildStdout>,
    mut awaited: mpsc::Receiver<(Expected, oneshot::Sender<Reply>)>,
) -> io::Error {
    loop {
        let (expected, answer) = tokio::select! {
            biased;
            next = awaited.recv() => match next {
                Some(next) => next,
                None => return io::ErrorKind::BrokenPipe.into(),
            },
            // Nothing was asked, so this is the end, or nonsense.
            unasked = replies::any_line(&mut stdout) => match unasked {
                Ok(_) => return replies::not_understood("unasked"),
                Err(error) => return error,
            },
        };
        match replies::reply(&mut stdout, expected).await {
            // Whoever asked may be gone.
            Ok(reply) => drop(answer.send(reply)),
            Err(error) => return error,
        }
    }
}
