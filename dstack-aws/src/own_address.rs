//! This machine's address as the internet sees it.

use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};

/// Who is asked for the address.
const SERVICE: &str = "https://checkip.amazonaws.com";
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest answer that is an address.
const ANSWER_BYTES_MOST: usize = 64;

/// Says from which address the controller's connections come.
#[async_trait]
pub trait OwnAddress: Send + Sync {
    /// The address, or why it is not known.
    async fn ask(&self) -> Result<Ipv4Addr, String>;
}

/// Asks AWS's own service for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckIp;

#[async_trait]
impl OwnAddress for CheckIp {
    async fn ask(&self) -> Result<Ipv4Addr, String> {
        let options = ClientOptions::new().with_timeout(TIMEOUT).with_connect_timeout(TIMEOUT);
        let failed = |error: &dyn std::fmt::Display| format!("{SERVICE}: {error}");
        let client = ReqwestConnector::default().connect(&options).map_err(|error| failed(&error))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = SERVICE.parse().map_err(|error| failed(&error))?;
        let answer = client.execute(request).await.map_err(|error| failed(&error))?;
        let bytes = answer.into_body().bytes().await.map_err(|error| failed(&error))?;
        let text = std::str::from_utf8(&bytes[..bytes.len().min(ANSWER_BYTES_MOST)]).unwrap_or_default().trim();
        text.parse().map_err(|_| format!("{SERVICE} did not answer with an IPv4 address"))
    }
}
