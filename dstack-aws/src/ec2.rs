//! The provider.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dstack_core::clock::{Clock, SystemClock};
use dstack_core::cloud::{
    CloudError, CloudProvider, Known, LaunchError, Look, Machine, MachineState, Notice, SendPermit,
};
use dstack_core::model::{LaunchRequest, LogId, MachineId, Offering, Scope};

use crate::access::Access;
use crate::api::Api;
use crate::ends::Ends;
use crate::failure::{Class, Failure};
use crate::images::{self, ImageFacts};
use crate::network::{self, Networks};
use crate::own_address::{CheckIp, OwnAddress};
use crate::session::{Identity, Session, Sessions};
use crate::spot::SpotWatch;
use crate::tags::{self, Ssh};
use crate::{launch, look, terminate};

/// Makes a machine's user data of its launch and the user to log in as. The same launch must give the same text, each time
/// and in every process.
pub type UserData = Arc<dyn Fn(&LaunchRequest, &str) -> String + Send + Sync>;

/// How the provider is set up.
#[derive(Clone)]
pub struct Ec2Options {
    /// How the account is reached.
    pub access: Access,
    /// Region of the calls that are not about another one: identity and the list of regions.
    pub home_region: String,
    /// What a machine runs first.
    pub user_data: UserData,
    /// Folder of the provider's own files: what it remembers of the catalogue.
    pub cache: PathBuf,
    /// Says from where the runners are reached; asked only where nothing is set and the cloud is not on this machine.
    pub own_address: Arc<dyn OwnAddress>,
    /// The time that limits and periods go by.
    pub clock: Arc<dyn Clock>,
}

impl Ec2Options {
    /// The standard way to an account, with the catalogue remembered in this folder.
    pub fn new(access: Access, home_region: impl Into<String>, cache: PathBuf, user_data: UserData) -> Self {
        Self {
            access,
            home_region: home_region.into(),
            user_data,
            cache,
            own_address: Arc::new(CheckIp),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Runners in an AWS account: EC2 as a provider of machines.
///
/// Every call is limited by a token bucket for its account, region and API, is sent once with bounds of its own, and is
/// made with credentials whose account is known: a call about another account's scope is refused before it is sent.
pub struct Ec2 {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) networks: Networks,
    pub(crate) cache: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    spot: SpotWatch,
    ends: Ends,
    user_data: UserData,
}

impl Ec2 {
    /// How many launches of a scope may be under way at once: what the bucket of RunInstances (5, and 2 a second) lets through
    /// within a controller's ten seconds for a launch, with some left for the answers.
    pub const LAUNCHES_AT_ONCE: u32 = 16;

    /// The provider. Nothing is asked before the first call.
    pub fn new(options: Ec2Options) -> Self {
        let Ec2Options { access, home_region, user_data, cache, own_address, clock } = options;
        Self {
            networks: Networks::new(own_address, Arc::clone(&clock), network::mark(&cache)),
            spot: SpotWatch::new(Arc::clone(&clock)),
            ends: Ends::default(),
            sessions: Arc::new(Sessions::new(access, home_region, Arc::clone(&clock))),
            cache,
            clock,
            user_data,
        }
    }

    /// Whose the credentials are now: the account that launches would be billed to.
    ///
    /// # Errors
    /// When there are no credentials, they are refused, or AWS does not answer.
    pub async fn account(&self) -> Result<Identity, CloudError> {
        self.sessions.identity().await.map_err(Failure::into_cloud)
    }

    /// Deletes the log's security group in a region. False if there is none. While a machine uses it, it is asked for again
    /// for a minute: one that has ended lets go of it a little later.
    ///
    /// # Errors
    /// When a machine still uses it after that, or AWS does not answer.
    pub async fn delete_group(&self, region: &str, log: LogId) -> Result<bool, CloudError> {
        let session = self.sessions.of_region(region).await.map_err(Failure::into_cloud)?;
        self.networks.delete_group(&session, log).await.map_err(Failure::into_cloud)
    }

    pub(crate) async fn image(
        &self,
        session: &Session,
        request: &LaunchRequest,
    ) -> Result<Option<ImageFacts>, Failure> {
        match ImageFacts::from_details(&request.details, &request.image) {
            Some(facts) => Ok(Some(facts)),
            None => images::facts(session, &request.image).await,
        }
    }

    pub(crate) fn user_data_for(&self, request: &LaunchRequest, user: &str) -> String {
        (self.user_data)(request, user)
    }

    /// EC2 has not heard of a group that was made a moment ago: that passes. A group that somebody deleted is made anew.
    async fn passes(&self, session: &Session, log: LogId, failure: &Failure) -> bool {
        const MISSING: [&str; 4] = [
            "InvalidGroup.NotFound",
            "InvalidSecurityGroupID.NotFound",
            "InvalidSubnetID.NotFound",
            "InvalidSubnetId.NotFound",
        ];
        MISSING.iter().any(|code| failure.has_code(code)) && self.networks.may_appear(session, log).await
    }

    async fn heed(&self, failure: Failure) -> Failure {
        if failure.class == Class::Credentials {
            self.sessions.forget_credentials().await;
        }
        failure
    }

    async fn look_at(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, Failure> {
        let session = self.sessions.of_scope(scope).await?;
        let found = look::look(&session, log, known).await?;
        self.spot.saw(scope, log, known, &found.instances);
        let is_reached_from_here = |instance: &&aws_sdk_ec2::types::Instance| {
            look::state(instance).is_some_and(|state| matches!(state, MachineState::Pending | MachineState::Running))
                && tags::value(instance.tags(), tags::SSH_FROM).is_none()
        };
        let ports: BTreeSet<u16> = found
            .instances
            .iter()
            .filter(is_reached_from_here)
            .filter_map(|instance| Some(Ssh::parse(tags::value(instance.tags(), tags::SSH)?)?.port))
            .collect();
        self.networks.follow_address(&session, log, &ports).await;
        Ok(found.look)
    }

    async fn end(&self, scope: &Scope, machines: Vec<MachineId>) -> Vec<Result<(), CloudError>> {
        let session = match self.sessions.of_scope(scope).await {
            Ok(session) => session,
            Err(failure) => {
                let error = self.heed(failure).await.into_cloud();
                return machines.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let answers = terminate::terminate(&session, &machines).await;
        let ended: Vec<MachineId> =
            machines.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(id, _)| id.clone()).collect();
        terminate::cancel_spot_requests(&session, self.spot.requests(&ended)).await;
        answers
    }
}

#[async_trait]
impl CloudProvider for Ec2 {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        match self.sessions.of_region(region).await {
            Ok(session) => Ok(session.scope.clone()),
            Err(failure) => Err(self.heed(failure).await.into_cloud()),
        }
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        match self.offerings(region).await {
            Ok(offerings) => Ok(offerings),
            Err(failure) => Err(self.heed(failure).await.into_cloud()),
        }
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        self.launch_with(request, &SendPermit::unbounded()).await
    }

    async fn launch_with(&self, request: &LaunchRequest, permit: &SendPermit) -> Result<Machine, LaunchError> {
        let not_launched = |failure: Failure| async { Err(self.heed(failure).await.into_not_launched()) };
        if request.image.is_empty() {
            return Err(LaunchError::Invalid("the rule has no machine image: allow the type again".into()));
        }
        let session = match self.sessions.of_scope(&request.scope).await {
            Ok(session) => session,
            Err(failure) => return not_launched(failure).await,
        };
        let image = match self.image(&session, request).await {
            Ok(image) => image,
            Err(failure) => return not_launched(failure).await,
        };
        let ssh = launch::ssh(request, image.as_ref())?;
        let user_data = self.user_data_for(request, &ssh.user);
        launch::check_user_data(&user_data)?;
        let from = request.options.ssh_from.as_deref();
        let berth = match self.networks.berth(&session, request.log, &request.zone, ssh.port, from).await {
            Ok(berth) => berth,
            Err(failure) => return not_launched(failure).await,
        };
        let send = launch::build(&session, request, image.as_ref(), &ssh, &berth, &user_data).send();
        if !session.calls.turn_with(Api::RunInstances, permit).await {
            return Err(LaunchError::not_sent());
        }
        match session.calls.make_now(Api::RunInstances, send).await {
            Ok(answer) => {
                self.networks.has_appeared(&session, request.log).await;
                launch::machine(&answer)
            }
            Err(failure) if self.passes(&session, request.log, &failure).await => {
                Err(LaunchError::Throttled(failure.words))
            }
            Err(failure) => Err(self.heed(failure).await.into_launch()),
        }
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        match self.look_at(scope, log, known).await {
            Ok(look) => Ok(look),
            Err(failure) => Err(self.heed(failure).await.into_cloud()),
        }
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        if machines.is_empty() {
            return Vec::new();
        }
        self.ends.ask(scope, machines, |machines| self.end(scope, machines)).await
    }

    async fn notice(&self) -> Notice {
        self.spot.next(&self.sessions).await
    }
}
