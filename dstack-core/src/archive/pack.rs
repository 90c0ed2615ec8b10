//! From files to an archive.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::links;

const LEVEL: i32 = 3;

/// A packed archive and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed<W = Vec<u8>> {
    /// Where the zstd-compressed tar archive was written. Equal trees give equal bytes: sorted, no times, no owners, only the
    /// executable bit.
    pub bytes: W,
    /// Links that lead out or nowhere, and what is neither file, folder nor link: not packed. Sorted.
    pub left_behind: Vec<String>,
    /// Files and links in it.
    pub files: u64,
    /// Files, links and folders in it.
    pub entries: u64,
    /// Bytes of its files before compression.
    pub size: u64,
}

/// Packs the listed paths, which are relative to `root`. A listed folder is packed with all that is in it.
///
/// Links are packed as links, also those to something inside that is not there; links that lead out of `root` are left
/// behind and named.
///
/// # Errors
/// A listed path that cannot be read, with its name, or a path that is not below `root`.
pub fn pack<'a>(root: &Path, entries: impl Iterator<Item = &'a Path>) -> io::Result<Packed> {
    pack_into(root, entries, Vec::new())
}

/// As [`pack`], written to `out`.
///
/// # Errors
/// As [`pack`], and where `out` cannot be written.
pub fn pack_into<'a, W: Write>(root: &Path, entries: impl Iterator<Item = &'a Path>, out: W) -> io::Result<Packed<W>> {
    let base = fs::canonicalize(root)?;
    let mut paths: Vec<&Path> = entries.collect();
    paths.sort_unstable();
    paths.dedup();
    let mut packer = Packer::new(base, links::target, out)?;
    for path in paths {
        check_relative(path)?;
        match packer.add(path, path) {
            // It went away after it was listed, as if it had never been.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !exists(&packer.place(path))? => {}
            added => added?,
        }
    }
    packer.finish()
}

/// Packs the file or folder at `relative` below `root`, with paths below `root`; `None` when nothing is there.
///
/// When `relative` is itself a link, or leads through one, what it leads to is packed in its place, provided it is below
/// `root`; otherwise nothing is packed (`entries` is 0) and it is named as left behind. Links within are packed as links
/// where they lead to something within; all others are left behind and named.
///
/// # Errors
/// Something that cannot be read, with its name, or a path that is not below `root`.
pub fn pack_path(root: &Path, relative: &Path) -> io::Result<Option<Packed>> {
    pack_path_into(root, relative, Vec::new())
}

/// As [`pack_path`], written to `out`.
///
/// # Errors
/// As [`pack_path`], and where `out` cannot be written.
pub fn pack_path_into<W: Write>(root: &Path, relative: &Path, out: W) -> io::Result<Option<Packed<W>>> {
    check_relative(relative)?;
    let root = fs::canonicalize(root)?;
    let place = root.join(relative);
    if !exists(&place)? {
        return Ok(None);
    }
    let Some(base) = fs::canonicalize(&place).ok().filter(|base| base.starts_with(&root)) else {
        let mut nothing = Packer::new(root, links::live_target, out)?;
        nothing.left_behind.push(relative.display().to_string());
        return nothing.finish().map(Some);
    };
    let mut packer = Packer::new(base, links::live_target, out)?;
    packer.add(Path::new(""), relative)?;
    packer.finish().map(Some)
}

fn exists(place: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(place) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(named(place, &error)),
    }
}

fn check_relative(path: &Path) -> io::Result<()> {
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if is_below && path.file_name().is_some() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("not a relative path inside the folder: {}", path.display()),
    ))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Builds one archive of what is below the real folder (or file) `base`.
struct Packer<W: Write> {
    base: PathBuf,
    target: fn(&Path, &Path) -> Option<PathBuf>,
    tar: tar::Builder<zstd::Encoder<'static, W>>,
    left_behind: Vec<String>,
    files: u64,
    entries: u64,
    size: u64,
}

impl<W: Write> Packer<W> {
    fn new(base: PathBuf, target: fn(&Path, &Path) -> Option<PathBuf>, out: W) -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(out, LEVEL)?;
        encoder.include_checksum(true)?;
        let tar = tar::Builder::new(encoder);
        Ok(Self { base, target, tar, left_behind: Vec::new(), files: 0, entries: 0, size: 0 })
    }

    fn place(&self, at: &Path) -> PathBuf {
        if at.as_os_str().is_empty() { self.base.clone() } else { self.base.join(at) }
    }

    /// Adds what is `at` below the base under the name `as_path`, and all that is in it. Folders wait on a stack, not on
    /// the call stack: a tree may be deep.
    fn add(&mut self, at: &Path, as_path: &Path) -> io::Result<()> {
        let mut waiting = vec![(at.to_path_buf(), as_path.to_path_buf())];
        while let Some((at, as_path)) = waiting.pop() {
            let place = self.place(&at);
            let facts = fs::symlink_metadata(&place).map_err(|error| named(&as_path, &error))?;
            if facts.is_dir() {
                self.add_header(&mut header(tar::EntryType::Directory, 0o755), &as_path, io::empty())?;
                self.entries += 1;
                let mut names = fs::read_dir(&place)
                    .and_then(|entries| {
                        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
                    })
                    .map_err(|error| named(&as_path, &error))?;
                names.sort_unstable_by(|a, b| b.cmp(a));
                waiting.extend(names.into_iter().map(|name| (at.join(&name), as_path.join(&name))));
            } else if facts.is_symlink() {
                self.add_link(&at, &as_path)?;
            } else if facts.is_file() {
                self.add_file(&place, &as_path)?;
            } else {
                self.left_behind.push(as_path.display().to_string());
            }
        }
        Ok(())
    }

    fn add_link(&mut self, at: &Path, as_path: &Path) -> io::Result<()> {
        let Some(target) = (self.target)(&self.base, at) else {
            self.left_behind.push(as_path.display().to_string());
            return Ok(());
        };
        self.tar
            .append_link(&mut header(tar::EntryType::Symlink, 0o777), as_path, &target)
            .map_err(|error| named(as_path, &error))?;
        self.files += 1;
        self.entries += 1;
        Ok(())
    }

    fn add_file(&mut self, place: &Path, as_path: &Path) -> io::Result<()> {
        let file = File::open(place).map_err(|error| named(as_path, &error))?;
        let facts = file.metadata().map_err(|error| named(as_path, &error))?;
        let mode = if facts.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(facts.len());
        // A file that grows meanwhile is cut at the size it had; one that shrinks would damage the archive.
        self.add_header(&mut header, as_path, Exactly { file, rest: facts.len() })?;
        self.files += 1;
        self.entries += 1;
        self.size = self.size.saturating_add(facts.len());
        Ok(())
    }

    fn add_header(&mut self, header: &mut tar::Header, as_path: &Path, content: impl Read) -> io::Result<()> {
        self.tar.append_data(header, as_path, content).map_err(|error| named(as_path, &error))
    }

    fn finish(mut self) -> io::Result<Packed<W>> {
        let mut encoder = self.tar.into_inner()?;
        encoder.flush()?;
        let bytes = encoder.finish()?;
        self.left_behind.sort_unstable();
        Ok(Packed { bytes, left_behind: self.left_behind, files: self.files, entries: self.entries, size: self.size })
    }
}

pub(super) fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// Reads exactly that many bytes, or fails.
struct Exactly {
    file: File,
    rest: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was packed"));
        }
        self.rest -= read as u64;
        Ok(read)
    }
}
