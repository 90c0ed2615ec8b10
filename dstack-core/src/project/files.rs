//! Which files of a project travel: those that `git ls-files -co --exclude-standard` lists, without git.
//!
//! Held to: `.gitignore` in every folder, also above the project up to its repository's root, `.git/info/exclude`, and
//! what is tracked although it is ignored. Where there is no repository, the project's own `.gitignore` files hold.
//!
//! Different on purpose: a user's own ignore file (`core.excludesFile`) does not count, so that a project travels alike
//! from everywhere; tracked files that were deleted are left out; and the files of a repository inside the project
//! (a submodule, say), of which git lists only the folder, travel by that repository's own rules.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::ProjectError;
use super::ignores::{Repository, Rules};

/// A file or link that travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Relative to the project's root.
    pub path: PathBuf,
    /// Bytes of a file; 0 for a link.
    pub size: u64,
}

/// The files that travel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileList {
    /// In the order of their paths' bytes.
    pub files: Vec<ListedFile>,
    /// Bytes of all of them.
    pub size: u64,
    /// Ignored files and folders that were seen. What is in an ignored folder is not looked at.
    pub ignored: u64,
}

impl FileList {
    /// The largest file.
    pub fn largest(&self) -> Option<&ListedFile> {
        self.files.iter().max_by_key(|file| file.size)
    }
}

/// Lists the files below `root`.
///
/// # Errors
/// A folder that cannot be read. Nothing is left out in silence.
pub fn list_files(root: &Path) -> Result<FileList, ProjectError> {
    list(root, None)
}

/// Lists the files below `root` without those in `folder`, wherever that is and whether or not it is there.
///
/// # Errors
/// As [`list_files`].
pub fn list_files_without(root: &Path, folder: &Path) -> Result<FileList, ProjectError> {
    match fs::canonicalize(folder) {
        Ok(folder) => list(root, Some(&folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => list(root, None),
        Err(error) => Err(ProjectError::io(folder.display(), error)),
    }
}

fn list(root: &Path, without: Option<&Path>) -> Result<FileList, ProjectError> {
    let root = fs::canonicalize(root).map_err(|error| ProjectError::io(root.display(), error))?;
    let without = without.and_then(|folder| folder.strip_prefix(&root).ok());
    let repository = Repository::around(&root);
    let mut walk = Walk { root: &root, without, list: FileList::default(), seen: BTreeSet::new(), waiting: Vec::new() };
    match repository {
        Some(repository) => {
            let rules = repository.rules_down_to(&root);
            if rules.as_ref().is_none_or(|rules| !repository.ignores_a_parent(rules, &root)) {
                walk.waiting.push((PathBuf::new(), rules));
            } else {
                walk.list.ignored += 1;
            }
            walk.add_tracked(&repository)?;
        }
        None => walk.waiting.push((PathBuf::new(), None)),
    }
    while let Some((folder, rules)) = walk.waiting.pop() {
        walk.look_into(&folder, rules)?;
    }
    let mut list = walk.list;
    list.files.sort_unstable_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(list)
}

struct Walk<'a> {
    root: &'a Path,
    /// Relative to the root.
    without: Option<&'a Path>,
    list: FileList,
    seen: BTreeSet<PathBuf>,
    waiting: Vec<(PathBuf, Option<Rules>)>,
}

impl Walk<'_> {
    fn look_into(&mut self, folder: &Path, rules: Option<Rules>) -> Result<(), ProjectError> {
        let place = self.root.join(folder);
        let rules = Rules::of_folder(rules, &place);
        let failed = |error| ProjectError::io(place.display(), error);
        let entries = match fs::read_dir(&place) {
            // It went away after its own folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.as_os_str().is_empty() => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name == OsStr::new(".git") {
                continue;
            }
            let kind = entry.file_type().map_err(failed)?;
            if !kind.is_dir() && !kind.is_file() && !kind.is_symlink() {
                continue;
            }
            let path = folder.join(&name);
            if self.without == Some(&path) {
                self.list.ignored += 1;
            } else if rules.as_ref().is_some_and(|rules| rules.ignore(&self.root.join(&path), kind.is_dir())) {
                if !self.seen.contains(&path) {
                    self.list.ignored += 1;
                }
            } else if !kind.is_dir() {
                self.add(path)?;
            } else if let Some(nested) = Repository::at(&self.root.join(&path)) {
                let rules = nested.rules_down_to(&self.root.join(&path));
                self.add_tracked(&nested)?;
                self.waiting.push((path, rules));
            } else {
                self.waiting.push((path, rules.clone()));
            }
        }
        Ok(())
    }

    /// Adds what the repository tracks below the root and what is still there.
    fn add_tracked(&mut self, repository: &Repository) -> Result<(), ProjectError> {
        for tracked in repository.tracked() {
            let path = repository.root.join(OsStr::from_bytes(&tracked));
            let Ok(path) = path.strip_prefix(self.root) else { continue };
            if !path.as_os_str().is_empty() && self.is_real(path) {
                self.add(path.to_path_buf())?;
            }
        }
        Ok(())
    }

    /// Whether no folder on the way is a link or leads elsewhere.
    fn is_real(&self, path: &Path) -> bool {
        let is_plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let mut above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        is_plain && above.all(|folder| fs::symlink_metadata(self.root.join(folder)).is_ok_and(|facts| facts.is_dir()))
    }

    fn add(&mut self, path: PathBuf) -> Result<(), ProjectError> {
        if self.seen.contains(&path) || self.without.is_some_and(|folder| path.starts_with(folder)) {
            return Ok(());
        }
        let facts = match fs::symlink_metadata(self.root.join(&path)) {
            Ok(facts) => facts,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(ProjectError::io(path.display(), error)),
        };
        if !facts.is_file() && !facts.is_symlink() {
            return Ok(());
        }
        let size = if facts.is_file() { facts.len() } else { 0 };
        self.seen.insert(path.clone());
        self.list.size = self.list.size.saturating_add(size);
        self.list.files.push(ListedFile { path, size });
        Ok(())
    }
}
