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

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An entry as its kind, name, link target and content; names are written as they are.
    type Raw<'a> = (tar::EntryType, &'a str, &'a str, &'a [u8]);

    fn plain(entries: &[Raw<'_>]) -> Vec<u8> {
        let mut out = tar::Builder::new(Vec::new());
        for (kind, name, target, content) in entries {
            let mut header = header(*kind, 0o4777);
            header.set_size(content.len() as u64);
            let bytes = header.as_old_mut();
            bytes.name[..name.len()].copy_from_slice(name.as_bytes());
            bytes.linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            out.append(&header, *content).expect("it is memory");
        }
        out.into_inner().expect("it is memory")
    }

    /// Unpacks into a folder beside one that must stay as it is.
    fn unpack(bytes: &[u8]) -> (tempfile::TempDir, Result<Vec<String>, ArchiveError>) {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let outside = root.path().join("outside");
        fs::create_dir(&outside).expect("it is new");
        fs::write(outside.join("precious"), "p").expect("it is new");
        let into = root.path().join("into");
        fs::create_dir(&into).expect("it is new");
        let limits = Limits { entries: 1000, size: 1 << 20 };
        let result = unpack_plain(bytes, &into, &limits, (Path::new("/there"), &into));
        let left: Vec<_> = fs::read_dir(&outside).expect("it is there").collect();
        assert_eq!(left.len(), 1, "something was made outside");
        assert_eq!(fs::read(outside.join("precious")).expect("it is there"), b"p", "something was changed outside");
        let mode = fs::metadata(outside.join("precious")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o111, 0, "a mode was changed outside");
        (root, result.map(|carried| carried.left_behind))
    }

    #[test]
    fn nothing_hostile_reaches_outside_of_the_folder() {
        use tar::EntryType as Kind;
        let file = (Kind::Regular, "l/precious", "", &b"bad"[..]);
        let refused: [&[Raw<'_>]; 4] = [
            &[(Kind::Regular, "../outside/precious", "", b"bad")],
            &[(Kind::Regular, "/outside/precious", "", b"bad")],
            &[(Kind::Regular, "a/../../outside/precious", "", b"bad")],
            &[(Kind::Link, "a", "../outside/precious", b"")],
        ];
        for entries in refused {
            assert!(matches!(unpack(&plain(entries)).1, Err(ArchiveError::Outside(_))), "{entries:?}");
        }
        let harmless: [&[Raw<'_>]; 5] = [
            &[(Kind::Symlink, "l", "../outside", b""), file],
            &[
                (Kind::Symlink, "l", "..", b""),
                (Kind::Symlink, "l/outside", "x", b""),
                (Kind::Directory, "l/outside", "", b""),
            ],
            &[(Kind::Symlink, "precious", "../outside/precious", b""), (Kind::Regular, "precious", "", b"bad")],
            &[
                (Kind::Symlink, "l", "../outside/precious", b""),
                (Kind::Link, "a", "l", b""),
                (Kind::Regular, "a", "", b"bad"),
            ],
            &[(Kind::Symlink, "l", "../outside", b""), (Kind::Link, "a", "l/precious", b"")],
        ];
        for entries in harmless {
            unpack(&plain(entries)).1.expect("links are replaced, not followed");
        }
    }

    #[test]
    fn pipes_devices_and_hard_links_to_elsewhere_are_named_and_left_behind() {
        use tar::EntryType as Kind;
        let entries: [Raw<'_>; 6] = [
            (Kind::Fifo, "pipe", "", b""),
            (Kind::Char, "char", "", b""),
            (Kind::Block, "block", "", b""),
            (Kind::Link, "none", "missing", b""),
            (Kind::Regular, "f", "", b"content"),
            (Kind::Link, "again", "./f", b""),
        ];
        let (root, left_behind) = unpack(&plain(&entries));
        assert_eq!(left_behind.expect("it is whole"), ["block", "char", "none", "pipe"]);
        assert_eq!(fs::read(root.path().join("into/again")).expect("it is there"), b"content");
        let mode = fs::metadata(root.path().join("into/f")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o7000, 0, "no set-user-id arrives");
    }

    #[test]
    fn a_tar_beyond_the_limits_or_cut_short_is_refused() {
        use tar::EntryType as Kind;
        let many: Vec<Raw<'_>> = (0..1001).map(|_| (Kind::Directory, "d", "", &b""[..])).collect();
        assert!(matches!(unpack(&plain(&many)).1, Err(ArchiveError::TooMany(1000))));
        let large = vec![0; (1 << 20) + 1];
        assert!(matches!(unpack(&plain(&[(Kind::Regular, "f", "", &large)])).1, Err(ArchiveError::TooLarge(_))));
        let whole = plain(&[(Kind::Regular, "f", "", &[7; 2000])]);
        for length in [100, 511, 513, 1000, 2000] {
            assert!(matches!(unpack(&whole[..length]).1, Err(ArchiveError::Damaged(_))), "{length}");
        }
    }

    #[test]
    fn what_is_replayed_is_what_was_packed() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let from = root.path().join("from");
        fs::create_dir_all(from.join("a/b")).expect("it is new");
        fs::write(from.join("a/b/f"), "x").expect("it is new");
        symlink("b/f", from.join("a/l")).expect("it is new");
        let packed = crate::archive::pack(&from, [Path::new("a")].into_iter()).expect("it is there");
        let mut out = tar::Builder::new(Vec::new());
        replay(io::Cursor::new(&packed.bytes), &Limits::default(), Path::new("below"), &mut out).expect("it is good");
        let bytes = out.into_inner().expect("it is memory");
        let into = root.path().join("into");
        fs::create_dir(&into).expect("it is new");
        unpack_plain(&bytes[..], &into, &Limits::default(), (Path::new("/x"), &into)).expect("it is good");
        let again = crate::archive::pack(&into.join("below"), [Path::new("a")].into_iter()).expect("it is there");
        assert_eq!(again, packed);
    }
}
