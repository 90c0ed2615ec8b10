//! A sandbox from its start to its end.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::hosts::{self, Tools};
use super::options::{Machines, Options};
use super::rates::Rates;
use super::server;
use super::state::{Shared, State};

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port is taken, or there is no such address.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
    /// A program that instances need is not there, or does not work.
    #[error("{0}; or start it with --fake-hosts: instances are then rows in a list")]
    Tools(String),
    /// No folder, thread or runtime.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// A running sandbox. It runs on threads of its own, and ends with all its instances when it is stopped or dropped.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    shared: SharedHandle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
    _ssh_port: TcpListener,
}

/// The shared state, which has nothing to show in Debug.
struct SharedHandle(Arc<Shared>);

impl std::fmt::Debug for SharedHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts one. It listens when this returns.
    ///
    /// # Errors
    /// If the port is taken, or if `sshd` or `ssh-keygen` are missing and [`Machines::Sshd`] are asked for.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let port = options.port;
        let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listen(port).map_err(|source| StartError::Listen { port, source })?;
        listener.set_nonblocking(true)?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        // Held to the end, so that no other sandbox picks the same one.
        let held = listen(options.ssh_port).map_err(|source| StartError::Listen { port: options.ssh_port, source })?;
        let ssh_port = held.local_addr()?.port();
        let mut builder = tempfile::Builder::new();
        builder.prefix("ec2-sandbox-");
        let folder = match &options.folder {
            Some(parent) => builder.tempdir_in(parent)?,
            None => builder.tempdir()?,
        };
        let tools = match options.machines {
            Machines::Fake => None,
            Machines::Sshd => Some(Tools::find(folder.path()).map_err(StartError::Tools)?),
        };
        let user = hosts::user_name();
        let shared = Arc::new(Shared::new(options, user, ssh_port, folder.path().to_owned()));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let running = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("ec2-sandbox".into()).spawn(move || {
            runtime.block_on(run(running, listener, tools, stopped));
            runtime.shutdown_timeout(Duration::from_secs(1));
        })?;
        Ok(Self {
            url,
            shared: SharedHandle(shared),
            stop: Some(stop),
            thread: Some(thread),
            _folder: folder,
            _ssh_port: held,
        })
    }

    /// The endpoint: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of every instance's `sshd`.
    pub fn ssh_port(&self) -> u16 {
        self.shared.0.ssh_port
    }

    /// The user that instances let in.
    pub fn ssh_user(&self) -> &str {
        &self.shared.0.ssh_user
    }

    /// The truth, without faults and limits.
    pub fn state(&self) -> State {
        self.shared.0.state()
    }

    /// Changes what goes wrong from now on.
    pub fn set_rates(&self, rates: &Rates) {
        self.shared.0.set_rates(rates);
    }

    /// Takes a Spot instance back that long after a notice; at once where there is none.
    ///
    /// # Errors
    /// If there is no such instance, or it has ended or is not Spot; in words.
    pub fn interrupt(&self, instance: &str, notice: Option<Duration>) -> Result<(), String> {
        self.shared.0.interrupt(instance, notice)
    }

    /// Puts another machine at the instance's address: other host key, nothing running.
    ///
    /// # Errors
    /// If no such instance runs; in words.
    pub fn rekey(&self, instance: &str) -> Result<(), String> {
        self.shared.0.rekey(instance)
    }

    /// Ends every instance, then the sandbox.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // If nobody listens any more, it has ended.
            let _already_over = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run(shared: Arc<Shared>, listener: TcpListener, tools: Option<Tools>, stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut hosting = hosts::Hosting::new(Arc::clone(&shared), tools);
    tokio::select! {
        biased;
        _ = stopped => {}
        never = server::listen(shared, listener) => match never {},
        never = hosting.follow() => match never {},
    }
    hosting.end_all().await;
}
