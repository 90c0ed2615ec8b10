//! What was configured, and what is made of it.

use std::sync::Arc;

use dstack_aws::{EAR, Ec2, PROVIDER, Settings, Setup};
use dstack_core::blob::{BlobError, LayeredBlobs, LayeredOutput};
use dstack_core::cloud::CloudProvider as _;
use dstack_core::controller::Provider;
use dstack_core::home::Home;
use dstack_core::host::ssh::{SshHost, UserData, user_data};
use dstack_core::model::{LaunchRequest, LogId, Offering};
use tokio::sync::{Mutex, OnceCell};

use super::cloud::LazyCloud;
use super::host::LazyHost;
use crate::app::Stores;
use crate::failure::{Failure, refused};

/// The account of one log.
pub(crate) struct Account {
    home: Home,
    log: LogId,
    setup: Setup,
    made: Mutex<Option<(Settings, Arc<Ec2>)>>,
    host: OnceCell<Arc<SshHost>>,
}

/// What is said where `dstack aws configure` was not called.
pub(crate) const NOT_CONFIGURED: &str = "no AWS account is set up: run `dstack aws configure`";

impl Account {
    /// The account that this home is set up for, as the runners of this log use it.
    pub(crate) fn new(home: &Home, log: LogId) -> Arc<Self> {
        let setup = Setup::new(home.path());
        Arc::new(Self { home: home.clone(), log, setup, made: Mutex::new(None), host: OnceCell::new() })
    }

    /// As a provider of a controller.
    pub(crate) fn provider(self: &Arc<Self>) -> (String, Provider) {
        let cloud = Arc::new(LazyCloud(Arc::clone(self)));
        let host = Arc::new(LazyHost(Arc::clone(self)));
        (PROVIDER.to_owned(), Provider { cloud, host, launches_at_once: Ec2::LAUNCHES_AT_ONCE })
    }

    /// EC2 as it is configured now: what `dstack aws configure` changes is noticed at the next call.
    ///
    /// # Errors
    /// In words, when there is no way to the account.
    pub(super) async fn ec2(&self) -> Result<Arc<Ec2>, String> {
        let settings = self.setup.settings().map_err(|error| error.to_string())?;
        let settings = settings.ok_or(NOT_CONFIGURED)?;
        let mut made = self.made.lock().await;
        if let Some((_, ec2)) = made.as_ref().filter(|(of, _)| *of == settings) {
            return Ok(Arc::clone(ec2));
        }
        let public_key = self.host().await?.public_key().to_owned();
        let user_data = Arc::new(move |launch: &_, user: &_| told(&public_key, launch, user));
        let ec2 = Arc::new(self.setup.ec2(&settings, user_data));
        *made = Some((settings, Arc::clone(&ec2)));
        Ok(ec2)
    }

    /// The way to its runners. Its key is made with the first call.
    pub(super) async fn host(&self) -> Result<Arc<SshHost>, String> {
        let make = async {
            let (home, log) = (self.home.clone(), self.log);
            let made = tokio::task::spawn_blocking(move || home.ssh_host(log)).await;
            let host = made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            Ok(Arc::new(host.with_ear(EAR)))
        };
        self.host.get_or_try_init(|| make).await.map(Arc::clone)
    }
}

/// What a machine is told at its first boot. A key or user that cannot be told leaves a machine that nobody can use: it is
/// given up after its boot timeout.
fn told(public_key: &str, launch: &LaunchRequest, user: &str) -> String {
    let data = UserData::new(public_key, user);
    data.map(|data| user_data(&data.with_result_hold(launch.options.result_hold))).unwrap_or_default()
}

/// EC2 for questions: nothing is ever launched with it.
pub(crate) fn ask(setup: &Setup, settings: &Settings) -> Ec2 {
    setup.ec2(settings, Arc::new(|_, _| String::new()))
}

/// Where artifacts and output are kept: in the configured bucket, or in the home alone.
pub(crate) async fn stores(home: &Home) -> Result<Stores, Failure> {
    let (blobs, outputs) = (Arc::new(home.blobs()), Arc::new(home.outputs()));
    let setup = Setup::new(home.path());
    let settings = setup.settings()?;
    let Some((settings, name)) = settings.as_ref().and_then(|settings| Some((settings, settings.bucket.as_ref()?)))
    else {
        return Ok((blobs, outputs));
    };
    let unusable = |error: BlobError| refused(format!("bucket {name} cannot be used: {error}"));
    let bucket = ask(&setup, settings).bucket(&settings.region, name).await.map_err(unusable)?;
    Ok((
        Arc::new(LayeredBlobs::new(blobs, Arc::new(bucket.blobs()))),
        Arc::new(LayeredOutput::new(outputs, Arc::new(bucket.output()))),
    ))
}

/// What this home is set up with, if it is.
pub(crate) fn settings(home: &Home) -> Result<Option<Settings>, Failure> {
    Ok(Setup::new(home.path()).settings()?)
}

/// Everything that can be allowed in a region of the account; in the configured one where none is named.
pub(crate) async fn catalogue(
    home: &Home,
    settings: &Settings,
    region: Option<&str>,
) -> Result<Vec<Offering>, Failure> {
    let region = region.unwrap_or(&settings.region);
    let catalogue = ask(&Setup::new(home.path()), settings).catalogue(region).await;
    catalogue.map_err(|error| refused(format!("region {region} cannot be asked: {error}")))
}
