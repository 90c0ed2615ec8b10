//! Bytes on their way between a blob store and a runner.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Cursor, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes as Buffer;
use sha2::{Digest, Sha256};

use crate::model::BlobId;

/// Tells temporary files of this process apart.
static WRITTEN_SO_FAR: AtomicU64 = AtomicU64::new(0);
/// Payloads up to this many bytes stay in memory.
const IN_MEMORY_BYTES: usize = 1024 * 1024;

/// Bytes in memory, or in a file where they are too many for it. Clones share them.
#[derive(Debug, Clone)]
pub struct Payload(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Memory(Buffer),
    File(Arc<PayloadFile>),
}

#[derive(Debug)]
struct PayloadFile {
    path: PathBuf,
    length: u64,
    is_temporary: bool,
}

impl Drop for PayloadFile {
    fn drop(&mut self) {
        if self.is_temporary {
            // One that is left is found by the folder's owner: its name says that it is temporary.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Payload {
    /// What a file holds, which stays where it is and must not change meanwhile.
    ///
    /// # Errors
    /// When its length cannot be read.
    pub fn file(path: PathBuf) -> io::Result<Self> {
        let length = fs::metadata(&path)?.len();
        Ok(Self(Inner::File(Arc::new(PayloadFile { path, length, is_temporary: false }))))
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Inner::Memory(bytes) => bytes.len() as u64,
            Inner::File(file) => file.length,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from the first on; reading a file blocks.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reader(&self) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match &self.0 {
            Inner::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
            Inner::File(file) => Box::new(BufReader::with_capacity(64 * 1024, File::open(&file.path)?)),
        })
    }

    /// All of it in memory: for what is known to be small.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bytes(&self) -> io::Result<Buffer> {
        match &self.0 {
            Inner::Memory(bytes) => Ok(bytes.clone()),
            Inner::File(file) => fs::read(&file.path).map(Buffer::from),
        }
    }

    /// The bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&Buffer> {
        match &self.0 {
            Inner::Memory(bytes) => Some(bytes),
            Inner::File(_) => None,
        }
    }

    /// The address of the bytes: their SHA-256.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn id(&self) -> io::Result<BlobId> {
        let mut hash = Hash(Sha256::new());
        io::copy(&mut self.reader()?, &mut hash)?;
        Ok(BlobId(hash.0.finalize().into()))
    }
}

impl From<Buffer> for Payload {
    fn from(bytes: Buffer) -> Self {
        Self(Inner::Memory(bytes))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Buffer::from(bytes))
    }
}

/// Makes a hash of what is written.
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a payload: in memory while it is small, then in a file of its own below a folder. The file is for its owner
/// alone, and goes with the payload.
#[derive(Debug)]
pub struct PayloadWriter {
    folder: PathBuf,
    bytes: Vec<u8>,
    spilled: Option<(File, PayloadFile)>,
}

impl PayloadWriter {
    /// A writer that uses this folder, which must be there, once it needs a file.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), bytes: Vec::new(), spilled: None }
    }

    /// What was written.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<Payload> {
        Ok(Payload(match self.spilled.take() {
            None => Inner::Memory(self.bytes.into()),
            Some((mut file, facts)) => {
                file.flush()?;
                Inner::File(Arc::new(facts))
            }
        }))
    }

    fn spill(&mut self) -> io::Result<(File, PayloadFile)> {
        let number = WRITTEN_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!(".payload-{}-{number}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let facts = PayloadFile { path, length: self.bytes.len() as u64, is_temporary: true };
        file.write_all(&self.bytes)?;
        self.bytes = Vec::new();
        Ok((file, facts))
    }
}

impl Write for PayloadWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.spilled.is_none() {
            if self.bytes.len() + bytes.len() <= IN_MEMORY_BYTES {
                self.bytes.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            self.spilled = Some(self.spill()?);
        }
        let Some((file, facts)) = self.spilled.as_mut() else { return Ok(0) };
        let written = file.write(bytes)?;
        facts.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spilled.as_mut().map_or(Ok(()), |(file, _)| file.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::blob::blob_id;

    fn names(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).expect("it can be read").map(|entry| entry.expect("it can be read").path()).collect()
    }

    #[test]
    fn a_small_payload_makes_no_file() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut writer = PayloadWriter::new(folder.path());
        writer.write_all(&vec![7; IN_MEMORY_BYTES]).expect("it is memory");
        let payload = writer.finish().expect("it is memory");
        assert_eq!(payload.len(), IN_MEMORY_BYTES as u64);
        assert_eq!(payload.in_memory().map(|bytes| bytes.len()), Some(IN_MEMORY_BYTES));
        assert_eq!(names(folder.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_large_payload_is_a_file_for_its_owner_that_goes_with_the_last_clone() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let content: Vec<u8> = (0..3_000_000_u32).map(|place| (place % 251) as u8).collect();
        let mut writer = PayloadWriter::new(folder.path());
        for piece in content.chunks(100_001) {
            writer.write_all(piece).expect("there is room");
        }
        let payload = writer.finish().expect("there is room");
        let clone = payload.clone();
        drop(payload);
        let names = names(folder.path());
        assert_eq!(names.len(), 1);
        assert_eq!(fs::metadata(&names[0]).expect("there").permissions().mode() & 0o777, 0o600);
        let mut read = Vec::new();
        clone.reader().expect("it is there").read_to_end(&mut read).expect("it is there");
        assert!(read == content && clone.bytes().expect("it is there") == content);
        assert_eq!((clone.len(), clone.id().expect("it is there")), (content.len() as u64, blob_id(&content)));
        drop(clone);
        assert!(!names[0].exists());
    }

    #[test]
    fn a_writer_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut writer = PayloadWriter::new(folder.path());
        writer.write_all(&vec![7; IN_MEMORY_BYTES + 1]).expect("there is room");
        assert_eq!(names(folder.path()).len(), 1);
        drop(writer);
        assert_eq!(names(folder.path()), Vec::<PathBuf>::new());
    }
}
