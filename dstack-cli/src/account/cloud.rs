//! The account as a provider of machines.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dstack_core::cloud::{CloudError, CloudProvider, Known, LaunchError, Look, Machine, Notice, SendPermit};
use dstack_core::model::{LaunchRequest, LogId, MachineId, Offering, Scope};

use super::account::Account;

/// How often it is looked whether an account was set up meanwhile.
const SETUP_PERIOD: Duration = Duration::from_secs(30);

/// EC2, made with the first call.
pub(super) struct LazyCloud(pub(super) Arc<Account>);

#[async_trait]
impl CloudProvider for LazyCloud {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        self.0.ec2().await.map_err(CloudError::Credentials)?.scope(region).await
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        self.0.ec2().await.map_err(CloudError::Credentials)?.catalogue(region).await
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        let ec2 = self.0.ec2().await.map_err(LaunchError::Credentials)?;
        ec2.launch(request).await
    }

    async fn launch_with(&self, request: &LaunchRequest, permit: &SendPermit) -> Result<Machine, LaunchError> {
        let ec2 = self.0.ec2().await.map_err(LaunchError::Credentials)?;
        ec2.launch_with(request, permit).await
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        self.0.ec2().await.map_err(CloudError::Credentials)?.look(scope, log, known).await
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        match self.0.ec2().await {
            Ok(ec2) => ec2.terminate(scope, machines).await,
            Err(why) => machines.iter().map(|_| Err(CloudError::Credentials(why.clone()))).collect(),
        }
    }

    async fn notice(&self) -> Notice {
        loop {
            if let Ok(ec2) = self.0.ec2().await {
                return ec2.notice().await;
            }
            tokio::time::sleep(SETUP_PERIOD).await;
        }
    }
}
