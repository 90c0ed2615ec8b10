//! Clients whose account is known: credentials never change under a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Credentials;
use dstack_core::clock::{Boot, Clock};
use dstack_core::cloud::Turns;
use dstack_core::model::Scope;

use crate::PROVIDER;
use crate::access::{Access, is_loopback};
use crate::api::Api;
use crate::call::Calls;
use crate::failure::{Class, Failure};
use crate::region;

/// How long credentials without an end are used before their source is asked again.
const CREDENTIALS_AGE: Duration = Duration::from_secs(60);
/// How long before their end credentials are renewed.
const BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// How long a list of regions is believed.
const REGIONS_AGE: Duration = Duration::from_secs(3_600);

/// Whose credentials these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// Who in it: a user or a role.
    pub arn: String,
    /// The public half of the access key.
    pub key_id: String,
    /// What gave the credentials: the environment, a profile, a stored key.
    pub source: String,
}

/// Clients of one region with one set of credentials.
pub(crate) struct Session {
    pub(crate) scope: Scope,
    pub(crate) ec2: Client,
    pub(crate) calls: Calls,
    pub(crate) is_loopback: bool,
    credentials: Credentials,
}

struct Held {
    credentials: Credentials,
    since: Boot,
}

/// Which regions there are, and whether the account has enabled them.
struct Regions {
    since: Boot,
    listed: BTreeMap<String, bool>,
}

/// All sessions, made as they are needed.
pub(crate) struct Sessions {
    access: Access,
    home_region: String,
    clock: Arc<dyn Clock>,
    turns: Arc<Turns<(String, String, Api)>>,
    held: tokio::sync::Mutex<Option<Held>>,
    identities: tokio::sync::Mutex<BTreeMap<String, Identity>>,
    regions: Mutex<Option<Regions>>,
    sessions: Mutex<BTreeMap<String, Arc<Session>>>,
}

fn are_equal(one: &Credentials, other: &Credentials) -> bool {
    (one.access_key_id(), one.session_token()) == (other.access_key_id(), other.session_token())
        && one.secret_access_key() == other.secret_access_key()
}

/// Whether credentials will still be good after this time.
fn is_good(credentials: &Credentials, wall_micros: i64, after: Duration) -> bool {
    let Some(end) = credentials.expiry() else { return true };
    let now = UNIX_EPOCH + Duration::from_micros(u64::try_from(wall_micros).unwrap_or(0));
    now.checked_add(after).is_some_and(|then| then < end)
}

impl Sessions {
    pub(crate) fn new(access: Access, home_region: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            access,
            home_region,
            turns: Arc::new(Turns::new(Arc::clone(&clock))),
            clock,
            held: tokio::sync::Mutex::new(None),
            identities: tokio::sync::Mutex::new(BTreeMap::new()),
            regions: Mutex::new(None),
            sessions: Mutex::new(BTreeMap::new()),
        }
    }

    /// The one endpoint of all services, if there is one.
    pub(crate) async fn endpoint(&self) -> Option<String> {
        self.access.endpoint(&self.home_region).await
    }

    /// The credentials as they are; renewed in time. A stored key is read each time, so that another one is noticed at once.
    pub(crate) async fn credentials(&self) -> Result<Credentials, Failure> {
        let mut held = self.held.lock().await;
        let now = self.clock.boot();
        let is_stored = match &self.access.keys {
            Some(keys) => keys.load().await.is_ok_and(|stored| stored.is_some()),
            None => false,
        };
        let wall = self.clock.wall_micros();
        let is_fresh = |held: &Held| match held.credentials.expiry() {
            Some(_) => is_good(&held.credentials, wall, BEFORE_EXPIRY),
            None => now.since(held.since) < CREDENTIALS_AGE,
        };
        if let Some(held) = held.as_ref().filter(|held| !is_stored && is_fresh(held)) {
            return Ok(held.credentials.clone());
        }
        match self.access.credentials(&self.home_region).await {
            Ok(credentials) => {
                *held = Some(Held { credentials: credentials.clone(), since: now });
                Ok(credentials)
            }
            // Their source does not answer, but what it gave before still has some minutes.
            Err(failure) => match held.as_ref().filter(|held| held.credentials.expiry().is_some()) {
                Some(held) if is_good(&held.credentials, wall, Duration::ZERO) => Ok(held.credentials.clone()),
                _ => Err(failure),
            },
        }
    }

    /// Forgets credentials that were refused, so that their source is asked again.
    pub(crate) async fn forget_credentials(&self) {
        *self.held.lock().await = None;
    }

    /// Whose the credentials are now.
    pub(crate) async fn identity(&self) -> Result<Identity, Failure> {
        let credentials = self.credentials().await?;
        self.identity_of(&credentials).await
    }

    async fn identity_of(&self, credentials: &Credentials) -> Result<Identity, Failure> {
        let mut identities = self.identities.lock().await;
        if let Some(known) = identities.get(credentials.access_key_id()) {
            return Ok(known.clone());
        }
        let config = self.access.pinned(&self.home_region, credentials.clone()).await;
        let client = aws_sdk_sts::Client::new(&config);
        let calls = Calls::new(Arc::clone(&self.turns), String::new(), self.home_region.clone());
        let answer = calls.make(Api::GetCallerIdentity, client.get_caller_identity().send()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                if failure.class == Class::Credentials {
                    self.forget_credentials().await;
                }
                return Err(failure);
            }
        };
        let account = answer.account().filter(|account| !account.is_empty());
        let identity = Identity {
            account: account.ok_or_else(|| Failure::new(Class::Unknown, "STS named no account"))?.to_owned(),
            arn: answer.arn().unwrap_or_default().to_owned(),
            key_id: credentials.access_key_id().to_owned(),
            source: source(credentials),
        };
        identities.insert(identity.key_id.clone(), identity.clone());
        Ok(identity)
    }

    /// Clients for a region, with the credentials as they are now, if the account has the region.
    pub(crate) async fn of_region(&self, region: &str) -> Result<Arc<Session>, Failure> {
        region::check_form(region)?;
        let session = self.unchecked(region).await?;
        self.learn_regions().await?;
        self.check_region(region)?;
        Ok(session)
    }

    /// Clients for a scope: an error if the credentials are now another account's. No other call is waited for but whose
    /// the credentials are.
    pub(crate) async fn of_scope(&self, scope: &Scope) -> Result<Arc<Session>, Failure> {
        region::check_form(&scope.region)?;
        self.check_region(&scope.region)?;
        let session = self.unchecked(&scope.region).await?;
        if session.scope != *scope {
            let words = format!("these are credentials of account {}, not of {}", session.scope.account, scope.account);
            return Err(Failure::new(Class::Credentials, words));
        }
        Ok(session)
    }

    async fn unchecked(&self, region: &str) -> Result<Arc<Session>, Failure> {
        let credentials = self.credentials().await?;
        let known = {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.get(region).filter(|known| are_equal(&known.credentials, &credentials)).cloned()
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let account = self.identity_of(&credentials).await?.account;
        let config = self.access.pinned(region, credentials.clone()).await;
        let session = Arc::new(Session {
            scope: Scope { provider: PROVIDER.into(), account: account.clone(), region: region.into() },
            is_loopback: is_loopback(config.endpoint_url()),
            ec2: Client::new(&config),
            calls: Calls::new(Arc::clone(&self.turns), account, region.to_owned()),
            credentials,
        });
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(region.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    fn with_regions<R>(&self, act: impl FnOnce(&mut Option<Regions>) -> R) -> R {
        act(&mut self.regions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks which regions there are, if that is not known or long ago. Where the account may not ask, the region's own
    /// answers have to do.
    async fn learn_regions(&self) -> Result<(), Failure> {
        let now = self.clock.boot();
        let (is_known, is_fresh) = self.with_regions(|regions| {
            let age = regions.as_ref().map(|regions| now.since(regions.since));
            (age.is_some(), age.is_some_and(|age| age < REGIONS_AGE))
        });
        if is_fresh {
            return Ok(());
        }
        let home = self.unchecked(&self.home_region).await?;
        match region::list(&home).await {
            Ok(listed) => self.with_regions(|regions| *regions = Some(Regions { since: now, listed })),
            Err(failure) if is_known || failure.class == Class::Denied => {
                tracing::debug!(%failure, "the regions are not known anew");
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn check_region(&self, region: &str) -> Result<(), Failure> {
        self.with_regions(|regions| region::check_listed(region, regions.as_ref().map(|regions| &regions.listed)))
    }
}

fn source(credentials: &Credentials) -> String {
    // Debug of credentials hides both secrets and names the provider in clear.
    let debug = format!("{credentials:?}");
    let name = debug.split("provider_name: \"").nth(1).and_then(|rest| rest.split('"').next());
    name.unwrap_or("unknown").to_owned()
}
