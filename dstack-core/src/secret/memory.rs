//! Secrets in memory, for tests and simulations.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Secret, SecretError, SecretSource};

/// Secrets that are gone with this value.
#[derive(Debug, Clone, Default)]
pub struct MemorySecrets(BTreeMap<String, Secret>);

impl MemorySecrets {
    /// These names with these values.
    pub fn new<N: Into<String>, V: Into<String>>(secrets: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(secrets.into_iter().map(|(name, value)| (name.into(), Secret::new(value.into()))).collect())
    }
}

#[async_trait]
impl SecretSource for MemorySecrets {
    async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        self.0.get(name).cloned().ok_or_else(|| SecretError::Missing(name.to_owned()))
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

    fn drive(secrets: &[(&str, &str)], law: Law) {
        block_on(law(&MemorySecrets::new(secrets.iter().copied())));
    }

    crate::secret_laws!(drive);
}
