//! Secrets in one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};

use super::{Secret, SecretError, SecretSource};

/// Modes that let others read or write.
const OTHERS: u32 = 0o077;

/// Secrets in one file of JSON that its owner alone may read: `{"NAME": "value"}`.
///
/// It is replaced as a whole, so a reader finds it before or after a change and never in between; several processes may
/// change it at once. A file that others could have read or written is refused until its owner has seen to it.
#[derive(Debug, Clone)]
pub struct SecretFile {
    path: PathBuf,
}

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
        Self { path }
    }

    /// Keeps a value under this name, in place of the one before.
    ///
    /// # Errors
    /// When the name is none that a shell's variable can have, the value cannot be one of a variable, or the file cannot be
    /// read or replaced.
    pub fn set(&self, name: &str, value: &Secret) -> Result<(), SecretError> {
        if !is_shell_name(name) {
            let rule = "letters, digits and underscores, and no digit first";
            return Err(SecretError::Unreadable(format!("{name:?} is not a name for a secret: use {rule}")));
        }
        if value.expose().contains('\0') {
            return Err(SecretError::Unreadable(format!(
                "the value for {name} holds a zero byte, which no variable can"
            )));
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

    /// All values, without their names: for masking them wherever they are not meant to be seen.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn values(&self) -> Result<Vec<Secret>, SecretError> {
        Ok(self.read()?.into_values().collect())
    }

    fn read(&self) -> Result<BTreeMap<String, Secret>, SecretError> {
        let shown = self.path.display();
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(unreadable(format!("{shown}: {error}"))),
        };
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & OTHERS != 0 {
            return Err(unreadable(format!(
                "others may read {shown}: run `chmod 600 {shown}` and set its secrets anew"
            )));
        }
        let mut json = Vec::new();
        file.read_to_end(&mut json).map_err(unreadable)?;
        // What serde_json says of damaged JSON names a place in it, but a wrong type is quoted with its value.
        let values: BTreeMap<String, String> = serde_json::from_slice(&json)
            .map_err(|error| unreadable(format!("{shown}, line {}: not a list of names and texts", error.line())))?;
        Ok(values.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
    }

    /// Reads, changes and replaces the file while no other process does.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Secret>)) -> Result<(), SecretError> {
        let folder = self.path.parent().ok_or_else(|| unreadable("the file has no folder"))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unreadable)?;
        let beside = |suffix: &str| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let mut private = OpenOptions::new();
        private.write(true).create(true).truncate(true).mode(0o600);
        let lock = private.open(beside(".lock")).map_err(unreadable)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(unreadable)?;
        let mut secrets = self.read()?;
        change(&mut secrets);
        let values: BTreeMap<&str, &str> =
            secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        let json = serde_json::to_vec_pretty(&values).map_err(unreadable)?;
        let written = (|| {
            let new = beside(".new");
            let mut file = private.open(&new)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(folder)?.sync_all()
        })();
        written.map_err(unreadable)
    }
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
