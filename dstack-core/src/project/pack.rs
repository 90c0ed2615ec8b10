//! The project's files as the archive that every attempt begins with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Component, Path};

use crate::archive::{self, Packed};
use crate::model::Bytes;

use super::{FileList, ProjectError};

/// Most bytes of a project's files: 2 GiB.
pub const MAX_UNPACKED: u64 = 2 << 30;
const NAMED_FOLDERS: usize = 3;

/// Packs the listed files into `out`; equal files give equal bytes. Links that lead out of the project are left behind and named.
///
/// # Errors
/// Over [`MAX_UNPACKED`] it is refused before anything is read, with the largest folders; also a file that cannot be read.
pub fn pack_files<W: Write>(root: &Path, list: &FileList, out: W) -> Result<Packed<W>, ProjectError> {
    check_size(list)?;
    archive::pack_into(root, list.files.iter().map(|file| file.path.as_path()), out)
        .map_err(|error| ProjectError::io(root.display(), error))
}

/// Refuses more than [`MAX_UNPACKED`].
///
/// # Errors
/// The refusal, with the largest folders.
pub fn check_size(list: &FileList) -> Result<(), ProjectError> {
    if list.size > MAX_UNPACKED {
        return Err(ProjectError::TooLarge(format!(
            "the project's files have {}, and at most {} are sent: add what is not needed to .gitignore (largest: {})",
            Bytes(list.size),
            Bytes(MAX_UNPACKED),
            largest(list)
        )));
    }
    Ok(())
}

/// The largest of what lies directly in the project's root.
fn largest(list: &FileList) -> String {
    let mut sizes: BTreeMap<&Path, u64> = BTreeMap::new();
    for file in &list.files {
        if let Some(Component::Normal(first)) = file.path.components().next() {
            let size = sizes.entry(Path::new(first)).or_default();
            *size = size.saturating_add(file.size);
        }
    }
    let mut sizes: Vec<(&Path, u64)> = sizes.into_iter().collect();
    sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let named = sizes.iter().take(NAMED_FOLDERS).map(|(path, size)| format!("{} {}", path.display(), Bytes(*size)));
    named.collect::<Vec<_>>().join(", ")
}
