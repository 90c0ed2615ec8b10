//! Folders as bytes: one deterministic, zstd-compressed tar archive, and back again without ever leaving a folder.
//!
//! The project's files, a workflow's artifacts and a dependency's artifacts all travel in this form.

mod links;
mod pack;
#[cfg(feature = "ssh")]
mod plain;
mod read;
mod unpack;

#[cfg(test)]
mod tests;

#[cfg(feature = "ssh")]
pub(crate) use plain::{replay, unpack_plain};

pub use pack::{Packed, pack, pack_into, pack_path, pack_path_into};
pub use read::{ArchiveError, Entry, EntryKind, Limits, list};
pub use unpack::{Unpacked, unpack};
