//! Noticing what other processes append.
//!
//! `PRAGMA data_version` changes when another connection has committed, and asking costs microseconds. When to ask is the
//! question: each few milliseconds for a command that somebody waits for; for a controller, when an appender sends a byte
//! to its socket, with a slow poll behind it for bytes that got lost.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::connection;
use crate::store::StoreError;

/// Poll behind the socket.
const FALLBACK: Duration = Duration::from_secs(5);
/// What is appended within so long after some news is one piece of news to a command: who shows a burst leaves the
/// processor to it.
const GATHERED: Duration = Duration::from_millis(4);
/// Folder of the sockets of those who wait, in the log's folder.
const SOCKETS: &str = "wake";
/// Longest path that a socket's address holds everywhere.
const SOCKET_PATH_MAX: usize = 100;

/// How a store learns what other processes append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waking {
    /// Ask this often, while somebody waits: for commands that a person waits for. 15 ms is a good choice. Closing such a
    /// store leaves the journal as it is.
    Poll(Duration),
    /// Be told by those who append: for controllers.
    Socket,
    /// Be told by those who append: for commands that wait. Closing such a store leaves the journal as it is.
    SocketOfCommand,
}

/// Tells those who wait in this process. The thread behind it starts with the first of them.
pub(super) struct Wake {
    folder: PathBuf,
    waking: Waking,
    unique: [u8; 16],
    changes: Arc<watch::Sender<()>>,
    watcher: Mutex<Option<Watcher>>,
}

struct Watcher {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    /// Where to send a byte to wake the thread up.
    socket: Option<PathBuf>,
    thread: Option<JoinHandle<()>>,
}

impl Wake {
    pub(super) fn new(folder: &Path, waking: Waking, unique: [u8; 16]) -> Self {
        let changes = Arc::new(watch::Sender::new(()));
        Self { folder: folder.to_owned(), waking, unique, changes, watcher: Mutex::new(None) }
    }

    /// From now on every change is seen by the receiver: look first, then wait for it.
    pub(super) fn subscribe(&self) -> Result<watch::Receiver<()>, StoreError> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_none() {
            *watcher = Some(Watcher::start(self)?);
        }
        Ok(self.changes.subscribe())
    }

    /// Tells those who wait in this process and in others that there is something new.
    pub(super) fn appended(&self) {
        self.changes.send_replace(());
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let own = watcher.as_ref().and_then(|watcher| watcher.socket.as_deref());
        knock(&self.folder.join(SOCKETS), own);
    }
}

impl Watcher {
    fn start(wake: &Wake) -> Result<Self, StoreError> {
        let connection = connection::open_to_read(&wake.folder.join(connection::FILE))?;
        // The first answer must stand before anybody looks at the log, or a change in between would go unnoticed.
        let mut version = data_version(&connection)?;
        let (stop, stopped) = channel();
        let listener = match wake.waking {
            Waking::Poll(_) => None,
            // Without a socket there is still the poll.
            Waking::Socket | Waking::SocketOfCommand => listen(&wake.folder.join(SOCKETS), wake.unique).ok(),
        };
        let socket = listener.as_ref().map(|(path, _)| path.clone());
        let period = match wake.waking {
            Waking::Poll(period) => period,
            Waking::Socket | Waking::SocketOfCommand => FALLBACK,
        };
        let is_command = wake.waking == Waking::SocketOfCommand;
        let changes = Arc::clone(&wake.changes);
        let run = move || {
            while pause(listener.as_ref(), &stopped, period) {
                if changes.receiver_count() == 0 {
                    continue;
                }
                let newest = data_version(&connection).ok();
                // An error wakes too: whoever waits reads, and learns of it there.
                if newest != Some(version) {
                    version = newest.unwrap_or(version);
                    changes.send_replace(());
                    if is_command && stopped.recv_timeout(GATHERED) == Err(RecvTimeoutError::Disconnected) {
                        break;
                    }
                }
            }
            if let Some((path, _)) = &listener {
                let _ = std::fs::remove_file(path);
            }
        };
        let thread = std::thread::Builder::new()
            .name("dstack-wake".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::Unreachable(Box::new(error)))?;
        Ok(Self { stop: Some(stop), socket, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(socket) = &self.socket {
            send(socket);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(connection::unreachable)
}

/// Waits for a byte or the period's end; says no when it is time to stop.
fn pause(listener: Option<&(PathBuf, UnixDatagram)>, stopped: &Receiver<()>, period: Duration) -> bool {
    let Some((_, socket)) = listener else {
        return stopped.recv_timeout(period) != Err(RecvTimeoutError::Disconnected);
    };
    // A timeout and a byte mean the same here: have a look.
    let _ = socket.recv(&mut [0; 8]);
    while socket.set_nonblocking(true).is_ok() && socket.recv(&mut [0; 8]).is_ok() {}
    let _ = socket.set_nonblocking(false);
    stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected)
}

fn listen(sockets: &Path, unique: [u8; 16]) -> std::io::Result<(PathBuf, UnixDatagram)> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(sockets)?;
    let path = sockets.join(connection::unique_name(unique));
    let socket = within_limit(&path, |path| UnixDatagram::bind(path))?;
    socket.set_read_timeout(Some(FALLBACK))?;
    Ok((path, socket))
}

/// Sends a byte to everybody else who waits, and takes away the sockets of those who are gone.
fn knock(sockets: &Path, own: Option<&Path>) {
    let Ok(entries) = std::fs::read_dir(sockets) else { return };
    let paths = entries.flatten().map(|entry| entry.path());
    for path in paths.filter(|path| Some(path.as_path()) != own) {
        send(&path);
    }
}

fn send(path: &Path) {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // A full queue means that the other will look anyhow.
    let sent = socket.set_nonblocking(true).and_then(|()| within_limit(path, |path| socket.send_to(&[1], path)));
    if sent.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
        let _ = std::fs::remove_file(path);
    }
}

/// A socket's address holds 108 bytes: a longer path goes through its opened folder.
fn within_limit<T>(path: &Path, act: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    use std::os::fd::AsRawFd;
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if path.as_os_str().len() > SOCKET_PATH_MAX => {
            let folder = std::fs::File::open(folder)?;
            act(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
        }
        _ => act(path),
    }
}
