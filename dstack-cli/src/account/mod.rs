//! The AWS account, reached only once something is asked of it: a home without cloud runners pays nothing for it.

#[expect(clippy::module_inception, reason = "the account itself is this module's main thing")]
mod account;
mod cloud;
mod host;

pub(crate) use account::{Account, NOT_CONFIGURED, ask, catalogue, settings, stores};
