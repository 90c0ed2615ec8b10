//! What `dstack aws configure` keeps, beside the key: region, bucket and profile.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use std::sync::Arc;

use dstack_core::blob::BlobError;
use dstack_core::cloud::{CloudError, CloudProvider as _};
use dstack_core::secret::{Secret, SecretError};
use serde::{Deserialize, Serialize};

use crate::access::{Access, TypedKey};
use crate::ec2::{Ec2, Ec2Options, UserData};
use crate::failure::causes;
use crate::region::check_form;
use crate::session::Identity;
use crate::stored_keys::StoredKeys;

/// How the account is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Region of launches that name none.
    pub region: String,
    /// Bucket for artifacts; none means this machine's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Profile of the AWS command line whose credentials are used, where no key is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// Why what was configured cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A file cannot be read or replaced.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{0} is damaged: run `dstack aws configure`")]
    Damaged(String),
    /// The stored key cannot be read or replaced.
    #[error(transparent)]
    Key(#[from] SecretError),
}

/// What of the things that were typed does not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The credentials.
    #[error("{0}")]
    Credentials(CloudError),
    /// The region.
    #[error("{0}")]
    Region(CloudError),
    /// The bucket.
    #[error("bucket {name}: {}", causes(Some(.source)))]
    Bucket {
        /// Which.
        name: String,
        /// Why.
        source: BlobError,
    },
}

impl Ec2 {
    /// Whose the credentials are, if they, the region and the bucket work.
    ///
    /// # Errors
    /// What does not work, by what it is about.
    pub async fn verify(&self, region: &str, bucket: Option<&str>) -> Result<Identity, VerifyError> {
        check_form(region).map_err(|failure| VerifyError::Region(failure.into_cloud()))?;
        let identity = self.account().await.map_err(VerifyError::Credentials)?;
        self.scope(region).await.map_err(VerifyError::Region)?;
        if let Some(name) = bucket {
            let failed = |source| VerifyError::Bucket { name: name.to_owned(), source };
            self.bucket(region, name).await.map_err(failed)?.check().await.map_err(failed)?;
        }
        Ok(identity)
    }
}

/// The files in dstack's home that are about AWS: `aws.json`, and `credentials` with the key.
#[derive(Debug, Clone)]
pub struct Setup {
    home: PathBuf,
}

impl Setup {
    /// The files in this home.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    fn path(&self) -> PathBuf {
        self.home.join("aws.json")
    }

    /// The stored key.
    pub fn keys(&self) -> StoredKeys {
        StoredKeys::new(self.home.join("credentials"))
    }

    /// Folder of what the provider remembers.
    pub fn cache(&self) -> PathBuf {
        self.home.join("cache")
    }

    /// What was configured; nothing if nothing was.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn settings(&self) -> Result<Option<Settings>, SetupError> {
        let path = self.path();
        match fs::read(&path) {
            Ok(json) => {
                let damaged = |_| SetupError::Damaged(path.display().to_string());
                serde_json::from_slice(&json).map(Some).map_err(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path, source)),
        }
    }

    /// The way to the account, as it is configured.
    pub fn access(&self, settings: &Settings) -> Access {
        Access { profile: settings.profile.clone(), keys: Some(self.keys()), ..Access::default() }
    }

    /// The provider, as it is configured.
    pub fn ec2(&self, settings: &Settings, user_data: UserData) -> Ec2 {
        Ec2::new(Ec2Options::new(self.access(settings), &settings.region, self.cache(), user_data))
    }

    /// Tries what was typed before it is kept: whose the credentials are, the region, and the bucket. Without a key the
    /// profile or the standard chain is tried, not a key that is stored.
    ///
    /// # Errors
    /// What does not work, by what it is about.
    pub async fn verify(&self, settings: &Settings, key: Option<&TypedKey>) -> Result<Identity, VerifyError> {
        let access = Access { profile: settings.profile.clone(), typed: key.cloned(), ..Access::default() };
        let nothing: UserData = Arc::new(|_, _| String::new());
        let ec2 = Ec2::new(Ec2Options::new(access, &settings.region, self.cache(), nothing));
        ec2.verify(&settings.region, settings.bucket.as_deref()).await
    }

    /// Keeps what was checked: first the key, if one was typed in, else none.
    ///
    /// # Errors
    /// When a file cannot be replaced.
    pub fn store(&self, settings: &Settings, key: Option<&TypedKey>) -> Result<(), SetupError> {
        match key {
            Some(TypedKey { id, secret }) => self.keys().store(id, secret)?,
            None => {
                self.keys().clear()?;
            }
        }
        let path = self.path();
        replace(&self.home, &path, settings).map_err(|source| failed(&path, source))
    }

    /// Forgets what was configured, the key too. False if there was nothing.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<bool, SetupError> {
        let had_key = self.keys().clear()?;
        let path = self.path();
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(had_key),
            Err(source) => Err(failed(&path, source)),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> SetupError {
    SetupError::Io { path: path.display().to_string(), source }
}

fn replace(home: &Path, path: &Path, settings: &Settings) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(settings)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

impl TypedKey {
    /// A key as it was typed.
    pub fn new(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), secret }
    }
}
