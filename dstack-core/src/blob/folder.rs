//! Stored bytes as files.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use tokio::task::spawn_blocking;

use super::{BlobError, BlobStore, OutputStore, Payload, PayloadWriter, TimeNote};
use crate::model::{At, AttemptId, BlobId};

/// Tells temporary files of this process apart.
static WRITTEN_SO_FAR: AtomicU64 = AtomicU64::new(0);
/// Reads and writes up to that many bytes stay on their thread.
const SHORT_BYTES: usize = 64 * 1024;

fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BlobError {
    BlobError::Unreachable(error.into())
}

fn make_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    spawn_blocking(work).await.map_err(unreachable)?
}

/// Blobs as files below one folder, each at its hash: `ab/cdef…`.
///
/// A blob takes its name only when all of it is on the disk, so what has a name is whole. Files are for their owner alone.
#[derive(Debug, Clone)]
pub struct BlobFolder {
    root: PathBuf,
}

impl BlobFolder {
    /// Blobs below `root`, which is made with the first of them.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Writes a payload that is to become one of these blobs.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn writer(&self) -> io::Result<PayloadWriter> {
        make_folders(&self.root)?;
        Ok(PayloadWriter::new(&self.root))
    }

    fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        let (first, rest) = name.split_at(2);
        self.root.join(first).join(rest)
    }
}

fn put(path: &Path, payload: &Payload, id: BlobId) -> io::Result<()> {
    // What is there is whole; what is there and damaged is written anew.
    if fs::metadata(path).is_ok_and(|facts| facts.len() == payload.len()) && Payload::file(path.to_owned())?.id()? == id
    {
        return Ok(());
    }
    let folder = path.parent().ok_or_else(|| io::Error::other("a blob's file has a folder"))?;
    make_folders(folder)?;
    let number = WRITTEN_SO_FAR.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".new-{}-{number}", std::process::id()));
    let written = write_synced(&temporary, payload).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()?;
    // The folder itself may be new too.
    folder.parent().map_or(Ok(()), |root| File::open(root)?.sync_all())
}

/// What is small is read at once; what is not stays in its file.
fn get(path: PathBuf) -> io::Result<Payload> {
    let payload = Payload::file(path)?;
    if payload.len() <= SHORT_BYTES as u64 { payload.bytes().map(Payload::from) } else { Ok(payload) }
}

fn write_synced(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::copy(&mut payload.reader()?, &mut file)?;
    file.sync_all()
}

#[async_trait]
impl BlobStore for BlobFolder {
    async fn put(&self, payload: Payload) -> Result<BlobId, BlobError> {
        let folder = self.clone();
        apart(move || {
            let id = payload.id()?;
            put(&folder.path(id), &payload, id)?;
            Ok(id)
        })
        .await
    }

    async fn get(&self, id: BlobId) -> Result<Payload, BlobError> {
        let path = self.path(id);
        apart(move || match get(path) {
            Ok(payload) if payload.id()? == id => Ok(payload),
            Ok(_) => Err(BlobError::Damaged(id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Missing(id)),
            Err(error) => Err(error.into()),
        })
        .await
    }
}

/// Output as files below one folder, one for each attempt that printed something: `RUN/INDEX-NUMBER`. Beside it, for one
/// that printed for long, stands when how much of it had come: `RUN/INDEX-NUMBER.times`.
///
/// A file is only ever longer by what continues it, so its length is what is kept without a hole.
#[derive(Debug, Clone)]
pub struct OutputFolder {
    root: PathBuf,
}

impl OutputFolder {
    /// Output below `root`, which is made with the first of it.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        let AttemptId { workflow, number } = attempt;
        self.root.join(workflow.run.to_string()).join(format!("{}-{number}", workflow.index))
    }

    fn times(&self, attempt: AttemptId) -> PathBuf {
        self.path(attempt).with_extension("times")
    }
}

/// One line a note: microseconds and bytes.
fn mark(path: &Path, at: At, length: u64) -> io::Result<()> {
    path.parent().map_or(Ok(()), make_folders)?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(TimeNote { at, length }.to_string().as_bytes())
}

fn length_at(path: &Path, at: At) -> io::Result<u64> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    Ok(TimeNote::all(&text).rfind(|note| note.at <= at).map_or(0, |note| note.length))
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(facts) => Ok(facts.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Writes what continues the file. What comes before its time is not taken: its writer asks for the length and sends it
/// again.
fn write(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() || offset > length(path)? {
        return Ok(());
    }
    let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), make_folders)?;
            open()?
        }
        other => other?,
    };
    file.write_all_at(bytes, offset)
}

fn read(path: &Path, offset: u64, limit: usize) -> io::Result<Buffer> {
    let Some(file) = open_if_there(path)? else { return Ok(Buffer::new()) };
    let rest = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; limit.min(usize::try_from(rest).unwrap_or(usize::MAX))];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

#[async_trait]
impl OutputStore for OutputFolder {
    async fn write(&self, attempt: AttemptId, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        let path = self.path(attempt);
        if bytes.len() <= SHORT_BYTES {
            return write(&path, offset, bytes).map_err(unreachable);
        }
        let bytes = bytes.to_vec();
        apart(move || write(&path, offset, &bytes).map_err(unreachable)).await
    }

    async fn length(&self, attempt: AttemptId) -> Result<u64, BlobError> {
        length(&self.path(attempt)).map_err(unreachable)
    }

    async fn mark(&self, attempt: AttemptId, at: At, length: u64) -> Result<(), BlobError> {
        Ok(mark(&self.times(attempt), at, length)?)
    }

    async fn length_at(&self, attempt: AttemptId, at: At) -> Result<u64, BlobError> {
        Ok(length_at(&self.times(attempt), at)?)
    }

    async fn read(&self, attempt: AttemptId, offset: u64, limit: usize) -> Result<Buffer, BlobError> {
        let path = self.path(attempt);
        if limit <= SHORT_BYTES {
            return read(&path, offset, limit).map_err(unreachable);
        }
        apart(move || read(&path, offset, limit).map_err(unreachable)).await
    }

    /// Once its end is in the log nobody asks the runner for it again: a power cut must not take it then.
    async fn finish(&self, attempt: AttemptId) -> Result<(), BlobError> {
        match open_if_there(&self.path(attempt)).map_err(unreachable)? {
            Some(file) => apart(move || file.sync_data().map_err(unreachable)).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::blob::laws::{BlobLaw, OutputLaw};
    use crate::model::{RunId, WorkflowId};

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made").block_on(work)
    }

    fn drive_blobs(law: BlobLaw) {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        block_on(law(&BlobFolder::new(root.path().join("blobs"))));
    }

    fn drive_output(law: OutputLaw) {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        block_on(law(&OutputFolder::new(root.path().join("output"))));
    }

    crate::blob_laws!(drive_blobs);
    crate::output_laws!(drive_output);

    #[test]
    fn damaged_blobs_are_noticed_and_a_new_put_heals_them() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let blobs = BlobFolder::new(root.path().to_owned());
        let content = Buffer::from_static(b"content");
        let id = block_on(blobs.put(content.clone().into())).expect("put");
        for damage in [&b"contenT"[..], b"conten", b""] {
            fs::write(blobs.path(id), damage).expect("damaged");
            assert!(matches!(block_on(blobs.get(id)), Err(BlobError::Damaged(damaged)) if damaged == id));
            block_on(blobs.put(content.clone().into())).expect("put again");
            assert_eq!(block_on(blobs.get(id)).expect("healed").bytes().expect("healed"), content);
        }
    }

    #[test]
    fn a_blob_is_one_file_for_its_owner_alone_and_nothing_else_stays() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let blobs = BlobFolder::new(root.path().to_owned());
        let id = block_on(blobs.put(Buffer::from_static(b"content").into())).expect("put");
        assert_eq!(fs::metadata(blobs.path(id)).expect("there").permissions().mode() & 0o777, 0o600);
        let folder = blobs.path(id).parent().expect("it has one").to_owned();
        assert_eq!(fs::read_dir(folder).expect("read").count(), 1);
    }

    #[test]
    fn no_output_makes_no_file() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let output = OutputFolder::new(root.path().to_owned());
        let attempt = AttemptId { workflow: WorkflowId { run: RunId::from_bits(1), index: 0 }, number: 1 };
        block_on(output.write(attempt, 0, b"")).expect("nothing to do");
        block_on(output.write(attempt, 5, b"early")).expect("not taken");
        assert_eq!(fs::read_dir(root.path()).expect("read").count(), 0);
    }
}
