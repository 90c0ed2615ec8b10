//! An access key that was typed in, kept in a file for its owner alone.

use std::path::PathBuf;

use aws_sdk_ec2::config::Credentials;
use dstack_core::secret::{Secret, SecretError, SecretFile, SecretSource};

/// Under which name the file holds the key: both halves in one value, so that no reader ever finds halves of two keys.
const NAME: &str = "AWS_ACCESS_KEY";

/// The access key in a file, 0600. Neither its `Debug` nor its errors show anything of the secret half.
#[derive(Debug, Clone)]
pub struct StoredKeys {
    file: SecretFile,
}

impl StoredKeys {
    /// The key in the file at `path`, which need not be there.
    pub fn new(path: PathBuf) -> Self {
        Self { file: SecretFile::new(path) }
    }

    /// Keeps a key in place of the one before.
    ///
    /// # Errors
    /// When one half is empty or has a character that no key has, or the file cannot be replaced.
    pub fn store(&self, id: &str, secret: &Secret) -> Result<(), SecretError> {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_word(id) || id.contains(':') || !is_word(secret.expose()) {
            return Err(SecretError::Unreadable("an access key is an id and a secret, without spaces".into()));
        }
        self.file.set(NAME, &Secret::new(format!("{id}:{}", secret.expose())))
    }

    /// Forgets the key; false when there is none.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub fn clear(&self) -> Result<bool, SecretError> {
        if self.file.list()?.is_empty() { Ok(false) } else { self.file.remove(NAME) }
    }

    /// The public half of the key, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or others can read it.
    pub async fn id(&self) -> Result<Option<String>, SecretError> {
        Ok(self.load().await?.map(|credentials| credentials.access_key_id().to_owned()))
    }

    pub(crate) async fn load(&self) -> Result<Option<Credentials>, SecretError> {
        let value = match self.file.get(NAME).await {
            Ok(value) => value,
            Err(SecretError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || SecretError::Unreadable("the stored access key is damaged: run `dstack aws configure`".into());
        let (id, secret) = value.expose().split_once(':').ok_or_else(damaged)?;
        Ok(Some(Credentials::new(id, secret, None, None, "dstack aws configure")))
    }
}

/// A key's id as it may be shown: its ends alone.
pub fn masked(id: &str) -> String {
    match (id.get(..4), id.len().checked_sub(4).and_then(|start| id.get(start..))) {
        (Some(first), Some(last)) if id.len() >= 12 => format!("{first}…{last}"),
        _ => "…".into(),
    }
}
