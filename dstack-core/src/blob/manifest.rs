//! The list of an attempt's artifacts.

use serde::{Deserialize, Serialize};

use crate::model::{BlobId, Bytes};

/// What an attempt left behind, kept as a blob of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// The declared artifacts that were there, in the order of their declaration.
    pub artifacts: Vec<ManifestEntry>,
    /// Links that led out of an artifact or nowhere, and were left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<String>,
}

/// One declared artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// The path as it was declared.
    pub path: String,
    /// Its files as one packed archive (zstd-compressed tar), with paths below the project's root.
    pub archive: BlobId,
    /// Size of the packed archive.
    pub size: Bytes,
}
