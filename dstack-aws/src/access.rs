//! How the account is reached: where credentials come from, the endpoint, and the bounds of every call.

use std::fmt;
use std::time::Duration;

use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::{Credentials, ProvideCredentials, SharedCredentialsProvider, SharedHttpClient};

use dstack_core::secret::Secret;

use crate::failure::{Class, Failure, causes};
use crate::stored_keys::StoredKeys;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for an answer: below a claim's margin, which counts on 10 seconds.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(9);

/// An access key that is not stored yet.
#[derive(Debug, Clone)]
pub struct TypedKey {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: Secret,
}

/// How the account is reached. By default: the standard chain of AWS (environment, profile, single sign-on, roles, the
/// machine's own role) and AWS's own endpoints, or the one that `AWS_ENDPOINT_URL` names.
#[derive(Clone, Default)]
pub struct Access {
    /// Credentials of this profile, in place of the default one.
    pub profile: Option<String>,
    /// A key that was typed in, to be tried before it is stored. If there is one, nothing else is asked.
    pub typed: Option<TypedKey>,
    /// What gives the credentials, for a program that has them from elsewhere. If there is one, the standard chain is not
    /// asked.
    pub provider: Option<SharedCredentialsProvider>,
    /// A stored key. If there is one, the standard chain is not asked.
    pub keys: Option<StoredKeys>,
    /// Where all services are, in place of AWS's own endpoints.
    pub endpoint: Option<String>,
    /// What makes the HTTP requests; the SDK's own client by default.
    pub http_client: Option<SharedHttpClient>,
    /// Longest wait for an answer, in place of nine seconds. A claim's margin counts on less than ten.
    pub timeout: Option<Duration>,
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Access")
            .field("profile", &self.profile)
            .field("typed", &self.typed)
            .field("keys", &self.keys)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// One try of each call: what is sent again is decided by the controller, never below it.
    async fn config(&self, region: &str) -> SdkConfig {
        let timeout = self.timeout.unwrap_or(OPERATION_TIMEOUT);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .operation_attempt_timeout(timeout)
            .operation_timeout(timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(client) = &self.http_client {
            loader = loader.http_client(client.clone());
        }
        loader.load().await
    }

    /// The region that the standard chain names: the environment, then the profile's in the configuration of the AWS command
    /// line. A machine in EC2 is not asked for its own.
    pub async fn default_region(&self) -> Option<String> {
        let variable = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
        if let Some(region) = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
            return Some(region);
        }
        let mut profiles = ProfileFileRegionProvider::builder();
        if let Some(profile) = &self.profile {
            profiles = profiles.profile_name(profile);
        }
        profiles.build().region().await.map(|region| region.to_string())
    }

    /// The one endpoint of all services: what is set, or what `AWS_ENDPOINT_URL` or the profile says.
    pub(crate) async fn endpoint(&self, region: &str) -> Option<String> {
        self.config(region).await.endpoint_url().map(str::to_owned)
    }

    /// Credentials as they are now: files and the environment are read anew.
    pub(crate) async fn credentials(&self, region: &str) -> Result<Credentials, Failure> {
        let refused = |words: String| Failure::new(Class::Credentials, words);
        if let Some(TypedKey { id, secret }) = &self.typed {
            return Ok(Credentials::new(id, secret.expose(), None, None, "as typed"));
        }
        if let Some(provider) = &self.provider {
            return provider.provide_credentials().await.map_err(|error| refused(causes(Some(&error))));
        }
        if let Some(keys) = &self.keys
            && let Some(credentials) = keys.load().await.map_err(|error| refused(error.to_string()))?
        {
            return Ok(credentials);
        }
        let config = self.config(region).await;
        let provider = config.credentials_provider().ok_or_else(|| refused(self.hint("there are no credentials")))?;
        provider.provide_credentials().await.map_err(|error| refused(self.hint(&causes(Some(&error)))))
    }

    fn hint(&self, words: &str) -> String {
        let profile = self.profile.as_deref().map(|name| format!(" --profile {name}")).unwrap_or_default();
        if words.to_ascii_lowercase().contains("sso") {
            return format!("{words}; the sign-on may have expired: run `aws sso login{profile}`");
        }
        format!("{words}; run `dstack aws configure`, or set up a profile of the AWS command line")
    }

    /// A configuration that uses exactly these credentials.
    pub(crate) async fn pinned(&self, region: &str, credentials: Credentials) -> SdkConfig {
        let provider = SharedCredentialsProvider::new(credentials);
        self.config(region).await.into_builder().credentials_provider(provider).build()
    }
}

/// Whether an endpoint is on this machine.
pub(crate) fn is_loopback(endpoint: Option<&str>) -> bool {
    let rest = endpoint.and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_before_the_margin_of_a_claim() {
        let margin = dstack_core::model::LaunchTiming::CLOUD.claim_margin.to_std();
        assert!(OPERATION_TIMEOUT + Duration::from_secs(60) < margin);
        assert!(CONNECT_TIMEOUT < OPERATION_TIMEOUT);
    }

    #[test]
    fn only_an_endpoint_on_this_machine_is_loopback() {
        for url in ["http://127.0.0.1:4566", "http://localhost:1/x", "http://[::1]:80", "http://127.0.0.9"] {
            assert!(is_loopback(Some(url)), "{url}");
        }
        for url in
            ["https://ec2.us-east-1.amazonaws.com", "http://10.0.0.1", "http://127.0.0.1.evil.example:80", "", "x"]
        {
            assert!(!is_loopback(Some(url)), "{url}");
        }
        assert!(!is_loopback(None));
    }
}
