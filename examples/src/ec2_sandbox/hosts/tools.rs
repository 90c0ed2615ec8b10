//! The programs that instances need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `sshd` is, besides the folders of PATH.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/libexec"];

/// Where the server half of SFTP may be.
const SFTP_SERVERS: [&str; 5] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/sftp-server",
];

/// The programs, found and tried.
#[derive(Debug, Clone)]
pub(in super::super) struct Tools {
    pub(super) sshd: PathBuf,
    pub(super) ssh_keygen: PathBuf,
    pub(super) sftp_server: Option<PathBuf>,
    /// Lines that this version of `sshd` wants in its configuration.
    pub(super) extra: String,
}

impl Tools {
    /// Finds them; or says in one line what is missing.
    pub(in super::super) fn find(folder: &Path) -> Result<Self, String> {
        let sshd =
            program("sshd").ok_or("there is no sshd on this machine: install the OpenSSH server (openssh-server)")?;
        let ssh_keygen = program("ssh-keygen").ok_or("there is no ssh-keygen on this machine: install OpenSSH")?;
        let probe = folder.join("probe");
        fs::create_dir_all(&probe).map_err(|error| error.to_string())?;
        let key = probe.join("key");
        let made = Command::new(&ssh_keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).output();
        let made = made.map_err(|error| format!("ssh-keygen does not run: {error}"))?;
        if !made.status.success() {
            return Err(format!("ssh-keygen makes no key: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        let mut tools = Self { sshd, ssh_keygen, sftp_server: None, extra: String::new() };
        tools.sftp_server = SFTP_SERVERS.iter().map(PathBuf::from).find(|path| path.exists());
        tools.try_out(&probe, &key)?;
        // From 9.8 on, refused logins of an address make it wait; here all come from one address.
        if tools.accepts(&probe, &key, "PerSourcePenalties no").is_ok() {
            tools.extra = "PerSourcePenalties no\n".to_owned();
        }
        // What is left of it is removed with the sandbox's folder.
        let _left = fs::remove_dir_all(&probe);
        Ok(tools)
    }

    fn try_out(&self, probe: &Path, key: &Path) -> Result<(), String> {
        let Err(fault) = self.accepts(probe, key, "") else { return Ok(()) };
        // What the system's own start of sshd does first, where it was never started.
        let folder = fault.split_once("Missing privilege separation directory: ").map(|(_, folder)| folder.trim());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(|error| format!("sshd needs the folder {folder}: {error}"))?;
            return self.accepts(probe, key, "").map_err(|fault| format!("sshd does not start: {fault}"));
        }
        Err(format!("sshd does not start: {fault}"))
    }

    fn accepts(&self, probe: &Path, key: &Path, line: &str) -> Result<(), String> {
        let config = probe.join("sshd_config");
        let text = format!("HostKey {}\nUsePAM no\n{line}\n", key.display());
        fs::write(&config, text).map_err(|error| error.to_string())?;
        let output = Command::new(&self.sshd).arg("-t").arg("-f").arg(&config).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_absolute() && path.is_file())
}

/// The name of the calling user: the only one that instances let in.
pub(in super::super) fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut rows = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.get(2) == Some(&uid.as_str()));
    let name = row.and_then(|row| row.first().map(|name| (*name).to_owned()));
    name.or_else(|| std::env::var("USER").ok()).unwrap_or(uid)
}
