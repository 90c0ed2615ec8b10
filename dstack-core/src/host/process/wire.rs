//! What controllers and supervisors say to each other: frames of a length (four bytes, little-endian) and that much JSON.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BytesMut};
use rustix::fs::{Mode, OFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::folder::RunnerFolder;
use crate::host::{Closing, Job, Progress};
use crate::model::{AttemptId, Exit, Program, Shell, Span};

/// Largest frame, in bytes of JSON.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Longest path that fits into the address of a socket, with the zero at its end.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// What a controller asks. There is no `Debug`, since secrets travel with a start.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Starts an attempt whose files are staged.
    Start {
        attempt: AttemptId,
        #[serde(with = "JobOnWire")]
        job: Job,
        secrets: BTreeMap<String, String>,
    },
    /// How far these are.
    Poll(Vec<AttemptId>),
    /// Ends one, or forbids its start.
    Close {
        attempt: AttemptId,
        #[serde(with = "ClosingOnWire")]
        closing: Closing,
    },
    /// Forgets one that is over, but for what its folder says.
    Release(AttemptId),
    /// From here on the connection carries a byte for each change, and nothing else.
    Watch,
    /// Kills everything and exits.
    End,
}

/// What a supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To a start: whether the attempt was begun, now or before.
    Begun(bool),
    /// To a poll, in its order.
    Standing(Vec<Standing>),
    /// It is done.
    Done,
    /// It cannot be done.
    Refused(String),
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    #[serde(with = "ProgressOnWire")]
    pub(crate) progress: Progress,
    /// Length of its output at that time.
    pub(crate) output: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Job")]
struct JobOnWire {
    program: Program,
    shell: Shell,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    working_dir: Option<String>,
    timeout: Option<Span>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Closing")]
enum ClosingOnWire {
    Stop { grace: Span },
    Lost,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Progress")]
enum ProgressOnWire {
    Staged,
    Running,
    Exited(Exit),
    NeverBegun,
    Lost,
}

/// A connection that carries frames.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    buffer: BytesMut,
}

impl Link {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Connects to the supervisor of this runner.
    pub(crate) async fn connect(folder: &RunnerFolder) -> io::Result<Self> {
        let address = SocketAddress::of(folder)?;
        Ok(Self::new(UnixStream::connect(&address.path).await?))
    }

    pub(crate) async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut frame = vec![0; 4];
        serde_json::to_writer(&mut frame, message)?;
        let length = frame.len() - 4;
        if length > MAX_FRAME_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a message of {length} bytes is too long"),
            ));
        }
        let length = u32::try_from(length).map_err(io::Error::other)?;
        frame[..4].copy_from_slice(&length.to_le_bytes());
        self.stream.write_all(&frame).await
    }

    /// The next message; `None` when the other side closed the connection.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(prefix) = self.buffer.first_chunk::<4>() {
                let length = usize::try_from(u32::from_le_bytes(*prefix)).map_err(io::Error::other)?;
                if length > MAX_FRAME_BYTES {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
                }
                if let Some(json) = self.buffer.get(4..4 + length) {
                    let message = serde_json::from_slice(json)?;
                    self.buffer.advance(4 + length);
                    return Ok(Some(message));
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends a request and awaits its answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        self.send(request).await?;
        self.receive().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The bare connection, when no more frames will come over it.
    pub(crate) fn into_stream(self) -> UnixStream {
        self.stream
    }
}

/// Whether the supervisor of this runner answers.
pub(crate) async fn answers(folder: &RunnerFolder) -> bool {
    let answer = async { Link::connect(folder).await?.ask(&Request::Poll(Vec::new())).await };
    answer.await.is_ok()
}

/// Asks the supervisor to end its runner and itself; returns when its process is about to be gone.
pub(crate) async fn end_runner(folder: &RunnerFolder) -> io::Result<()> {
    let mut link = Link::connect(folder).await?;
    match link.ask(&Request::End).await? {
        // The connection ends with the process.
        Reply::Done => link.receive::<Reply>().await.map(drop),
        Reply::Refused(why) => Err(io::Error::other(why)),
        Reply::Begun(_) | Reply::Standing(_) => Err(io::Error::other("it answers something else")),
    }
}

/// Listens in the runner's folder.
pub(crate) fn listen(folder: &RunnerFolder) -> io::Result<UnixListener> {
    UnixListener::bind(SocketAddress::of(folder)?.path)
}

/// A path to the runner's socket that is short enough: if need be, through an open handle to its folder.
struct SocketAddress {
    path: PathBuf,
    _folder: Option<rustix::fd::OwnedFd>,
}

impl SocketAddress {
    fn of(folder: &RunnerFolder) -> io::Result<Self> {
        let path = folder.path().join("socket");
        if path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
            return Ok(Self { path, _folder: None });
        }
        let handle =
            rustix::fs::open(folder.path(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(handle.as_raw_fd().to_string()).join("socket");
        Ok(Self { path, _folder: Some(handle) })
    }
}
