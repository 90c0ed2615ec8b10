//! Runners in an AWS account: EC2 as a provider of machines for `dstack-core`.
//!
//! [`Ec2`] implements [`CloudProvider`](dstack_core::cloud::CloudProvider): a catalogue with prices and images, launches that
//! are sent once under the log's own token, complete looks, terminations, and announcements of spot interruptions.

mod access;
mod api;
mod call;
mod catalogue;
mod check;
mod ear;
mod ec2;
mod ends;
mod failure;
mod images;
mod launch;
mod look;
mod network;
mod own_address;
mod policy;
mod prices;
mod quotas;
mod region;
mod s3;
mod session;
mod setup;
mod spot;
mod stored_keys;
mod tags;
mod terminate;
mod types;

pub use access::{Access, TypedKey};
pub use api::Api;
pub use catalogue::near_matches;
pub use check::{CheckRow, Outcome};
pub use ear::EAR;
pub use ec2::{Ec2, Ec2Options, UserData};
pub use own_address::{CheckIp, OwnAddress};
pub use policy::{BESIDE_CALLS, BUCKET_ACTIONS, policy};
pub use prices::{LIST_PRICES_OF, list_price};
pub use s3::{Bucket, S3Blobs, S3Output};
pub use session::Identity;
pub use setup::{Settings, Setup, SetupError, VerifyError};
pub use stored_keys::{StoredKeys, masked};

/// Under which name the provider is registered: what offerings, rules and scopes call it.
pub const PROVIDER: &str = "aws";
