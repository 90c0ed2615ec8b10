//! The process that stands for a runner.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{SendFlags, send};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use super::afterwards;
use super::folder::{ExitRecord, RunnerFolder, Verdict, make_folders};
use super::identity::{Identity, all_pids, open_if};
use super::leftovers::{kill_leftovers, kill_marked};
use super::memory_events::MemoryEvents;
use super::output_watch::OutputWatch;
use super::program::{base_environment, write_script};
use super::supervised::Supervised;
use super::wire::{Link, Reply, Request, Standing, listen};
use crate::host::{Closing, Job, Progress};
use crate::model::AttemptId;

/// What [`supervise`] writes to its standard output once, when it listens; nothing else is ever written there.
pub const READY: u8 = 6;

/// How often it is looked whether the runner's folder is still there.
const FOLDER_EVERY: Duration = Duration::from_secs(5);
/// Looks for what is left of a runner without a folder, at most that often; each time everything found is killed.
const MAX_ROUNDS: usize = 100;

/// Stands for the runner in this folder until it is told to end it. A runner has one supervisor in its life: where there is
/// or was one already, this returns at once. Where the folder is taken away, so is the runner, with all that runs on it.
///
/// A program that embeds this library calls it from its `main` for the subcommand that it gave to
/// [`LocalCloud`](crate::cloud::LocalCloud), before it starts any thread. Its standard input and error are to lead nowhere.
pub fn supervise(runner_folder: &Path) -> ExitCode {
    match stand_for(runner_folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the supervisor cannot go on");
            ExitCode::FAILURE
        }
    }
}

fn stand_for(runner_folder: &Path) -> io::Result<()> {
    let folder = RunnerFolder::new(fs::canonicalize(runner_folder)?);
    std::env::set_current_dir(folder.path())?;
    // It fails only for the leader of a process group. Then its processes are found by their marker alone.
    let _ = rustix::process::setsid();
    let Some(lock) = folder.lock()? else { return Ok(()) };
    if !folder.mark_started()? {
        return Ok(());
    }
    Identity::own()?.write(&folder.identity())?;
    make_folders(&folder.attempts())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = LocalSet::new().block_on(&runtime, serve(folder));
    drop(lock);
    served
}

#[expect(clippy::disallowed_methods, reason = "the supervisor is a process of its own")]
async fn serve(folder: RunnerFolder) -> io::Result<()> {
    let own_folder = number_of(folder.path())?;
    let listener = listen(&folder)?;
    let supervisor = Rc::new(Supervisor {
        folder,
        base: base_environment(),
        memory: MemoryEvents::open(),
        outputs: OutputWatch::new()?,
        state: RefCell::default(),
        ended: Notify::new(),
    });
    let mut stdout = io::stdout().lock();
    // Whoever started it may be gone already.
    let _ = stdout.write_all(&[READY]).and_then(|()| stdout.flush());
    drop(stdout);
    spawn_local(Rc::clone(&supervisor).tell_of_output());
    let mut looks = tokio::time::interval(FOLDER_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = supervisor.ended.notified() => return Ok(()),
            _ = looks.tick() => {
                if is_gone(supervisor.folder.path(), own_folder) {
                    return supervisor.abandon();
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(spawn_local(Rc::clone(&supervisor).converse(stream))),
                // Too many open files, say: the connection waits until there is room.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// What tells a folder from another that has come to its place.
fn number_of(folder: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(folder).map(|facts| (facts.dev(), facts.ino()))
}

/// Whether the folder is no longer at its place. What cannot be told is no proof.
fn is_gone(folder: &Path, own: (u64, u64)) -> bool {
    match number_of(folder) {
        Ok(number) => number != own,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

struct Supervisor {
    folder: RunnerFolder,
    base: Vec<(OsString, OsString)>,
    memory: MemoryEvents,
    outputs: OutputWatch,
    state: RefCell<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    attempts: BTreeMap<AttemptId, Entry>,
    watchers: BTreeMap<u64, OwnedFd>,
    watchers_so_far: u64,
    is_ending: bool,
}

/// An attempt that this supervisor has begun and that is not released.
enum Entry {
    Running { orders: watch::Sender<Option<Closing>>, output: File },
    Over(Standing),
}

impl Supervisor {
    async fn converse(self: Rc<Self>, stream: UnixStream) {
        let mut link = Link::new(stream);
        while let Ok(Some(request)) = link.receive().await {
            let reply = match request {
                Request::Start { attempt, job, secrets } => self.start(attempt, job, secrets),
                Request::Poll(attempts) => {
                    attempts.iter().map(|id| self.standing(*id)).collect::<io::Result<_>>().map(Reply::Standing)
                }
                Request::Close { attempt, closing } => self.close(attempt, closing),
                Request::Release(attempt) => self.release(attempt),
                Request::Watch => return self.keep_informed(link.into_stream()).await,
                Request::End => self.end(),
            };
            let reply = reply.unwrap_or_else(|error| Reply::Refused(error.to_string()));
            let is_sent = link.send(&reply).await.is_ok();
            if self.state.borrow().is_ending {
                self.ended.notify_one();
            }
            if !is_sent {
                return;
            }
        }
    }

    /// Begins the attempt, unless something was decided before. The command itself is started right after the answer.
    fn start(self: &Rc<Self>, attempt: AttemptId, job: Job, secrets: BTreeMap<String, String>) -> io::Result<Reply> {
        let folder = self.folder.attempt(attempt);
        if self.state.borrow().attempts.contains_key(&attempt) {
            return Ok(Reply::Begun(true));
        }
        if self.state.borrow().is_ending {
            return Ok(Reply::Refused("it is ending".to_owned()));
        }
        if let Some(verdict) = folder.verdict()? {
            return Ok(Reply::Begun(verdict == Verdict::Supervisor));
        }
        folder.make_work()?;
        write_script(&folder, &job)?;
        let output = folder.open_output()?;
        let entry_output = output.try_clone()?;
        if !folder.decide(Verdict::Supervisor)? {
            return Ok(Reply::Begun(folder.verdict()? == Some(Verdict::Supervisor)));
        }
        let (sender, orders) = watch::channel(None);
        let entry = Entry::Running { orders: sender, output: entry_output };
        self.state.borrow_mut().attempts.insert(attempt, entry);
        let supervised = Supervised { folder, job, secrets, output, orders };
        spawn_local(Rc::clone(self).follow(attempt, supervised));
        Ok(Reply::Begun(true))
    }

    async fn follow(self: Rc<Self>, attempt: AttemptId, supervised: Supervised) {
        let folder = supervised.folder.clone();
        let watch = self.outputs.add(&folder.output());
        let exit = supervised.run(&self.base, &self.memory).await;
        if let Some(watch) = watch {
            self.outputs.remove(watch);
        }
        let mut state = self.state.borrow_mut();
        let Some(entry) = state.attempts.get_mut(&attempt) else { return };
        let output = entry.output_length();
        let is_written = |exit| folder.write_exit(&ExitRecord { exit, output }).is_ok();
        let progress = match exit {
            Some(exit) if is_written(exit) => Progress::Exited(exit),
            Some(_) | None => Progress::Lost,
        };
        *entry = Entry::Over(Standing { progress, output });
        state.tell_watchers();
    }

    fn standing(&self, attempt: AttemptId) -> io::Result<Standing> {
        match self.state.borrow().attempts.get(&attempt) {
            Some(Entry::Over(standing)) => Ok(standing.clone()),
            Some(running @ Entry::Running { .. }) => {
                Ok(Standing { progress: Progress::Running, output: running.output_length() })
            }
            None => afterwards::standing(&self.folder.attempt(attempt), Progress::Staged),
        }
    }

    fn close(&self, attempt: AttemptId, closing: Closing) -> io::Result<Reply> {
        let mut state = self.state.borrow_mut();
        match state.attempts.get(&attempt) {
            Some(Entry::Running { orders, .. }) => drop(orders.send(Some(closing))),
            Some(Entry::Over(_)) => {}
            None => {
                afterwards::forbid(&self.folder.attempt(attempt), closing)?;
                state.tell_watchers();
            }
        }
        Ok(Reply::Done)
    }

    fn release(&self, attempt: AttemptId) -> io::Result<Reply> {
        let mut state = self.state.borrow_mut();
        if let Some(Entry::Running { .. }) = state.attempts.get(&attempt) {
            return Ok(Reply::Refused(format!("attempt {attempt} still runs")));
        }
        state.attempts.remove(&attempt);
        Ok(Reply::Done)
    }

    /// Kills everything here. Nothing of it gets an exit record: it is lost.
    fn end(&self) -> io::Result<Reply> {
        self.state.borrow_mut().is_ending = true;
        kill_leftovers(&self.folder)?;
        Ok(Reply::Done)
    }

    /// Kills everything here without a folder: what it says of the runner is gone, so what is ours is known from this
    /// process alone.
    fn abandon(&self) -> io::Result<()> {
        self.state.borrow_mut().is_ending = true;
        let attempts: Vec<AttemptId> = self.state.borrow().attempts.keys().copied().collect();
        attempts.into_iter().try_for_each(|attempt| kill_marked(&self.folder.attempt(attempt)))?;
        let own = rustix::process::getpid().as_raw_nonzero().get();
        for _ in 0..MAX_ROUNDS {
            let mut found = Vec::new();
            for pid in all_pids()?.filter(|pid| *pid != own) {
                found.extend(open_if(pid, |stat| stat.session == own)?);
            }
            if found.is_empty() {
                return Ok(());
            }
            for process in &found {
                // One that has ended meanwhile is as good.
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
        }
        Ok(())
    }

    /// Sends a byte over the connection for each change, until the other side closes it.
    async fn keep_informed(&self, stream: UnixStream) {
        let Ok(handle) = rustix::io::fcntl_dupfd_cloexec(&stream, 0) else { return };
        let number = {
            let mut state = self.state.borrow_mut();
            state.watchers_so_far += 1;
            let number = state.watchers_so_far;
            state.watchers.insert(number, handle);
            // What changed before is told once, in case nobody else did.
            state.tell_watchers();
            number
        };
        // Nothing is sent on it: it becomes readable when it is closed.
        let _ = stream.readable().await;
        self.state.borrow_mut().watchers.remove(&number);
    }

    async fn tell_of_output(self: Rc<Self>) {
        while self.outputs.printed().await.is_ok() {
            self.state.borrow_mut().tell_watchers();
        }
    }
}

impl Entry {
    fn output_length(&self) -> u64 {
        match self {
            Self::Running { output, .. } => output.metadata().map_or(0, |facts| facts.len()),
            Self::Over(standing) => standing.output,
        }
    }
}

impl State {
    fn tell_watchers(&mut self) {
        self.watchers.retain(|_, watcher| {
            // A full socket has bytes in it that nobody has read yet: they tell enough.
            match send(watcher, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
                Err(_) => false,
            }
        });
    }
}
