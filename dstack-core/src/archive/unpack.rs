//! From an archive to files below one folder, and nowhere else.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::read::{ArchiveError, Content, Limits, for_each};

const BUFFER_BYTES: usize = 64 * 1024;

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files and links.
    pub files: u64,
    /// Bytes of the files.
    pub size: u64,
}

/// Unpacks into the folder `into`, which is made if it is not there. Doing it again gives the same files.
///
/// Files and links that stand in the way are replaced, also where the archive has a folder; a folder never is. Nothing is
/// written through a link, so nothing outside of `into` is touched as long as no other process changes the folder
/// meanwhile. Of the modes only the executable bit is kept.
///
/// # Errors
/// At the first entry that is not allowed or cannot be written; what came before it stays.
pub fn unpack(bytes: impl BufRead, into: &Path, limits: &Limits) -> Result<Unpacked, ArchiveError> {
    fs::create_dir_all(into).map_err(|source| failed(into, source))?;
    let mut unpacked = Unpacked::default();
    for_each(bytes, limits, |path, size, content, reader| {
        if let Some(parent) = path.parent() {
            make_folders(into, parent)?;
        }
        match content {
            Content::Folder => return make_folders(into, path),
            Content::File { executable } => write_file(into, path, executable, size, reader)?,
            Content::Link(target) => {
                let place = clear(into, path)?;
                symlink(target, place).map_err(|source| failed(path, source))?;
            }
        }
        unpacked.files += 1;
        unpacked.size += size;
        Ok(())
    })?;
    Ok(unpacked)
}

pub(super) fn failed(path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Io { path: path.display().to_string(), source }
}

/// Makes each folder on the way; what is not a folder itself (a link to one is not) makes room.
pub(super) fn make_folders(into: &Path, path: &Path) -> Result<(), ArchiveError> {
    let mut place = into.to_path_buf();
    for part in path.components() {
        place.push(part);
        match fs::symlink_metadata(&place) {
            Ok(facts) if facts.is_dir() => continue,
            Ok(_) => fs::remove_file(&place).map_err(|source| failed(path, source))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(path, source)),
        }
        fs::create_dir(&place).map_err(|source| failed(path, source))?;
    }
    Ok(())
}

/// The place of a file or link, free.
pub(super) fn clear(into: &Path, path: &Path) -> Result<PathBuf, ArchiveError> {
    let place = into.join(path);
    match fs::symlink_metadata(&place) {
        Ok(facts) if facts.is_dir() => return Err(ArchiveError::InTheWay(path.display().to_string())),
        Ok(_) => fs::remove_file(&place).map_err(|source| failed(path, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed(path, source)),
    }
    Ok(place)
}

pub(super) fn write_file(
    into: &Path,
    path: &Path,
    executable: bool,
    size: u64,
    reader: &mut dyn Read,
) -> Result<(), ArchiveError> {
    let place = clear(into, path)?;
    let mode = if executable { 0o755 } else { 0o644 };
    // `create_new` does not follow a link, should one have come in between.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&place)
        .map_err(|source| failed(path, source))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut rest = size;
    while rest > 0 {
        let read = reader.read(&mut buffer).map_err(ArchiveError::Damaged)?;
        if read == 0 {
            return Err(ArchiveError::Damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        file.write_all(&buffer[..read]).map_err(|source| failed(path, source))?;
        rest = rest.saturating_sub(read as u64);
    }
    Ok(())
}
