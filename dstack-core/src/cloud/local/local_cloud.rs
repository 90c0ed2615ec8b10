//! Machines that are folders and processes here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::folders::{Tombstones, finish, is_folder_name, look, make_runner_folder, request_of};
use crate::cloud::{CloudError, CloudProvider, Known, LaunchError, Look, Machine, Notice};
use crate::host::process::{Life, READY, RunnerFolder, answers, end_runner};
use crate::model::{
    Address, Bytes, LaunchRequest, LaunchTiming, LogId, MachineId, MicroUsd, MilliCpu, Offering, Purchase, Scope, Span,
};

/// Name under which it is registered.
const PROVIDER: &str = "local";
/// Its one region, zone and machine type.
const HERE: &str = "local";
/// Its one account. Whoever shares the root shares the machine.
const ACCOUNT: &str = "this-machine";

/// How long a new supervisor has until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long one that lives has to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Pause between two tries to reach a supervisor that somebody else has just started.
const CONNECT_PAUSE: Duration = Duration::from_millis(5);

/// Runners on this machine: the provider `local`.
///
/// A machine's id is its launch's token, which is also the name of its folder below the root. It lives while a supervisor
/// holds the folder's lock, and it lives once: a supervisor begins by making a name in the folder that can be made only
/// once. Machines of other logs below the same root are never touched.
///
/// # Why absence is proven at once
/// A cloud may answer late, so its listings prove absence only after a long time. Here nothing is late. A launch makes the
/// folder and looks for the token's tombstone, in this order; a look that is to prove that a launch has no machine makes the
/// tombstone and then looks for the folder. Whichever comes second sees the other's work: either the launch ends without a
/// supervisor, or the look sees the folder and forbids the supervisor, by making the one name that it would have to make,
/// or finds it alive and says so. So two looks need not be apart, and none needs to wait.
///
/// It needs a tokio runtime with its IO and time enabled.
#[derive(Debug)]
pub struct LocalCloud {
    root: PathBuf,
    supervisor: Vec<OsString>,
}

impl LocalCloud {
    /// Runners below `root`, which is made if it is not there. `supervisor` is the program, with the arguments that stand
    /// before a runner's folder, that calls [`supervise`](crate::host::process::supervise) with that folder.
    pub fn new(root: PathBuf, supervisor: Vec<OsString>) -> Self {
        Self { root, supervisor }
    }

    fn scope_here() -> Scope {
        Scope { provider: PROVIDER.to_owned(), account: ACCOUNT.to_owned(), region: HERE.to_owned() }
    }

    fn folder(&self, name: &str) -> RunnerFolder {
        RunnerFolder::new(self.root.join(name))
    }

    fn check(scope: &Scope) -> Result<(), CloudError> {
        match *scope == Self::scope_here() {
            true => Ok(()),
            false => Err(CloudError::Invalid(format!("{scope} is not on this machine"))),
        }
    }

    /// Starts a supervisor and returns when it listens, or has ended without.
    async fn spawn_supervisor(&self, folder: &RunnerFolder) -> io::Result<()> {
        let (program, arguments) =
            self.supervisor.split_first().ok_or_else(|| io::Error::other("no program is set"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take();
        reap(child);
        let mut stdout = stdout.ok_or_else(|| io::Error::other("its output cannot be read"))?;
        let listens = async {
            let mut bytes = [0; 256];
            loop {
                match stdout.read(&mut bytes).await? {
                    0 => return Ok(()),
                    count if bytes[..count].contains(&READY) => return Ok(()),
                    _ => {}
                }
            }
        };
        timeout(START_LIMIT, listens).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Takes note of a child's end, so that nothing of it stays behind. Without this process, the system does.
fn reap(mut child: Child) {
    drop(tokio::spawn(async move { child.wait().await }));
}

fn unknown(error: impl std::fmt::Display) -> LaunchError {
    LaunchError::Unknown(error.to_string())
}

fn unanswered(error: impl std::fmt::Display) -> CloudError {
    CloudError::Unknown(error.to_string())
}

/// Does something that waits for disks and processes away from the event loop.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[async_trait]
impl CloudProvider for LocalCloud {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        match region {
            HERE => Ok(Self::scope_here()),
            other => Err(CloudError::Invalid(format!("there is no region {other} here: use {HERE}"))),
        }
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        let scope = self.scope(region).await?;
        // Asking makes no folder: what is refused leaves nothing behind.
        let there = self.root.ancestors().find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new("/"));
        let disk = rustix::fs::statvfs(there).map_err(unanswered)?;
        let memory = rustix::system::sysinfo();
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        Ok(vec![Offering {
            scope,
            instance_type: HERE.to_owned(),
            purchase: Purchase::OnDemand,
            cpu: MilliCpu(cpus.saturating_mul(1000)),
            memory: Bytes(memory.totalram.saturating_mul(u64::from(memory.mem_unit.max(1)))),
            disk: Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)),
            gpus: None,
            arch: std::env::consts::ARCH.to_owned(),
            zones: vec![HERE.to_owned()],
            price: Some(MicroUsd(0)),
            image: String::new(),
            quota: None,
            pooled: true,
            timing: LaunchTiming {
                claim_ttl: Span::from_secs(2),
                claim_margin: Span::from_secs(1),
                settle: Span::ZERO,
                looks_apart: Span::ZERO,
            },
            details: BTreeMap::new(),
        }])
    }

    #[expect(clippy::disallowed_methods, reason = "a launch waits for a real process of this machine, within a bound")]
    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        Self::check(&request.scope).map_err(|error| LaunchError::Invalid(error.to_string()))?;
        if request.rule.instance_type != HERE || request.rule.purchase != Purchase::OnDemand || request.zone != HERE {
            return Err(LaunchError::Invalid(format!("{} is not offered here", request.rule)));
        }
        let token = request.token();
        let folder = self.folder(&token.0);
        if Tombstones::below(&self.root).has(&token.0).map_err(unknown)? {
            return Err(LaunchError::Ended);
        }
        make_runner_folder(&self.root, request).map_err(unknown)?;
        if Tombstones::below(&self.root).has(&token.0).map_err(unknown)? {
            // Whoever made it either forbade the supervisor, or did not see the folder: then it is forbidden here.
            folder.mark_started().map_err(unknown)?;
            return Err(LaunchError::Ended);
        }
        if request_of(&folder).map_err(unknown)?.is_some_and(|other| other != *request) {
            return Err(LaunchError::Mismatch(format!("launch {} was sent before, and differs", request.launch)));
        }
        if folder.life().map_err(unknown)? == Life::NeverStarted {
            self.spawn_supervisor(&folder).await.map_err(unknown)?;
        }
        let machine = Machine {
            id: MachineId(token.0.clone()),
            address: Some(Address(token.0.clone())),
            purchase: Purchase::OnDemand,
        };
        let is_up = timeout(START_LIMIT, async {
            loop {
                match folder.life() {
                    Ok(Life::Dead | Life::Absent) => return Err(LaunchError::Ended),
                    Ok(Life::Alive) if answers(&folder).await => return Ok(machine),
                    // Another caller's supervisor is just before its first act, or its socket.
                    Ok(Life::Alive | Life::NeverStarted) => tokio::time::sleep(CONNECT_PAUSE).await,
                    Err(error) => return Err(unknown(error)),
                }
            }
        });
        is_up.await.unwrap_or_else(|_| Err(unknown("its supervisor does not answer")))
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        Self::check(scope)?;
        let (root, known) = (self.root.clone(), known.to_vec());
        apart(move || look(&root, log, &known)).await.map_err(unanswered)
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        let mut answers = Vec::with_capacity(machines.len());
        for machine in machines {
            answers.push(match Self::check(scope) {
                Ok(()) => self.terminate_one(machine).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn notice(&self) -> Notice {
        std::future::pending().await
    }
}

impl LocalCloud {
    async fn terminate_one(&self, machine: &MachineId) -> Result<(), CloudError> {
        if !is_folder_name(&machine.0) {
            return Err(CloudError::Invalid(format!("{:?} is not the name of a runner's folder", machine.0)));
        }
        let folder = self.folder(&machine.0);
        let life = folder.life().map_err(unanswered)?;
        if life == Life::Absent || request_of(&folder).map_err(unanswered)?.is_none() {
            let is_spent = Tombstones::below(&self.root).has(&machine.0).map_err(unanswered)?;
            return if is_spent { Ok(()) } else { Err(CloudError::NotFound) };
        }
        if life == Life::Alive {
            // If it does not answer, it is killed: nothing here depends on its help.
            let _ = timeout(ANSWER_LIMIT, end_runner(&folder)).await;
        }
        apart(move || finish(&folder)).await.map_err(unanswered)
    }
}
