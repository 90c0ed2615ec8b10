//! A project: `.dstack/workflows.yaml`, `.dstack/variables.yaml` and the files that travel with a run.
//!
//! [`Project::find`] looks for it, [`Project::load`] reads it, [`plan`] makes the workflows of a run of it, and
//! [`Project::files`] and [`pack_files`] make the archive that every attempt begins with. Nothing here is only for the
//! command line.

mod error;
mod files;
mod glob;
mod graph;
mod ignores;
mod index;
mod names;
mod pack;
mod plan;
#[expect(clippy::module_inception, reason = "the main type of the module is the project")]
mod project;
mod reader;
mod resources;
mod scope;
pub mod sizes;
mod variables;
mod words;
mod workflows_file;
mod yaml;

#[cfg(test)]
mod tests;

pub use error::{Place, ProjectError};
pub use files::{FileList, ListedFile, list_files, list_files_without};
pub use pack::{MAX_UNPACKED, check_size, pack_files};
pub use plan::{Environment, Planned, Warning, plan};
pub use project::Project;
pub use variables::Declared;
pub use words::nearest;
pub use workflows_file::WorkflowsFile;
