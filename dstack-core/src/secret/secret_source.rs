//! Values that workflows get and nobody else sees.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

/// Shorter values, in bytes, are common words by chance: masking them would hide what is no secret.
pub const MASKED_BYTES_MIN: usize = 4;

/// A secret value: no `Display`, no serialisation, and a `Debug` that shows nothing of it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a value into care.
    pub fn new(value: String) -> Self {
        Self(SecretString::from(value))
    }

    /// The value, for handing it to the workflow that it is meant for.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Why a secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is none of this name.
    #[error("there is no secret named {0}: set it with `dstack secrets set {0}`")]
    Missing(String),
    /// It cannot be kept; the text says what to write instead.
    #[error("{0}")]
    Refused(String),
    /// The source cannot be read.
    #[error("secrets cannot be read: {0}")]
    Unreadable(String),
}

/// Where secret values come from.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The value of this name.
    async fn get(&self, name: &str) -> Result<Secret, SecretError>;
}
