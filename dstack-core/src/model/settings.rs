//! What a user can set for all rules.

use serde::{Deserialize, Serialize};

use super::Span;

/// Settings of autoscaling, with their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// A runner that no waiting workflow can use is stopped after this long; runners on this machine at once.
    pub idle_timeout: Span,
    /// A runner that was launched is stopped if it is not ready after this long.
    pub boot_timeout: Span,
    /// A runner whose launch has no answer after this long is given up.
    pub launch_timeout: Span,
    /// A workflow that is stopped has this long to end by itself.
    pub stop_grace: Span,
    /// So often may a workflow lose its runner before it is given up.
    pub max_losses: u32,
    /// So often may the cloud take a workflow's runner back before it is given up; counted apart from other losses.
    pub max_interruptions: u32,
    /// The machine image of launches, instead of the provider's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What launches in a cloud carry besides.
    #[serde(skip_serializing_if = "LaunchOptions::is_default")]
    pub launch: LaunchOptions,
}

/// What a user can set for runners in a cloud. Each launch freezes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchOptions {
    /// A runner that no controller reaches keeps results that nobody has fetched for this long, then ends itself.
    pub result_hold: Span,
    /// Port of the runners' SSH server, instead of what their image says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_port: Option<u16>,
    /// User to log in as, instead of what their image says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_user: Option<String>,
    /// Addresses that may reach the runners' SSH server, as a CIDR block, instead of the controller's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_from: Option<String>,
}

impl LaunchOptions {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for LaunchOptions {
    fn default() -> Self {
        Self { result_hold: Span::from_mins(12 * 60), ssh_port: None, ssh_user: None, ssh_from: None }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: Span::from_mins(5),
            boot_timeout: Span::from_mins(15),
            launch_timeout: Span::from_mins(5),
            stop_grace: Span::from_secs(10),
            max_losses: 5,
            max_interruptions: 20,
            image: None,
            launch: LaunchOptions::default(),
        }
    }
}
