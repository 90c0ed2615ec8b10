//! The key with which one log's controllers log in to its runners, and the files that `ssh` wants beside it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

/// Modes that let others read or write.
const OTHERS: u32 = 0o077;
/// Largest public key that is read, in bytes.
const PUBLIC_KEY_MAX_BYTES: usize = 16 * 1024;

/// Why there is no key to log in with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshKeyError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Which file or folder.
        path: String,
        /// What it says.
        source: io::Error,
    },
    /// Others can read or change it.
    #[error(
        "{path} can be read or changed by others: `chmod {mode} {path}` if nobody has, else remove it with its folder"
    )]
    Shared {
        /// Which file or folder.
        path: String,
        /// The mode that it should have.
        mode: &'static str,
    },
    /// It belongs to another user.
    #[error("{0} belongs to another user: remove it, or set DSTACK_HOME to a folder of your own")]
    Foreign(String),
    /// `ssh-keygen` is missing or fails.
    #[error("ssh-keygen does not make a key: {0}; install the OpenSSH client")]
    NotMade(String),
    /// The public half is not one line of a known form.
    #[error("{0} is not a public key: remove its folder, and a new key is made")]
    Damaged(String),
}

/// A key of its own for each log: `key` (for its owner alone) and `key.pub` in one folder. The private half never leaves it.
#[derive(Debug, Clone)]
pub struct SshKeys {
    folder: PathBuf,
    public_key: String,
}

impl SshKeys {
    /// The key in this folder, which is made, with the folder, if it is not there.
    ///
    /// # Errors
    /// When others can read the key or change the folder, or it cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, SshKeyError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| SshKeyError::Io { path, source }
        };
        for name in ["", "known", "sockets", "scratch"] {
            let path = folder.join(name);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed(&path))?;
            check_private(&path, "700")?;
        }
        let lock = folder.join("lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&lock).map_err(failed(&lock))?;
        flock(&file, FlockOperation::LockExclusive).map_err(io::Error::from).map_err(failed(&lock))?;
        let key = folder.join("key");
        let public = folder.join("key.pub");
        if !key.try_exists().map_err(failed(&key))? || !public.try_exists().map_err(failed(&public))? {
            generate(folder)?;
        }
        check_private(&key, "600")?;
        let text = fs::read_to_string(&public).map_err(failed(&public))?;
        let public_key = public_part(&text).ok_or_else(|| SshKeyError::Damaged(public.display().to_string()))?;
        sweep(folder);
        Ok(Self { folder: fs::canonicalize(folder).map_err(failed(folder))?, public_key })
    }

    /// The public half as one line: its type and the key itself.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Where `key` is; everything else that `ssh` needs is named relative to it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn check_private(path: &Path, mode: &'static str) -> Result<(), SshKeyError> {
    let shown = || path.display().to_string();
    let facts = fs::symlink_metadata(path).map_err(|source| SshKeyError::Io { path: shown(), source })?;
    if facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(SshKeyError::Foreign(shown()));
    }
    if facts.permissions().mode() & OTHERS != 0 {
        return Err(SshKeyError::Shared { path: shown(), mode });
    }
    Ok(())
}

/// Makes the key under another name and then gives it its own, so that half a key is never found.
fn generate(folder: &Path) -> Result<(), SshKeyError> {
    let failed = |path: &Path, source| SshKeyError::Io { path: path.display().to_string(), source };
    for name in ["new-key", "new-key.pub"] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(&path, source)),
            Ok(()) | Err(_) => {}
        }
    }
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "dstack", "-f", "new-key"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| SshKeyError::NotMade(error.to_string()))?;
    if !made.status.success() {
        return Err(SshKeyError::NotMade(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
    }
    for (from, to) in [("new-key", "key"), ("new-key.pub", "key.pub")] {
        let path = folder.join(to);
        fs::rename(folder.join(from), &path).map_err(|source| failed(&path, source))?;
    }
    Ok(())
}

/// Type and key, without the comment.
fn public_part(text: &str) -> Option<String> {
    let mut words = text.lines().next()?.split(' ');
    let key = format!("{} {}", words.next()?, words.next()?);
    is_public_key(&key).then_some(key)
}

/// Whether this is a public key as one line: its type, a space, and the key in base64.
pub(super) fn is_public_key(text: &str) -> bool {
    let is_kind = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'@' | b'.');
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    text.len() <= PUBLIC_KEY_MAX_BYTES
        && text.split_once(' ').is_some_and(|(kind, key)| {
            let has_both = !kind.is_empty() && !kind.starts_with('-') && !key.is_empty();
            has_both && kind.bytes().all(is_kind) && key.bytes().all(is_base64)
        })
}

/// Takes away what processes that are gone left behind: names begin with the number of their process.
fn sweep(folder: &Path) {
    for name in ["sockets", "scratch"] {
        for entry in fs::read_dir(folder.join(name)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
            if number.is_some_and(|number| Path::new("/proc").join(number.to_string()).exists()) {
                continue;
            }
            // Whoever was first has removed it.
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = home.path().join("ssh").join("log");
        let keys = SshKeys::open(&folder).expect("ssh-keygen is installed");
        assert!(keys.public_key().starts_with("ssh-ed25519 AAAA"), "{}", keys.public_key());
        assert_eq!(SshKeys::open(&folder).expect("it is there").public_key(), keys.public_key());
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder.join("key")), mode(&folder)), (0o600, 0o700));
        assert!(!format!("{keys:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_key_or_folder_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = home.path().join("ssh");
        SshKeys::open(&folder).expect("ssh-keygen is installed");
        for (path, loose, strict) in [(folder.join("key"), 0o644, 0o600), (folder.clone(), 0o750, 0o700)] {
            set_mode(&path, loose);
            assert!(matches!(SshKeys::open(&folder), Err(SshKeyError::Shared { .. })), "{}", path.display());
            set_mode(&path, strict);
        }
        SshKeys::open(&folder).expect("it is as it was");
    }

    #[test]
    fn only_one_line_of_type_and_base64_is_a_public_key() {
        assert!(is_public_key("ssh-ed25519 AAAAC3Nza+/="));
        for text in ["", "ssh-ed25519", "ssh-ed25519 AAAA comment", "ssh-ed25519 A\nA", "-x AAAA", "a'b AAAA", "a $(x)"]
        {
            assert!(!is_public_key(text), "{text:?}");
        }
    }
}
