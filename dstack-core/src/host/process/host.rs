//! The controller's side of runners that are folders here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::afterwards;
use super::folder::{AttemptFolder, Life, RunnerFolder};
use super::wire::{Link, Reply, Request, Standing};
use crate::archive;
use crate::blob::PayloadWriter;
use crate::host::{Begun, Closing, Contents, Fetched, Hearing, HostError, Job, Polled, RunnerHost};
use crate::model::{AttemptId, Greeting, Place};
use crate::secret::Secret;

/// Connections that one runner's calls keep for the next ones.
const MAX_IDLE_LINKS: usize = 4;
/// How long a supervisor may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Output up to that many bytes is read without leaving the thread.
const SHORT_READ_BYTES: u64 = 64 * 1024;

/// Tells folders apart into which this process unpacks at the same time.
static UNPACKED_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// Runners that are folders below one root and processes on this machine.
///
/// A runner's folder has the name of its machine. Calls go to the runner's supervisor; once that is dead, its folder answers
/// for ever. Files are staged, fetched and read by this process, so the supervisor never has them in its memory. It needs a
/// tokio runtime with its IO and time enabled.
#[derive(Debug)]
pub struct ProcessHost {
    root: PathBuf,
    answer_limit: Duration,
    runners: Mutex<BTreeMap<String, Arc<Runner>>>,
}

/// One runner as this process knows it.
#[derive(Debug)]
struct Runner {
    folder: RunnerFolder,
    answer_limit: Duration,
    idle: Mutex<Vec<Link>>,
    /// Carries a byte for each change.
    changes: tokio::sync::Mutex<Option<UnixStream>>,
    changes_seen: AtomicU64,
}

impl ProcessHost {
    /// For the runners whose folders are below `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root, answer_limit: ANSWER_LIMIT, runners: Mutex::default() }
    }

    /// With another time that a supervisor may take to answer.
    #[cfg(test)]
    pub(crate) const fn with_answer_limit(mut self, limit: Duration) -> Self {
        self.answer_limit = limit;
        self
    }

    fn runner(&self, place: &Place) -> Result<Arc<Runner>, HostError> {
        let name = &place.machine.0;
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(HostError::Refused(format!("{name:?} is not the name of a runner's folder")));
        }
        let mut runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runner) = runners.get(name) {
            return Ok(Arc::clone(runner));
        }
        // Those that are gone are forgotten when another one comes.
        runners.retain(|_, runner| runner.folder.path().exists());
        let runner = Arc::new(Runner::new(RunnerFolder::new(self.root.join(name)), self.answer_limit));
        runners.insert(name.clone(), Arc::clone(&runner));
        Ok(runner)
    }
}

impl Runner {
    fn new(folder: RunnerFolder, answer_limit: Duration) -> Self {
        Self {
            folder,
            answer_limit,
            idle: Mutex::default(),
            changes: tokio::sync::Mutex::default(),
            changes_seen: AtomicU64::default(),
        }
    }

    fn idle_link(&self) -> Option<Link> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, link: Link) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_LINKS {
            idle.push(link);
        }
    }

    /// The supervisor's answer; `None` when it is dead, and so the folder's word is final. One that hangs is out of reach.
    async fn ask(&self, request: &Request) -> Result<Option<Reply>, HostError> {
        let late = || format!("its supervisor has not answered for {} seconds", self.answer_limit.as_secs());
        let asked = timeout(self.answer_limit, self.ask_at_leisure(request)).await;
        asked.unwrap_or_else(|_| Err(HostError::Unreachable(late())))
    }

    /// A connection whose answer is not awaited to its end is closed with this future, so no answer meets another question.
    async fn ask_at_leisure(&self, request: &Request) -> Result<Option<Reply>, HostError> {
        if let Some(mut link) = self.idle_link() {
            // All requests may be sent twice: if this connection is of old, a new one tells more.
            if let Ok(reply) = link.ask(request).await {
                self.keep(link);
                return answered(reply);
            }
        }
        let asked = match Link::connect(&self.folder).await {
            Ok(mut link) => link.ask(request).await.map(|reply| (link, reply)),
            Err(error) => Err(error),
        };
        match asked {
            Ok((link, reply)) => {
                self.keep(link);
                answered(reply)
            }
            Err(error) => match self.folder.life() {
                Ok(Life::Dead) => Ok(None),
                Ok(Life::Absent | Life::NeverStarted | Life::Alive) | Err(_) => {
                    Err(HostError::Unreachable(error.to_string()))
                }
            },
        }
    }

    /// Does something that may take long, or wait for a disk, away from the event loop.
    async fn apart<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&RunnerFolder) -> Result<T, E> + Send + 'static,
    ) -> Result<T, HostError> {
        let runner = Arc::clone(self);
        let done = spawn_blocking(move || work(&runner.folder).map_err(refused)).await;
        done.map_err(|error| HostError::Unreachable(error.to_string()))?
    }

    async fn output(
        self: &Arc<Self>,
        attempt: AttemptId,
        offset: u64,
        standing: &Standing,
    ) -> Result<(Buffer, bool), HostError> {
        let rest = standing.output.saturating_sub(offset);
        let length = rest.min(Polled::MAX_CHUNK as u64);
        let path = self.folder.attempt(attempt).output();
        let output = match length {
            0 => Buffer::new(),
            1..=SHORT_READ_BYTES => read(&path, offset, length).map_err(refused)?,
            _ => self.apart(move |_| read(&path, offset, length)).await?,
        };
        let has_more = !output.is_empty() && (output.len() as u64) < rest;
        Ok((output, has_more))
    }
}

fn answered(reply: Reply) -> Result<Option<Reply>, HostError> {
    match reply {
        Reply::Refused(why) => Err(HostError::Refused(why)),
        other => Ok(Some(other)),
    }
}

fn refused(error: impl std::fmt::Display) -> HostError {
    HostError::Refused(error.to_string())
}

fn not_understood() -> HostError {
    HostError::Unreachable("its supervisor answers something else than it was asked".to_owned())
}

/// Up to `length` bytes; none when the file is gone, since then its attempt is released.
fn read(path: &Path, offset: u64, length: u64) -> io::Result<Buffer> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Buffer::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

/// What is at this path of the attempt's working folder.
fn pack(attempt: &AttemptFolder, path: &Path) -> io::Result<Fetched> {
    let work = attempt.work();
    if !work.try_exists()? {
        return Ok(Fetched::default());
    }
    let out = PayloadWriter::new(attempt.parent());
    let packed = match archive::pack_path_into(work, path, out) {
        Ok(Some(packed)) => packed,
        Ok(None) => return Ok(Fetched::default()),
        Err(error) if is_lasting(&error) => {
            return Ok(Fetched { unreadable: Some(error.to_string()), ..Fetched::default() });
        }
        Err(error) => return Err(error),
    };
    let is_empty = packed.entries == 0;
    let archive = if is_empty { None } else { Some(packed.bytes.finish()?) };
    Ok(Fetched { archive, left_behind: packed.left_behind, unreadable: None })
}

/// Whether reading again fails again: it is about the path and who may read it. Errors of the packed file, which is ours,
/// come as the system gave them, those of what is read with its path.
fn is_lasting(error: &io::Error) -> bool {
    use rustix::io::Errno;
    if error.raw_os_error().is_some() {
        return false;
    }
    let lasting = [Errno::ACCESS, Errno::PERM, Errno::LOOP, Errno::NAMETOOLONG, Errno::INVAL];
    lasting.into_iter().any(|errno| error.kind() == io::Error::from(errno).kind())
}

#[async_trait]
impl RunnerHost for ProcessHost {
    /// A folder of this machine needs no identity: nobody else can answer for it.
    async fn greet(&self, place: &Place) -> Result<Greeting, HostError> {
        self.poll(place, &[]).await?;
        Ok(Greeting::default())
    }

    async fn stage(&self, place: &Place, attempt: AttemptId, contents: &Contents) -> Result<(), HostError> {
        let runner = self.runner(place)?;
        if contents.archives.is_empty() {
            return Ok(());
        }
        let contents = contents.clone();
        let number = UNPACKED_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("unpacked-{}-{number}", std::process::id());
        runner
            .apart(move |folder| match folder.life() {
                // Without the folder there is no runner, and nothing may make it anew.
                Ok(Life::Absent) => Err("its folder is gone".to_owned()),
                Ok(Life::NeverStarted | Life::Alive | Life::Dead) => {
                    afterwards::stage(&folder.attempt(attempt), &contents, &temporary)
                        .map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            })
            .await
    }

    async fn start(
        &self,
        place: &Place,
        attempt: AttemptId,
        job: &Job,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Begun, HostError> {
        let runner = self.runner(place)?;
        let secrets = secrets.iter().map(|(name, secret)| (name.clone(), secret.expose().to_owned())).collect();
        match runner.ask(&Request::Start { attempt, job: job.clone(), secrets }).await? {
            Some(Reply::Begun(true)) => Ok(Begun::Started),
            Some(Reply::Begun(false)) => Ok(Begun::Closed),
            Some(Reply::Standing(_) | Reply::Done | Reply::Refused(_)) => Err(not_understood()),
            None => runner.apart(move |folder| afterwards::start(folder, attempt)).await,
        }
    }

    async fn poll(&self, place: &Place, attempts: &[(AttemptId, u64)]) -> Result<Vec<Polled>, HostError> {
        let runner = self.runner(place)?;
        let ids: Vec<AttemptId> = attempts.iter().map(|(id, _)| *id).collect();
        let standings = match runner.ask(&Request::Poll(ids.clone())).await? {
            Some(Reply::Standing(standings)) if standings.len() == ids.len() => standings,
            Some(_) => return Err(not_understood()),
            None => runner.apart(move |folder| afterwards::standings(folder, &ids)).await?,
        };
        let mut polled = Vec::with_capacity(attempts.len());
        for ((attempt, offset), standing) in attempts.iter().zip(standings) {
            let (output, has_more) = runner.output(*attempt, *offset, &standing).await?;
            polled.push(Polled { attempt: *attempt, progress: standing.progress, output, has_more });
        }
        Ok(polled)
    }

    async fn close(&self, place: &Place, attempt: AttemptId, closing: Closing) -> Result<(), HostError> {
        let runner = self.runner(place)?;
        match runner.ask(&Request::Close { attempt, closing }).await? {
            Some(_) => Ok(()),
            None => runner.apart(move |folder| afterwards::close(folder, attempt, closing)).await,
        }
    }

    async fn fetch(&self, place: &Place, attempt: AttemptId, path: &str) -> Result<Fetched, HostError> {
        let runner = self.runner(place)?;
        let path = PathBuf::from(path);
        // What ends the runner takes the attempts away in one act: only what was packed while they were there is whole.
        let fetched = runner.apart(move |folder| -> io::Result<_> {
            let attempt = folder.attempt(attempt);
            let is_there = || attempt.verdict().map(|verdict| verdict.is_some());
            if !is_there()? {
                return Ok(None);
            }
            let fetched = pack(&attempt, &path);
            if is_there()? { fetched.map(Some) } else { Ok(None) }
        });
        fetched.await?.ok_or(HostError::UnknownAttempt(attempt))
    }

    async fn release(&self, place: &Place, attempt: AttemptId) -> Result<(), HostError> {
        let runner = self.runner(place)?;
        runner.ask(&Request::Release(attempt)).await?;
        runner.apart(move |folder| folder.attempt(attempt).empty()).await
    }

    async fn wait(&self, place: &Place) -> Result<(), HostError> {
        let runner = self.runner(place)?;
        let seen = runner.changes_seen.load(Ordering::Acquire);
        let mut changes = runner.changes.lock().await;
        if runner.changes_seen.load(Ordering::Acquire) != seen {
            // Another caller was told of a change while this one waited for its turn.
            return Ok(());
        }
        if changes.is_none() {
            let unreachable = |error: io::Error| HostError::Unreachable(error.to_string());
            let mut link = Link::connect(&runner.folder).await.map_err(unreachable)?;
            link.send(&Request::Watch).await.map_err(unreachable)?;
            *changes = Some(link.into_stream());
        }
        let Some(stream) = changes.as_mut() else { return Ok(()) };
        let mut bytes = [0; 256];
        loop {
            // Nothing is taken from the connection before it is awaited, so nothing is lost when this future is dropped.
            let is_open = stream.readable().await.is_ok();
            match stream.try_read(&mut bytes) {
                Err(error) if is_open && error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(1..) => {}
                Ok(0) | Err(_) => *changes = None,
            }
            runner.changes_seen.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
    }

    /// Nobody takes this machine back.
    async fn listen(&self, _place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError> {
        if last == Some(Hearing::Deaf) { std::future::pending().await } else { Ok(Hearing::Deaf) }
    }
}
