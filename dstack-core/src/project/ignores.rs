//! A repository's ignore rules and list of tracked files, read from its files.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::glob::Pattern;
use super::index;

const MAX_RULES_BYTES: u64 = 16 * 1024 * 1024;
const MAX_INDEX_BYTES: u64 = 1024 * 1024 * 1024;

/// The rules that hold in a folder: those of its own file before those of the folders above it.
#[derive(Clone)]
pub(super) struct Rules(Rc<Level>);

struct Level {
    folder: PathBuf,
    patterns: Vec<Pattern>,
    above: Option<Rules>,
}

impl Rules {
    fn from_file(above: Option<Self>, folder: &Path, file: &Path) -> Option<Self> {
        // As git does, a link in the place of the file is not followed.
        let is_file = fs::symlink_metadata(file).is_ok_and(|facts| facts.is_file());
        let Some(text) = is_file.then(|| read(file, MAX_RULES_BYTES)).flatten() else { return above };
        let lines = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).split(|byte| *byte == b'\n');
        let patterns: Vec<Pattern> =
            lines.filter_map(|line| Pattern::parse(line.strip_suffix(b"\r").unwrap_or(line))).collect();
        if patterns.is_empty() {
            return above;
        }
        Some(Self(Rc::new(Level { folder: folder.to_path_buf(), patterns, above })))
    }

    /// The rules inside this folder.
    pub(super) fn of_folder(above: Option<Self>, folder: &Path) -> Option<Self> {
        Self::from_file(above, folder, &folder.join(".gitignore"))
    }

    /// Whether the path itself is ignored; whether a folder above it is, is the caller's question.
    pub(super) fn ignore(&self, path: &Path, is_folder: bool) -> bool {
        let mut level = Some(self);
        while let Some(Self(rules)) = level {
            let relative = path.strip_prefix(&rules.folder).map_or(&b""[..], |path| path.as_os_str().as_bytes());
            // The last line that matches decides; then the folder above is asked.
            if let Some(last) = rules.patterns.iter().rfind(|pattern| pattern.matches(relative, is_folder)) {
                return !last.is_negated;
            }
            level = rules.above.as_ref();
        }
        false
    }
}

/// A folder that has a `.git`.
pub(super) struct Repository {
    /// The folder.
    pub(super) root: PathBuf,
    git: PathBuf,
    common: PathBuf,
}

impl Repository {
    /// The repository that this folder is the root of.
    pub(super) fn at(root: &Path) -> Option<Self> {
        let git = root.join(".git");
        let git = if git.is_dir() {
            git
        } else {
            let text = String::from_utf8(read(&git, 4096)?).ok()?;
            root.join(text.strip_prefix("gitdir:")?.trim())
        };
        if !git.join("HEAD").exists() {
            return None;
        }
        let common = read(&git.join("commondir"), 4096).and_then(|text| String::from_utf8(text).ok());
        let common = common.map_or_else(|| git.clone(), |path| git.join(path.trim()));
        Some(Self { root: root.to_path_buf(), git, common })
    }

    /// The repository that this folder is in.
    pub(super) fn around(folder: &Path) -> Option<Self> {
        folder.ancestors().find_map(Self::at)
    }

    /// The rules that hold in `folder`, without those of its own file.
    pub(super) fn rules_down_to(&self, folder: &Path) -> Option<Rules> {
        let mut rules = Rules::from_file(None, &self.root, &self.common.join("info/exclude"));
        for above in self.folders_above(folder) {
            rules = Rules::of_folder(rules, &above);
        }
        rules
    }

    /// Whether the folder, or one between it and the repository's root, is ignored: then all in it is.
    pub(super) fn ignores_a_parent(&self, rules: &Rules, folder: &Path) -> bool {
        let mut between: Vec<PathBuf> = self.folders_above(folder);
        between.push(folder.to_path_buf());
        between.iter().any(|place| place != &self.root && rules.at(place).ignore(place, true))
    }

    /// From the root down to the one that holds `folder`.
    fn folders_above(&self, folder: &Path) -> Vec<PathBuf> {
        let mut above: Vec<PathBuf> = folder
            .ancestors()
            .skip(1)
            .take_while(|place| place.starts_with(&self.root))
            .map(Path::to_path_buf)
            .collect();
        above.reverse();
        above
    }

    /// The tracked paths; none where the index has a form that is not known.
    pub(super) fn tracked(&self) -> Vec<Vec<u8>> {
        let config = read(&self.common.join("config"), MAX_RULES_BYTES).unwrap_or_default();
        let is_sha256 =
            String::from_utf8_lossy(&config).to_ascii_lowercase().replace(' ', "").contains("objectformat=sha256");
        let hash_len = if is_sha256 { 32 } else { 20 };
        read(&self.git.join("index"), MAX_INDEX_BYTES)
            .and_then(|bytes| index::paths(&bytes, hash_len))
            .unwrap_or_default()
    }
}

impl Rules {
    /// The rules that decide over `place`: those of folders that hold it.
    fn at(&self, place: &Path) -> Self {
        let mut rules = self;
        while let Some(above) =
            rules.0.above.as_ref().filter(|_| place == rules.0.folder || !place.starts_with(&rules.0.folder))
        {
            rules = above;
        }
        rules.clone()
    }
}

fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}
