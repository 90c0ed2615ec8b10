//! The system's `ssh` as a child process.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::address::Target;
use super::known_host::ALIAS;
use super::protocol::LOADER;
use crate::host::HostError;

/// How long the words of an `ssh` that has ended are waited for.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);
/// Most that is kept of what `ssh` complains about, in bytes.
const COMPLAINT_MAX_BYTES: usize = 4096;

/// For all connections. Nothing of the user's own configuration, agent or known hosts has a part in them.
const OPTIONS: [&str; 20] = [
    "BatchMode=yes",
    "IdentityFile=key",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "GlobalKnownHostsFile=/dev/null",
    "HashKnownHosts=no",
    "CheckHostIP=no",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "ConnectTimeout=5",
    "ConnectionAttempts=1",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlPersist=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "Compression=no",
    "LogLevel=ERROR",
];
/// In which order host keys are asked for, so that the first contact always learns the same one.
const KEY_KINDS: &str = "HostKeyAlgorithms=ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256";

/// What a new connection knows of the host's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The key that is noted is the only one.
    Pinned,
    /// Any key, if none is noted; it is noted then.
    FirstContact,
}

/// `ssh` in the keys' folder, so that all names given to it are short and plain: it would expand anything else in them.
fn ssh(keys: &Path, target: &Target, socket: &str) -> Command {
    let mut command = Command::new("ssh");
    command.current_dir(keys).args(["-F", "none", "-T"]);
    for option in OPTIONS {
        command.args(["-o", option]);
    }
    command
        .args(["-o", &format!("HostKeyAlias={ALIAS}"), "-o", &format!("ControlPath={socket}")])
        .args(["-l", &target.user, "-p", &target.port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A new connection, which others share through the socket of this name for as long as it lasts.
pub(super) fn connect(
    keys: &Path,
    target: &Target,
    socket: &str,
    known_host: &str,
    trust: Trust,
) -> Result<Client, HostError> {
    let mut command = ssh(keys, target, socket);
    let strict = match trust {
        Trust::Pinned => "StrictHostKeyChecking=yes",
        Trust::FirstContact => "StrictHostKeyChecking=accept-new",
    };
    let known_host = format!("UserKnownHostsFile={known_host}");
    for option in [strict, &known_host, "ControlMaster=yes", KEY_KINDS] {
        command.args(["-o", option]);
    }
    Client::spawn(command, target)
}

/// Another channel of the connection behind the socket. If that is gone, it fails: it never makes a connection of its own.
pub(super) fn channel(keys: &Path, target: &Target, socket: &str) -> Result<Client, HostError> {
    let mut command = ssh(keys, target, socket);
    for option in
        ["StrictHostKeyChecking=yes", "UserKnownHostsFile=/dev/null", "ControlMaster=no", "ProxyCommand=false"]
    {
        command.args(["-o", option]);
    }
    Client::spawn(command, target)
}

/// A running `ssh`, which ends with this value.
pub(super) struct Client {
    pub(super) child: Child,
    complaint: Arc<Mutex<Vec<u8>>>,
    listening: JoinHandle<()>,
}

impl Client {
    fn spawn(mut command: Command, target: &Target) -> Result<Self, HostError> {
        command.args([&target.host, LOADER]);
        let mut child = command.spawn().map_err(|error| {
            HostError::Unreachable(format!("ssh cannot be started: {error}; install the OpenSSH client"))
        })?;
        let complaint = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("it is piped");
        let listening = tokio::spawn(listen(stderr, Arc::clone(&complaint)));
        Ok(Self { child, complaint, listening })
    }

    /// Why it ended, or is ended now.
    pub(super) async fn failure(&mut self, otherwise: &str) -> HostError {
        // What it says is complete when it is gone. Of a channel whose other end hangs, the connection's own process holds the
        // pipe on: then what has come by now is all.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        let _ = timeout(LAST_WORDS_MAX, &mut self.listening).await;
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        classify(&String::from_utf8_lossy(&complaint), otherwise)
    }
}

async fn listen(mut stderr: ChildStderr, complaint: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut complaint = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let room = COMPLAINT_MAX_BYTES.saturating_sub(complaint.len());
        complaint.extend_from_slice(&buffer[..count.min(room)]);
    }
}

/// An error from what `ssh` says. Its exit code tells nothing: it may be the runner's.
fn classify(complaint: &str, otherwise: &str) -> HostError {
    let is_changed = ["IDENTIFICATION HAS CHANGED", "Host key verification failed", "no matching host key type"];
    let lines: Vec<&str> = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if is_changed.iter().any(|words| complaint.contains(words)) {
        return HostError::Changed("it answers with another host key than the one that was pinned".to_owned());
    }
    // The last line is the one that says why.
    let why: String = lines.last().unwrap_or(&otherwise).chars().filter(|c| !c.is_control()).take(400).collect();
    HostError::Unreachable(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_key_is_told_from_an_unreachable_host() {
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key verification failed.\r\n";
        assert!(matches!(classify(changed, ""), HostError::Changed(_)));
        let refused = "ssh: connect to host 127.0.0.1 port 1: Connection refused\r\n";
        let words = "ssh: connect to host 127.0.0.1 port 1: Connection refused";
        assert_eq!(classify(refused, "?"), HostError::Unreachable(words.to_owned()));
        assert_eq!(classify("", "it ended"), HostError::Unreachable("it ended".to_owned()));
    }
}
