//! Archives of fake folders, made in memory. They need the feature `local` or `project`, which bring the format.

use bytes::Bytes as Buffer;

use super::attempt::Files;
use crate::host::HostError;

/// The parts of a path without `.` and `..`; nothing if it leads out of the folder.
pub(super) fn normal(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The files at and below a path; nothing if it is not there.
pub(super) fn below(files: &Files, path: &str) -> Option<Files> {
    let folder = format!("{path}/");
    let found: Files = files
        .iter()
        .filter(|(name, _)| path.is_empty() || *name == path || name.starts_with(&folder))
        .map(|(name, content)| (name.clone(), content.clone()))
        .collect();
    (!found.is_empty()).then_some(found)
}

/// Packs files; folders are those whose path ends with `/`.
#[cfg(any(feature = "local", feature = "project"))]
pub(super) fn pack(files: &Files) -> Result<Buffer, HostError> {
    let refused = |error: std::io::Error| HostError::Refused(error.to_string());
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        let is_folder = path.ends_with('/');
        header.set_entry_type(if is_folder { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(if is_folder { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_slice()).map_err(refused)?;
    }
    let bytes = builder.into_inner().map_err(refused)?;
    zstd::encode_all(bytes.as_slice(), 1).map(Buffer::from).map_err(refused)
}

/// The files of an archive. Links are left out.
#[cfg(any(feature = "local", feature = "project"))]
pub(super) fn unpack(archive: &Buffer) -> Result<Files, HostError> {
    use std::io::Read;

    let read = || -> std::io::Result<Files> {
        let bytes = zstd::decode_all(archive.as_ref())?;
        let mut files = Files::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries()? {
            let mut entry = entry?;
            let path = normal("", &String::from_utf8_lossy(&entry.path_bytes())).unwrap_or_default();
            match entry.header().entry_type() {
                tar::EntryType::Directory => {
                    files.insert(format!("{path}/"), Vec::new());
                }
                tar::EntryType::Regular => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content)?;
                    files.insert(path, content);
                }
                _ => {}
            }
        }
        Ok(files)
    };
    read().map_err(|error| HostError::Refused(format!("the archive cannot be read: {error}")))
}

/// Without the format, nothing but an empty folder can be packed.
#[cfg(not(any(feature = "local", feature = "project")))]
pub(super) fn pack(_files: &Files) -> Result<Buffer, HostError> {
    Err(HostError::Refused("archives need dstack-core's feature `local` or `project`".into()))
}

/// Without the format, an archive stays closed.
#[cfg(not(any(feature = "local", feature = "project")))]
pub(super) fn unpack(_archive: &Buffer) -> Result<Files, HostError> {
    Ok(Files::new())
}
