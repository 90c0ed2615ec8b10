//! Folders as bytes: one deterministic, zstd-compressed tar archive, and back again without ever leaving a folder.
//!
//! The project's files, a workflow's artifacts and a dependency's artifacts all travel in this form.

mod links;
mod pack;
mod read;
mod unpack;

#[cfg(test)]
mod tests;

pub use pack::{Packed, pack, pack_into, pack_path, pack_path_into};
pub use read::{ArchiveError, Entry, EntryKind, Limits, list};
pub use unpack::{Unpacked, unpack};
