//! Secrets in one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;

use super::{MASKED_BYTES_MIN, Secret, SecretError, SecretSource};

/// Modes that let others read or write.
const OTHERS: u32 = 0o077;

/// Secrets in one file of JSON that its owner alone may read: `{"NAME": "value"}`.
///
/// It is replaced as a whole, so a reader finds it before or after a change and never in between; several processes may
/// change it at once. A file that others could have read or written is refused until its owner has seen to it.
///
/// Beside the file of workflows' secrets, one named `.retired` keeps the values that were replaced or removed: output that
/// was printed before may hold them, and is masked with them.
#[derive(Debug, Clone)]
pub struct SecretFile {
    path: PathBuf,
    is_for_workflows: bool,
}

/// Values that are kept after they were replaced or removed; of more, those that went first are forgotten.
const MAX_RETIRED: usize = 10_000;

/// What a command finds in its environment besides, or what shells and loaders act on.
const RESERVED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "OLDPWD",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "CDPATH",
    "PS4",
    "RUN_NAME",
    "run_name",
    "JOB_ID",
    "job_id",
];
/// How such names begin.
const RESERVED_BEGINS: &[&str] = &["DSTACK_", "LD_", "LC_"];

fn unreadable(error: impl std::fmt::Display) -> SecretError {
    SecretError::Unreadable(error.to_string())
}

/// Whether a shell can have a variable of this name: `[A-Za-z_][A-Za-z0-9_]*`.
fn is_shell_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl SecretFile {
    /// The secrets in the file at `path`, which is made with the first of them.
    pub fn new(path: PathBuf) -> Self {
        Self { path, is_for_workflows: false }
    }

    /// The secrets in the file at `path` that workflows get in their environment, and may print.
    ///
    /// Names that a command's environment has besides are refused; values that are replaced or removed are still masked.
    pub fn for_workflows(path: PathBuf) -> Self {
        Self { path, is_for_workflows: true }
    }

    /// Keeps a value under this name, in place of the one before.
    ///
    /// # Errors
    /// When the name is none that a secret can have, the value cannot be one of a variable, or the file cannot be read or
    /// replaced.
    pub fn set(&self, name: &str, value: &Secret) -> Result<(), SecretError> {
        if !is_shell_name(name) {
            return Err(SecretError::Refused(format!(
                "{name:?} cannot be the name of a secret: write letters, digits and underscores, with no digit first"
            )));
        }
        let is_reserved =
            || RESERVED.contains(&name) || RESERVED_BEGINS.iter().any(|reserved| name.starts_with(reserved));
        if self.is_for_workflows && is_reserved() {
            return Err(SecretError::Refused(format!(
                "{name} cannot be the name of a secret, since it means something in every environment: use another, such \
                 as MY_{name}"
            )));
        }
        if value.expose().contains('\0') {
            return Err(SecretError::Refused(format!("the value for {name} holds a zero byte, which no variable can")));
        }
        self.change(|secrets| {
            secrets.insert(name.to_owned(), value.clone());
        })
    }

    /// Forgets the value of this name; false when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or replaced.
    pub fn remove(&self, name: &str) -> Result<bool, SecretError> {
        let mut was_there = false;
        self.change(|secrets| was_there = secrets.remove(name).is_some())?;
        Ok(was_there)
    }

    /// All names, without their values.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self) -> Result<BTreeSet<String>, SecretError> {
        Ok(self.read()?.into_keys().collect())
    }

    /// All values, without their names, also those of workflows' secrets that were replaced or removed: for masking them
    /// wherever they are not meant to be seen.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn values(&self) -> Result<Vec<Secret>, SecretError> {
        // In this order: what is replaced meanwhile is retired before.
        let mut values: Vec<Secret> = self.read()?.into_values().collect();
        values.extend(self.retired()?.into_iter().map(Secret::new));
        Ok(values)
    }

    /// Where the values of workflows' secrets are that were replaced or removed.
    pub fn retired_path(&self) -> PathBuf {
        self.beside(".retired")
    }

    /// Values that were replaced or removed, in that order.
    fn retired(&self) -> Result<Vec<String>, SecretError> {
        Ok(read_private(&self.retired_path(), "a list of texts")?.unwrap_or_default())
    }

    fn read(&self) -> Result<BTreeMap<String, Secret>, SecretError> {
        let values: Option<BTreeMap<String, String>> = read_private(&self.path, "a list of names and texts")?;
        Ok(values.into_iter().flatten().map(|(name, value)| (name, Secret::new(value))).collect())
    }

    /// A file whose name begins like this one's.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// Reads, changes and replaces the file while no other process does.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Secret>)) -> Result<(), SecretError> {
        let folder = self.path.parent().ok_or_else(|| unreadable("the file has no folder"))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unreadable)?;
        let lock = private().open(self.beside(".lock")).map_err(unreadable)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(unreadable)?;
        let mut secrets = self.read()?;
        let before = secrets.clone();
        change(&mut secrets);
        if self.is_for_workflows {
            // Before they are gone: a crash in between leaves a value in both, and both are masked.
            self.retire(&before, &secrets)?;
        }
        let values: BTreeMap<&str, &str> =
            secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        self.replace(&self.path, &serde_json::to_vec_pretty(&values).map_err(unreadable)?)
    }

    /// Keeps the values that are there before and not after.
    fn retire(&self, before: &BTreeMap<String, Secret>, after: &BTreeMap<String, Secret>) -> Result<(), SecretError> {
        let still: BTreeSet<&str> = after.values().map(Secret::expose).collect();
        let gone = before.values().map(Secret::expose).filter(|value| value.len() >= MASKED_BYTES_MIN);
        let gone = gone.filter(|value| !still.contains(value));
        let gone: BTreeSet<&str> = gone.collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut retired = self.retired()?;
        retired.retain(|value| !gone.contains(value.as_str()));
        retired.extend(gone.into_iter().map(str::to_owned));
        retired.drain(..retired.len().saturating_sub(MAX_RETIRED));
        self.replace(&self.retired_path(), &serde_json::to_vec_pretty(&retired).map_err(unreadable)?)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), SecretError> {
        let folder = self.path.parent().ok_or_else(|| unreadable("the file has no folder"))?;
        let written = (|| {
            let new = self.beside(".new");
            let mut file = private().open(&new)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            File::open(folder)?.sync_all()
        })();
        written.map_err(unreadable)
    }
}

/// A file that is made for its owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}

/// What is in a file that nobody else may read; nothing where there is none.
fn read_private<T: DeserializeOwned>(path: &Path, what: &str) -> Result<Option<T>, SecretError> {
    let shown = path.display();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(format!("{shown}: {error}"))),
    };
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(unreadable(format!("others may read {shown}: run `chmod 600 {shown}` and set its secrets anew")));
    }
    let mut json = Vec::new();
    file.read_to_end(&mut json).map_err(unreadable)?;
    // What serde_json says of damaged JSON names a place in it, but a wrong type is quoted with its value.
    let damaged = |error: serde_json::Error| {
        unreadable(format!("{shown}, line {}: not {what}; remove the file, then set its secrets anew", error.line()))
    };
    serde_json::from_slice(&json).map(Some).map_err(damaged)
}

#[async_trait]
impl SecretSource for SecretFile {
    async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        self.read()?.remove(name).ok_or_else(|| SecretError::Missing(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::secret::laws::Law;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("it never waits")
    }

    fn file() -> (tempfile::TempDir, SecretFile) {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let file = SecretFile::new(root.path().join("home/credentials"));
        (root, file)
    }

    fn set(file: &SecretFile, name: &str, value: &str) -> Result<(), SecretError> {
        file.set(name, &Secret::new(value.to_owned()))
    }

    fn drive(secrets: &[(&str, &str)], law: Law) {
        let (_root, file) = file();
        for (name, value) in secrets {
            set(&file, name, value).expect("set");
        }
        block_on(law(&file));
    }

    crate::secret_laws!(drive);

    #[test]
    fn the_file_is_for_its_owner_alone_also_after_a_change() {
        let (_root, file) = file();
        for value in ["one", "two"] {
            set(&file, "TOKEN", value).expect("set");
            assert_eq!(fs::metadata(&file.path).expect("there").permissions().mode() & 0o777, 0o600);
        }
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o640)).expect("loosened");
        let error = block_on(file.get("TOKEN")).expect_err("others could read it");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(set(&file, "OTHER", "x").is_err(), "nor is it changed");
        assert!(file.list().is_err());
    }

    #[test]
    fn names_are_those_of_shell_variables() {
        let (_root, file) = file();
        for name in ["", "1A", "A-B", "A B", "A=B", "ä", "A\n", "A.B"] {
            let error = set(&file, name, "value-to-hide").expect_err("not a name");
            assert!(!error.to_string().contains("value-to-hide"));
        }
        for name in ["A", "_", "a1", "HF_TOKEN"] {
            set(&file, name, "x").expect("a name");
        }
        assert!(set(&file, "A", "nul\0").is_err());
        assert_eq!(file.list().expect("read"), ["A", "HF_TOKEN", "_", "a1"].map(str::to_owned).into());
    }

    #[test]
    fn values_that_are_gone_are_still_masked_and_their_file_is_their_owners_alone() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let file = SecretFile::for_workflows(root.path().join("home/secrets"));
        let values = || -> BTreeSet<String> {
            file.values().expect("read").iter().map(|secret| secret.expose().to_owned()).collect()
        };
        for value in ["pin", "first", "second", "second", "first", "third"] {
            set(&file, "TOKEN", value).expect("set");
        }
        set(&file, "OTHER", "first").expect("set");
        assert!(file.remove("TOKEN").expect("it was there"));
        assert_eq!(values(), ["first", "second", "third"].map(str::to_owned).into());
        assert_eq!(file.list().expect("read"), ["OTHER".to_owned()].into());
        let retired = file.retired_path();
        assert_eq!(fs::metadata(&retired).expect("there").permissions().mode() & 0o777, 0o600);
        fs::write(&retired, "hunter2").expect("written");
        let error = file.values().expect_err("what cannot be masked is not shown").to_string();
        assert!(error.contains("secrets.retired") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn keys_that_no_workflow_gets_are_forgotten_when_they_are_removed() {
        let (_root, file) = file();
        set(&file, "PATH", "hunter2").expect("set");
        assert!(file.remove("PATH").expect("it was there"));
        let left = fs::read_dir(file.path.parent().expect("it has one")).expect("read");
        for entry in left {
            let text = fs::read_to_string(entry.expect("read").path()).expect("read");
            assert!(!text.contains("hunter2"));
        }
    }

    #[test]
    fn names_that_mean_something_in_every_environment_are_refused_for_workflows() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let file = SecretFile::for_workflows(root.path().join("secrets"));
        for name in ["PATH", "HOME", "DSTACK_RUN", "DSTACK_", "LD_PRELOAD", "IFS", "BASH_ENV", "RUN_NAME"] {
            let error = set(&file, name, "value-to-hide").expect_err("reserved").to_string();
            assert!(error.starts_with(name) && !error.contains("value-to-hide"), "{error}");
        }
        for name in ["MY_PATH", "PATHS", "LDAP_TOKEN", "DSTACK", "path"] {
            set(&file, name, "x").expect("a name");
        }
    }

    #[test]
    fn what_is_removed_is_gone() {
        let (_root, file) = file();
        assert_eq!(file.list().expect("nothing is there"), BTreeSet::new());
        assert!(!file.remove("TOKEN").expect("nothing is there"));
        set(&file, "TOKEN", "x").expect("set");
        assert!(file.remove("TOKEN").expect("it was there"));
        assert_eq!(block_on(file.get("TOKEN")).err(), Some(SecretError::Missing("TOKEN".to_owned())));
    }

    #[test]
    fn an_unreadable_file_is_said_without_what_is_in_it() {
        let (_root, file) = file();
        set(&file, "TOKEN", "x").expect("set");
        for content in
            ["", "{", "[\"hunter2\"]", "{\"TOKEN\": \"hunter2\" \"x\"}", "{\"TOKEN\": {\"hunter2\": 1}}", "\"hunter2\""]
        {
            fs::write(&file.path, content).expect("written");
            let error = block_on(file.get("TOKEN")).expect_err("not readable");
            assert!(matches!(error, SecretError::Unreadable(_)));
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn changes_at_once_are_all_kept() {
        let (_root, file) = file();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || set(file, &format!("NAME_{number}"), "x").expect("set"));
            }
        });
        assert_eq!(file.list().expect("read").len(), 8);
    }
}
