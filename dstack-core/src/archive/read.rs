//! Reading an archive that may come from anywhere: every count and size has a bound.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Longest path or link target, in bytes, and so the longest entry that only carries one.
const NAME_MAX_BYTES: usize = 4096;
const NAME_ENTRY_MAX_BYTES: u64 = 64 * 1024;
/// Largest window of the compression that is accepted, as a power of two: 128 MiB of memory.
const WINDOW_LOG_MAX: u32 = 27;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most bytes of all its files together.
    pub size: u64,
}

impl Default for Limits {
    /// A million entries and 64 GiB.
    fn default() -> Self {
        Self { entries: 1_000_000, size: 64 << 30 }
    }
}

/// Why an archive is not unpacked. What it named outside of the folder was not touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A path that is absolute, climbs with `..`, is empty or too long.
    #[error("the archive names {0:?}, which is no path inside the folder")]
    Outside(String),
    /// A link that leads out of the folder.
    #[error("the archive holds a link {path:?} to {target:?}, which leads out of the folder")]
    LinkOutside {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A hard link, device, pipe or something unknown.
    #[error("the archive holds {path:?}, which is neither file, folder nor symbolic link")]
    Kind {
        /// The entry.
        path: String,
    },
    /// More entries than the limit.
    #[error("the archive holds more than {0} entries")]
    TooMany(u64),
    /// More bytes than the limit.
    #[error("the archive holds more than {0} bytes of files")]
    TooLarge(u64),
    /// A folder stands where a file or link should be.
    #[error("{0:?} is a folder there and a file in the archive: remove one of them")]
    InTheWay(String),
    /// The bytes are not a whole archive.
    #[error("not a whole archive: {0}")]
    Damaged(#[source] io::Error),
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Which file or folder.
        path: String,
        /// What it says.
        source: io::Error,
    },
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, and whether it may be executed.
    File {
        /// Whether any executable bit is set.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link to this target.
    Link(String),
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, relative to the folder that was packed; bytes that are no text are shown as a replacement mark.
    pub path: String,
    /// Bytes of a file; 0 for everything else.
    pub size: u64,
    /// What it is.
    pub kind: EntryKind,
}

/// What the archive holds, in its order, under the [default limits](Limits::default).
///
/// # Errors
/// Every archive that would not be unpacked.
pub fn list(bytes: impl BufRead) -> Result<Vec<Entry>, ArchiveError> {
    let mut entries = Vec::new();
    for_each(bytes, &Limits::default(), |path, size, content, _| {
        let kind = match content {
            Content::File { executable } => EntryKind::File { executable },
            Content::Folder => EntryKind::Folder,
            Content::Link(target) => EntryKind::Link(target.display().to_string()),
        };
        entries.push(Entry { path: path.display().to_string(), size, kind });
        Ok(())
    })?;
    Ok(entries)
}

/// What an entry is, in the system's own text.
pub(super) enum Content {
    File { executable: bool },
    Folder,
    Link(PathBuf),
}

/// Hands over every entry: its checked path, the bytes of a file, what it is, and the file's content.
pub(super) fn for_each(
    bytes: impl BufRead,
    limits: &Limits,
    mut visit: impl FnMut(&Path, u64, Content, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(ArchiveError::Damaged)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(ArchiveError::Damaged)?;
    let mut rest = for_each_plain(decoder, limits, |path, size, content, reader| {
        let content = match content {
            PlainContent::File { executable } => Content::File { executable },
            PlainContent::Folder => Content::Folder,
            PlainContent::Link(target) => Content::Link(checked_target(path, target)?),
            PlainContent::HardLink(_) | PlainContent::Other => {
                return Err(ArchiveError::Kind { path: path.display().to_string() });
            }
        };
        visit(path, size, content, reader)
    })?;
    // The decoder's own end carries the checksum.
    io::copy(&mut rest.by_ref().take(1 << 20), &mut io::sink()).map_err(ArchiveError::Damaged)?;
    Ok(())
}

/// What an entry of any tar is; where a link leads is not checked.
pub(super) enum PlainContent {
    File {
        executable: bool,
    },
    Folder,
    Link(PathBuf),
    #[cfg_attr(
        not(feature = "ssh"),
        expect(dead_code, reason = "packed archives hold none, so where it leads is of no use")
    )]
    HardLink(PathBuf),
    Other,
}

/// As [`for_each`], of a tar that is not compressed and may hold everything; returns what comes after its last entry.
pub(super) fn for_each_plain<R: Read>(
    bytes: R,
    limits: &Limits,
    mut visit: impl FnMut(&Path, u64, PlainContent, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<R, ArchiveError> {
    let mut archive = tar::Archive::new(bytes);
    let mut names = Names::default();
    let (mut count, mut total) = (0_u64, 0_u64);
    // Raw entries: the reader would otherwise gather long names without a bound.
    for entry in archive.entries().map_err(ArchiveError::Damaged)?.raw(true) {
        let mut entry = entry.map_err(ArchiveError::Damaged)?;
        count += 1;
        if count > limits.entries {
            return Err(ArchiveError::TooMany(limits.entries));
        }
        if names.take(&mut entry)? {
            continue;
        }
        let (path, target) = names.of(&entry);
        let Some(path) = confined(&path)? else { continue };
        let target = || PathBuf::from(OsString::from_vec(target.unwrap_or_default()));
        let content = match entry.header().entry_type() {
            tar::EntryType::Directory => PlainContent::Folder,
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let mode = entry.header().mode().map_err(ArchiveError::Damaged)?;
                PlainContent::File { executable: mode & 0o111 != 0 }
            }
            tar::EntryType::Symlink => PlainContent::Link(target()),
            tar::EntryType::Link => PlainContent::HardLink(target()),
            _ => PlainContent::Other,
        };
        let size = if matches!(content, PlainContent::File { .. }) { entry.size() } else { 0 };
        total = total.saturating_add(size);
        if total > limits.size {
            return Err(ArchiveError::TooLarge(limits.size));
        }
        visit(&path, size, content, &mut entry)?;
    }
    Ok(archive.into_inner())
}

fn checked_target(path: &Path, target: PathBuf) -> Result<PathBuf, ArchiveError> {
    let parent = path.parent().unwrap_or_else(|| Path::new(""));
    if target.as_os_str().len() <= NAME_MAX_BYTES && super::links::stays_inside(parent, &target) {
        return Ok(target);
    }
    Err(ArchiveError::LinkOutside { path: path.display().to_string(), target: shortened(&target) })
}

/// The path without `.`; nothing for the folder itself.
pub(super) fn confined(path: &[u8]) -> Result<Option<PathBuf>, ArchiveError> {
    let path = PathBuf::from(OsString::from_vec(path.to_vec()));
    let refused = || ArchiveError::Outside(shortened(&path));
    if path.as_os_str().is_empty() || path.as_os_str().len() > NAME_MAX_BYTES {
        return Err(refused());
    }
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(refused()),
        }
    }
    Ok((!inside.as_os_str().is_empty()).then_some(inside))
}

fn shortened(path: &Path) -> String {
    path.display().to_string().chars().take(200).collect()
}

/// Names that came in entries of their own, for the entry that follows.
#[derive(Default)]
struct Names {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Names {
    /// Takes the entry if it only carries a name (or attributes that are of no use here).
    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool, ArchiveError> {
        let kind = entry.header().entry_type();
        let is_name = kind.is_gnu_longname() || kind.is_gnu_longlink();
        let is_pax = kind.is_pax_local_extensions() || kind.is_pax_global_extensions();
        if !is_name && !is_pax {
            return Ok(false);
        }
        if entry.size() > NAME_ENTRY_MAX_BYTES {
            return Err(ArchiveError::Outside(shortened(&entry.path().map_err(ArchiveError::Damaged)?)));
        }
        let mut text = Vec::new();
        entry.take(NAME_ENTRY_MAX_BYTES).read_to_end(&mut text).map_err(ArchiveError::Damaged)?;
        if is_name {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            text.truncate(end);
            *(if kind.is_gnu_longname() { &mut self.path } else { &mut self.target }) = Some(text);
        } else if kind.is_pax_local_extensions() {
            for extension in tar::PaxExtensions::new(&text) {
                let extension = extension.map_err(ArchiveError::Damaged)?;
                match extension.key_bytes() {
                    b"path" => self.path = Some(extension.value_bytes().to_vec()),
                    b"linkpath" => self.target = Some(extension.value_bytes().to_vec()),
                    _ => {}
                }
            }
        }
        Ok(true)
    }

    /// Path and link target of this entry; what was kept for it is used up.
    fn of(&mut self, entry: &tar::Entry<'_, impl Read>) -> (Vec<u8>, Option<Vec<u8>>) {
        let path = self.path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let target = self.target.take().or_else(|| entry.link_name_bytes().map(|target| target.into_owned()));
        (path, target)
    }
}
