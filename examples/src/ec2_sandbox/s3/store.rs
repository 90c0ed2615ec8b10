//! Buckets and their objects.

use super::super::reply::NoAnswer;
use super::super::reply::Reply;
use super::super::server::Asked;
use super::super::state::Shared;

/// All buckets.
#[derive(Debug, Default)]
pub(in super::super) struct Store;

pub(in super::super) fn answer(_shared: &Shared, _asked: &Asked) -> Result<Reply, NoAnswer> {
    Ok(Reply::empty(501))
}
