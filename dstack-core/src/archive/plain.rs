//! Plain tar, which every machine understands: packed folders on their way there, and whatever comes from there.

use std::fs;
use std::io::{BufRead, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::pack::header;
use super::read::{ArchiveError, Content, Limits, PlainContent, confined, for_each, for_each_plain};
use super::unpack::{clear, failed, make_folders, write_file};

/// Adds the entries of a packed archive to a plain tar, below the folder `below`.
pub(crate) fn replay(
    bytes: impl BufRead,
    limits: &Limits,
    below: &Path,
    out: &mut tar::Builder<impl Write>,
) -> Result<(), ArchiveError> {
    for_each(bytes, limits, |path, size, content, reader| {
        let place = below.join(path);
        let added = match content {
            Content::Folder => out.append_data(&mut header(tar::EntryType::Directory, 0o755), &place, std::io::empty()),
            Content::Link(target) => out.append_link(&mut header(tar::EntryType::Symlink, 0o777), &place, target),
            Content::File { executable } => {
                let mut header = header(tar::EntryType::Regular, if executable { 0o755 } else { 0o644 });
                header.set_size(size);
                out.append_data(&mut header, &place, reader)
            }
        };
        added.map_err(|source| failed(path, source))
    })
}

/// What a tar from elsewhere held that is not unpacked, and what came after it.
#[derive(Debug)]
pub(crate) struct Carried<R> {
    /// Pipes, devices, and links to files that did not come: named, not made. Sorted.
    pub(crate) left_behind: Vec<String>,
    /// What follows the last entry.
    pub(crate) rest: R,
}

/// Unpacks a plain tar that may hold anything into the folder `into`, where nothing else may be yet.
///
/// Links are made whatever they lead to, but nothing is written through one; one to a place below `from` leads to the same
/// place below `to` then. A hard link becomes one only to a file that came in the same tar.
///
/// # Errors
/// At a path that is not inside, at a bound, or where the file system refuses.
pub(crate) fn unpack_plain<R: Read>(
    bytes: R,
    into: &Path,
    limits: &Limits,
    (from, to): (&Path, &Path),
) -> Result<Carried<R>, ArchiveError> {
    let mut left_behind = Vec::new();
    let rest = for_each_plain(bytes, limits, |path, size, content, reader| {
        if let Some(parent) = path.parent() {
            make_folders(into, parent)?;
        }
        match content {
            PlainContent::Folder => make_folders(into, path)?,
            PlainContent::File { executable } => write_file(into, path, executable, size, reader)?,
            PlainContent::Link(target) => {
                let target = target.strip_prefix(from).map_or_else(|_| target.clone(), |below| to.join(below));
                let place = clear(into, path)?;
                symlink(target, place).map_err(|source| failed(path, source))?;
            }
            PlainContent::HardLink(target) => match own_file(into, &target)?.filter(|file| *file != into.join(path)) {
                Some(file) => {
                    let place = clear(into, path)?;
                    fs::hard_link(file, place).map_err(|source| failed(path, source))?;
                }
                None => left_behind.push(path.display().to_string()),
            },
            PlainContent::Other => left_behind.push(path.display().to_string()),
        }
        Ok(())
    })?;
    left_behind.sort_unstable();
    Ok(Carried { left_behind, rest })
}

/// The file at this path below `into`, if it is one, and no link is on the way.
fn own_file(into: &Path, path: &Path) -> Result<Option<PathBuf>, ArchiveError> {
    let Some(path) = confined(path.as_os_str().as_bytes())? else { return Ok(None) };
    let mut place = into.to_owned();
    let mut is_file = false;
    for part in path.components() {
        let Component::Normal(name) = part else { return Ok(None) };
        place.push(name);
        match fs::symlink_metadata(&place) {
            Ok(facts) if facts.is_dir() => {}
            Ok(facts) if facts.is_file() => is_file = true,
            Ok(_) | Err(_) => return Ok(None),
        }
    }
    Ok(is_file.then_some(place))
}
