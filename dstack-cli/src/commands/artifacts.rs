//! `dstack artifacts`: what workflows left behind.

use std::fs;
use std::path::{Path, PathBuf};

use dstack_core::archive::{Entry, EntryKind, Limits, list as list_archive, unpack};
use dstack_core::blob::{BlobStore, Manifest, Payload};
use dstack_core::model::state::{Run, Workflow};
use dstack_core::model::{Bytes, RunId};
use serde_json::json;

use super::submission::some;
use crate::app::App;
use crate::cli::{ArtifactsArgs, ArtifactsCommand, DownloadArgs, ListArgs};
use crate::failure::{Failure, refused};
use crate::print;
use crate::target::Target;
use crate::view::{clean, table};

pub(crate) async fn run(app: &App, args: ArtifactsArgs) -> Result<(), Failure> {
    match (args.command, args.list) {
        (Some(ArtifactsCommand::List(args)), _) | (None, Some(args)) => list(app, &args).await,
        (Some(ArtifactsCommand::Download(args)), _) => download(app, &args).await,
        (None, None) => Err(Failure::Usage("which run's? `dstack artifacts list RUN`".to_owned())),
    }
}

/// What one workflow left behind.
struct Left {
    workflow: String,
    attempt: u32,
    manifest: Manifest,
}

async fn left(blobs: &dyn BlobStore, target: &Target) -> Result<Vec<Left>, Failure> {
    let mut all = Vec::new();
    let workflows = (0..).zip(&target.run.workflows).filter(|(index, _)| target.includes(*index));
    for (_, workflow) in workflows {
        let Workflow { manifest: Some(manifest), attempt, spec, .. } = workflow else { continue };
        let bytes = blobs.get(*manifest).await?;
        let manifest = serde_json::from_reader(bytes.reader()?)
            .map_err(|error| refused(format!("the list of {}'s artifacts cannot be read: {error}", spec.name)))?;
        all.push(Left { workflow: spec.name.to_string(), attempt: *attempt, manifest });
    }
    Ok(all)
}

/// A file of an artifact.
struct File {
    workflow: String,
    attempt: u32,
    artifact: String,
    entry: Entry,
}

async fn list(app: &App, args: &ListArgs) -> Result<(), Failure> {
    let (client, _) = app.read().await?;
    let target = Target::find(&client, &args.run).await?;
    let (blobs, _) = app.stores().await?;
    let (mut files, mut behind) = (Vec::new(), Vec::new());
    for Left { workflow, attempt, manifest } in left(&*blobs, &target).await? {
        for artifact in &manifest.artifacts {
            let entries = list_archive(blobs.get(artifact.archive).await?.reader()?)?;
            files.extend(entries.into_iter().filter(|entry| entry.kind != EntryKind::Folder).map(|entry| File {
                workflow: workflow.clone(),
                attempt,
                artifact: artifact.path.clone(),
                entry,
            }));
        }
        behind.extend(manifest.left_behind.iter().map(|link| (workflow.clone(), link.clone())));
    }
    if args.json {
        return print::json(&document(&target, &files, &behind));
    }
    if files.is_empty() && behind.is_empty() {
        print::say(&format!("{} has left no artifacts", args.run));
        return Ok(());
    }
    let text = if args.total { totals(app, &files) } else { rows(app, &files) };
    print::results(text.as_bytes())?;
    if !behind.is_empty() {
        let names: Vec<_> = behind.iter().map(|(workflow, link)| clean(&format!("{workflow}: {link}"))).collect();
        print::warn(&not_kept(&names));
    }
    Ok(())
}

/// Runs with more workflows are not asked about one by one.
const ASKED_MAX: usize = 200;

/// The line for links in the artifacts of a run that were not kept, if any were not.
pub(super) async fn left_behind(app: &App, run: &Run) -> Option<String> {
    if run.workflows.len() > ASKED_MAX {
        return None;
    }
    let (blobs, _) = app.stores().await.ok()?;
    let mut names = Vec::new();
    for workflow in &run.workflows {
        // What cannot be read now is told by `dstack artifacts`.
        let Some(manifest) = workflow.manifest else { continue };
        let Ok(bytes) = blobs.get(manifest).await else { continue };
        let Ok(reader) = bytes.reader() else { continue };
        let Ok(manifest) = serde_json::from_reader::<_, Manifest>(reader) else { continue };
        names.extend(manifest.left_behind.iter().map(|link| clean(&format!("{}: {link}", workflow.spec.name))));
    }
    (!names.is_empty()).then(|| not_kept(&names))
}

fn not_kept(names: &[String]) -> String {
    let (count, verb) = (links(names.len()), if names.len() == 1 { "was" } else { "were" });
    let leads = if names.len() == 1 { "it leads" } else { "they lead" };
    format!("{count} {verb} not kept, since {leads} out of the artifact or nowhere: {}", some(names))
}

fn links(count: usize) -> String {
    if count == 1 { "1 link".to_owned() } else { format!("{count} links") }
}

fn document(target: &Target, files: &[File], behind: &[(String, String)]) -> serde_json::Value {
    let file = |file: &File| {
        let (kind, link) = match &file.entry.kind {
            EntryKind::File { .. } => ("file", None),
            EntryKind::Folder => ("folder", None),
            EntryKind::Link(to) => ("link", Some(to.clone())),
        };
        json!({
            "run": target.run.name.to_string(),
            "workflow": file.workflow,
            "attempt": file.attempt,
            "artifact": file.artifact,
            "path": file.entry.path,
            "size": file.entry.size,
            "kind": kind,
            "link": link,
        })
    };
    let behind: Vec<_> = behind.iter().map(|(workflow, link)| json!({ "workflow": workflow, "link": link })).collect();
    json!({ "artifacts": files.iter().map(file).collect::<Vec<_>>(), "left_behind": behind })
}

fn rows(app: &App, files: &[File]) -> String {
    let rows = files.iter().map(|file| {
        let path = match &file.entry.kind {
            EntryKind::Link(to) => format!("{} -> {to}", file.entry.path),
            EntryKind::File { .. } | EntryKind::Folder => file.entry.path.clone(),
        };
        vec![file.workflow.clone(), path, Bytes(file.entry.size).to_string()]
    });
    table(&["WORKFLOW", "PATH", "SIZE"], rows, app.terminal.columns())
}

fn totals(app: &App, files: &[File]) -> String {
    let mut sums: Vec<(String, String, u64, u64)> = Vec::new();
    for file in files {
        match sums
            .last_mut()
            .filter(|(workflow, artifact, ..)| *workflow == file.workflow && *artifact == file.artifact)
        {
            Some((_, _, count, size)) => {
                *count += 1;
                *size += file.entry.size;
            }
            None => sums.push((file.workflow.clone(), file.artifact.clone(), 1, file.entry.size)),
        }
    }
    let rows = sums
        .into_iter()
        .map(|(workflow, artifact, count, size)| vec![workflow, artifact, count.to_string(), Bytes(size).to_string()]);
    table(&["WORKFLOW", "ARTIFACT", "FILES", "SIZE"], rows, app.terminal.columns())
}

async fn download(app: &App, args: &DownloadArgs) -> Result<(), Failure> {
    let (client, _) = app.read().await?;
    let target = Target::find(&client, &args.run).await?;
    let (blobs, _) = app.stores().await?;
    let all = left(&*blobs, &target).await?;
    if all.is_empty() {
        let is_over = target.run.is_over();
        let hint = if is_over { "it has left none" } else { "it is not over yet" };
        return Err(refused(format!("there are no artifacts of {}: {hint}", args.run)));
    }
    let root = args.output.as_ref().map_or_else(|| app.folder.clone(), |output| app.folder.join(output));
    let is_single = target.workflow.is_some() || target.run.workflows.len() == 1;
    let mut parts: Vec<(PathBuf, dstack_core::blob::ManifestEntry)> = Vec::new();
    let mut behind = Vec::new();
    for Left { workflow, manifest, .. } in all {
        let into = if is_single { root.clone() } else { root.join(&workflow) };
        behind.extend(manifest.left_behind.iter().map(|link| clean(link)));
        parts.extend(manifest.artifacts.into_iter().map(|artifact| (into.clone(), artifact)));
    }
    if !args.force {
        for (into, artifact) in &parts {
            refuse_to_overwrite(&blobs.get(artifact.archive).await?, into, target.id)?;
        }
    }
    let (mut files, mut size) = (0, 0);
    for (into, artifact) in &parts {
        let unpacked = unpack(blobs.get(artifact.archive).await?.reader()?, into, &Limits::default())?;
        files += unpacked.files;
        size += unpacked.size;
    }
    let plural = if files == 1 { "file" } else { "files" };
    print::say(&format!("{files} {plural} ({}) are in {}", Bytes(size), root.display()));
    if !behind.is_empty() {
        print::warn(&not_kept(&behind));
    }
    Ok(())
}

/// Refuses if a file that is there differs from the one that would be laid over it.
fn refuse_to_overwrite(archive: &Payload, into: &Path, run: RunId) -> Result<(), Failure> {
    let all = list_archive(archive.reader()?)?;
    let in_the_way = all.iter().find_map(|entry| no_folder(into, entry));
    if let Some(path) = in_the_way {
        return Err(refused(format!(
            "{} is there already, and is no folder: `--force` replaces it, `--output DIR` names another folder",
            clean(&path.display().to_string())
        )));
    }
    let there: Vec<Entry> = all
        .into_iter()
        .filter(|entry| entry.kind != EntryKind::Folder && into.join(&entry.path).symlink_metadata().is_ok())
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    // Compared with what the archive really holds, laid beside it for a moment.
    fs::create_dir_all(into)?;
    let beside = into.join(format!(".dstack-download-{run}-{}", std::process::id()));
    let unpacked = unpack(archive.reader()?, &beside, &Limits::default());
    let different: Vec<String> = there
        .iter()
        .filter(|entry| !is_same(&beside.join(&entry.path), &into.join(&entry.path)))
        .map(|entry| clean(&entry.path))
        .collect();
    fs::remove_dir_all(&beside)?;
    unpacked?;
    if different.is_empty() {
        return Ok(());
    }
    Err(refused(format!(
        "files that differ are there already ({}): `--force` overwrites them, `--output DIR` names another folder",
        some(&different)
    )))
}

/// What stands, below the folder, where a folder of this entry is to be and is none itself: a link to one is its user's.
fn no_folder(into: &Path, entry: &Entry) -> Option<PathBuf> {
    let path = Path::new(&entry.path);
    let itself = (entry.kind == EntryKind::Folder).then_some(path);
    let folders = itself.into_iter().chain(path.ancestors().skip(1)).filter(|folder| !folder.as_os_str().is_empty());
    let mut folders = folders.map(|folder| into.join(folder));
    folders.find(|folder| folder.symlink_metadata().is_ok_and(|facts| !facts.is_dir()))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let (Ok(first), Ok(second)) = (one.symlink_metadata(), other.symlink_metadata()) else { return false };
    if first.is_symlink() || second.is_symlink() {
        return first.is_symlink() && second.is_symlink() && fs::read_link(one).ok() == fs::read_link(other).ok();
    }
    first.len() == second.len()
        && second.is_file()
        && matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}
