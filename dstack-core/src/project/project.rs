//! The folder of a project.

use std::fs;
use std::io::Write;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::archive::Packed;

use super::yaml::MAX_FILE_BYTES;
use super::{FileList, Place, ProjectError, WorkflowsFile, list_files, pack_files};

const WORKFLOWS: &str = ".dstack/workflows.yaml";
const VARIABLES: &str = ".dstack/variables.yaml";

/// A folder with `.dstack/workflows.yaml` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// Looks for a project in the folder `from` and then upwards, as git does for its repository. A `.dstack` folder
    /// without `workflows.yaml` (dstack's own, in a home folder) is passed by.
    ///
    /// # Errors
    /// When `from` is not a folder that can be entered.
    pub fn find(from: &Path) -> Result<Option<Self>, ProjectError> {
        let from = fs::canonicalize(from).map_err(|error| ProjectError::io(from.display(), error))?;
        let found = from.ancestors().find(|folder| folder.join(WORKFLOWS).is_file());
        Ok(found.map(|root| Self { root: root.to_path_buf() }))
    }

    /// The folder that holds `.dstack/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads `.dstack/workflows.yaml` and, if it is there, `.dstack/variables.yaml`.
    ///
    /// # Errors
    /// The first thing that is wrong in them, with its place, or a file that cannot be read.
    pub fn load(&self) -> Result<WorkflowsFile, ProjectError> {
        let workflows = self
            .read(WORKFLOWS)?
            .ok_or_else(|| ProjectError::io(self.root.join(WORKFLOWS).display(), io::ErrorKind::NotFound.into()))?;
        WorkflowsFile::load_str(WORKFLOWS, &workflows, self.read(VARIABLES)?.as_deref())
    }

    /// The files that travel with a run.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<FileList, ProjectError> {
        list_files(&self.root)
    }

    /// Packs the listed files.
    ///
    /// # Errors
    /// Too many bytes, with the largest folders, or a file that cannot be read.
    pub fn pack<W: Write>(&self, files: &FileList, out: W) -> Result<Packed<W>, ProjectError> {
        pack_files(&self.root, files, out)
    }

    fn read(&self, name: &str) -> Result<Option<String>, ProjectError> {
        let path = self.root.join(name);
        let failed = |error| ProjectError::io(path.display(), error);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a file")));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > MAX_FILE_BYTES {
            let place = Place { file: name.into(), line: 1, column: 1 };
            return Err(place.error(format!("the file has more than {MAX_FILE_BYTES} bytes: no more are read")));
        }
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let good = String::from_utf8_lossy(good);
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
            Place { file: name.into(), line, column }.error("not UTF-8 text: save the file as UTF-8")
        })
    }
}
