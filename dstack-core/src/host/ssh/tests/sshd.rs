//! Real SSH servers for tests: each a process of the calling user on a port of its own, with a home folder of its own.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::host::SshHost;
use crate::host::ssh::SshKeys;
use crate::model::{Address, MachineId, Place, RunnerId};

/// How long a test may take at most, in all.
const TEST_LIMIT: Duration = Duration::from_secs(240);
/// Where servers are looked for, besides the search path.
const SERVER_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The SSH server of this machine; without one, the test says loudly that it was skipped.
pub(crate) fn server_program(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVER_FOLDERS.iter().map(PathBuf::from));
    let found = folders.map(|folder| folder.join("sshd")).find(|program| program.is_file());
    let is_root = rustix::process::geteuid().is_root();
    // The server's unprivileged half is locked up there.
    let has_jail = !is_root || Path::new("/run/sshd").is_dir() || fs::create_dir("/run/sshd").is_ok();
    if found.is_none() || !has_jail || which("ssh").is_none() || which("ssh-keygen").is_none() {
        // Past the test harness, which hides what tests print.
        let warning =
            format!("\nSKIPPED: {test}: no OpenSSH server and client on this machine, so it was NOT checked\n");
        let _ = std::io::stderr().lock().write_all(warning.as_bytes());
        return None;
    }
    found
}

pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Runs this to its end on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let result = runtime.block_on(async { tokio::time::timeout(TEST_LIMIT, work).await });
    result.expect("a test comes to its end in time")
}

/// Servers below one temporary root, and the key that they let in. All end with this value, and what ran on them.
pub(crate) struct Servers {
    program: PathBuf,
    pub(crate) root: tempfile::TempDir,
    /// Where runners find their commands, if not where everyone does.
    pub(crate) search_path: Option<String>,
    started: Mutex<Vec<Server>>,
}

struct Server {
    child: Child,
    port: u16,
}

impl Servers {
    /// None yet; nothing on a machine where there can be none.
    pub(crate) fn new(test: &str) -> Option<Arc<Self>> {
        Self::with_search_path(test, |_| None)
    }

    /// As [`Self::new`], with another search path on the runners, made in the temporary root.
    pub(crate) fn with_search_path(test: &str, make: impl FnOnce(&Path) -> Option<String>) -> Option<Arc<Self>> {
        let program = server_program(test)?;
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let search_path = make(root.path());
        let servers = Self { program, root, search_path, started: Mutex::default() };
        servers.make_key("host-key");
        Some(Arc::new(servers))
    }

    pub(crate) fn keys(&self) -> SshKeys {
        SshKeys::open(&self.root.path().join("ssh")).expect("ssh-keygen is installed")
    }

    /// A handle of its own to all of them.
    pub(crate) fn host(&self) -> Arc<SshHost> {
        Arc::new(SshHost::new(self.keys()))
    }

    pub(crate) fn home(&self, place: &Place) -> PathBuf {
        self.root.path().join(&place.machine.0)
    }

    /// The folder of an attempt there.
    pub(crate) fn attempt_folder(&self, place: &Place, attempt: crate::model::AttemptId) -> PathBuf {
        let name = crate::host::ssh::protocol::folder_name(attempt);
        self.home(place).join(".dstack/runner/attempts").join(name)
    }

    pub(crate) fn make_key(&self, name: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", name])
            .current_dir(self.root.path())
            .status();
        assert!(made.expect("it is installed").success());
    }

    /// A new runner, which answers.
    pub(crate) fn start(&self) -> Place {
        let number = self.started.lock().unwrap_or_else(PoisonError::into_inner).len();
        let name = format!("runner-{number}");
        fs::create_dir(self.root.path().join(&name)).expect("it is new");
        let (child, port) = self.launch(&name, "host-key", None);
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(Server { child, port });
        Place {
            runner: RunnerId::from_bits(number as u64),
            machine: MachineId(name),
            address: self.address(port),
            identity: None,
        }
    }

    pub(crate) fn address(&self, port: u16) -> Address {
        let output = Command::new("id").arg("-un").output().expect("every system has it");
        let user = String::from_utf8(output.stdout).expect("it is text");
        Address(format!("{}@127.0.0.1:{port}", user.trim()))
    }

    pub(crate) fn port(&self, place: &Place) -> u16 {
        let number = usize::try_from(place.runner.to_bits()).expect("it was an index");
        self.started.lock().unwrap_or_else(PoisonError::into_inner)[number].port
    }

    /// Ends a runner's server, with its connections, and starts it anew with this host key.
    pub(crate) fn restart(&self, place: &Place, host_key: &str) {
        let number = usize::try_from(place.runner.to_bits()).expect("it was an index");
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        end(&mut started[number].child);
        let (child, port) = self.launch(&place.machine.0, host_key, Some(started[number].port));
        started[number] = Server { child, port };
    }

    fn launch(&self, name: &str, host_key: &str, port: Option<u16>) -> (Child, u16) {
        // Another process may take a free port before the server does: then another one is tried.
        for _ in 0..20 {
            let port = port.unwrap_or_else(free_port);
            let mut child = self.spawn(name, host_key, port);
            loop {
                if child.try_wait().expect("it is a child").is_some() {
                    break;
                }
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return (child, port);
                }
                std::thread::yield_now();
            }
        }
        let log = fs::read_to_string(self.root.path().join(format!("{name}.log"))).unwrap_or_default();
        panic!("the SSH server does not start: {log}");
    }

    fn spawn(&self, name: &str, host_key: &str, port: u16) -> Child {
        let root = self.root.path().display();
        let boot = self.root.path().join(format!("{name}.boot"));
        if !boot.exists() {
            fs::copy("/proc/sys/kernel/random/boot_id", &boot).expect("every system has one");
        }
        let key = self.root.path().join("authorized");
        fs::write(&key, format!("{}\n", self.keys().public_key())).expect("it can be written");
        let path = self.search_path.as_ref().map_or_else(String::new, |path| format!(" PATH={path}"));
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {root}/{host_key}\nAuthorizedKeysFile {root}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
             MaxStartups 100\nSetEnv HOME={root}/{name} DSTACK_BOOT_ID_FILE={root}/{name}.boot{path}\n"
        );
        let path = self.root.path().join(format!("{name}.conf"));
        fs::write(&path, config).expect("it can be written");
        Command::new(&self.program)
            .args(["-D", "-e", "-f"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.root.path().join(format!("{name}.log"))).expect("it can be made"))
            .spawn()
            .expect("it is a program")
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Ends a server and, with it, the processes of its connections.
fn end(child: &mut Child) {
    let parent = i32::try_from(child.id()).expect("numbers of processes are small");
    for connection in children(parent) {
        kill(connection);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn children(parent: i32) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("every system has it").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after.split(' ').nth(1).and_then(|text| text.parse().ok()) == Some(parent)
    })
    .collect()
}

pub(crate) fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The processes whose environment holds this text.
pub(crate) fn processes_with(text: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("every system has it").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(text.len()).any(|window| window == text.as_bytes())
    })
    .collect()
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in self.started.get_mut().unwrap_or_else(PoisonError::into_inner) {
            end(&mut server.child);
        }
        // Jobs and their shells: all have a home folder below the root, which is this test's alone.
        for pid in processes_with(&format!("{}/runner-", self.root.path().display())) {
            kill(pid);
        }
    }
}
