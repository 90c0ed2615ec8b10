//! Files on their way to a runner and back, each over a channel of its own.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::client;
use super::link::{Link, nonce};
use super::protocol::{Mode, field, folder_name, opening};
use super::replies;
use crate::archive::{self, Limits};
use crate::blob::PayloadWriter;
use crate::host::{Contents, Fetched, HostError};
use crate::model::AttemptId;

/// Most that a login may print before the runner's side speaks, in bytes.
const GREETING_MAX_BYTES: u64 = 1024 * 1024;
/// Longest line that the runner's side sends before or after files, in bytes.
const LINE_MAX_BYTES: u64 = 64 * 1024;
/// The padding and the last line after a tar, in bytes at most.
const TRAILER_MAX_BYTES: u64 = 1024 * 1024;

/// Tells the scratch folders of this process apart.
static FOLDERS_SO_FAR: AtomicU64 = AtomicU64::new(0);

fn refused(error: impl std::fmt::Display) -> HostError {
    HostError::Refused(error.to_string())
}

fn broken(error: &io::Error) -> HostError {
    HostError::Unreachable(error.to_string())
}

/// Away from the event loop. When this future is dropped its channel is closed, and so the work ends, too.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    spawn_blocking(work).await.map_err(|error| HostError::Unreachable(error.to_string()))?
}

/// How far a transfer is, as far as its watcher has to know.
#[derive(Debug, Default)]
struct Moved {
    /// Grows with every piece that went through the channel.
    pieces: AtomicU64,
    /// The channel's part is over: the rest is this machine's own work.
    is_here: AtomicBool,
}

impl Moved {
    fn note(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }
}

/// A channel's end that tells when something goes through.
struct Watched<T> {
    inner: T,
    moved: Arc<Moved>,
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.moved.note();
        Ok(count)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.moved.note();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Carries on as long as something moves; nothing when it has stood still for `longest`.
async fn while_moving<T>(moved: &Moved, longest: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut before = moved.pieces.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = timeout(longest, &mut work).await {
            return Some(done);
        }
        let now = moved.pieces.load(Ordering::Relaxed);
        if now == before && !moved.is_here.load(Ordering::Relaxed) {
            return None;
        }
        before = now;
    }
}

fn stalled(longest: Duration) -> String {
    format!("its files have not moved for {} seconds", longest.as_secs())
}

/// Lays the contents into an attempt's folder: they are sent as one tar, and placed when its last entry has come.
pub(super) async fn stage(
    link: &Link,
    attempt: AttemptId,
    contents: &Contents,
    longest_stall: Duration,
) -> Result<(), HostError> {
    let moved = Arc::new(Moved::default());
    let mut client = client::channel(&link.keys, &link.target, &link.socket)?;
    let mut stdin = client.child.stdin.take().expect("it is piped");
    let mut stdout = tokio::io::BufReader::new(client.child.stdout.take().expect("it is piped"));
    let nonce = nonce();
    let mut request = opening(Mode::Stage, &nonce);
    field(&mut request, &folder_name(attempt))?;
    let asked = async {
        stdin.write_all(&request).await?;
        replies::marked_line(&mut stdout, &nonce).await
    };
    let Some(asked) = while_moving(&moved, longest_stall, asked).await else {
        return Err(client.failure(&stalled(longest_stall)).await);
    };
    let packing = match asked {
        Ok(word) => match word.strip_prefix("ready ") {
            Some("zstd") => Packing::Zstd,
            Some(_) => Packing::Plain,
            None => return staged(&word),
        },
        Err(error) => return Err(client.failure(&error.to_string()).await),
    };
    let pipe = File::from(stdin.into_owned_fd().map_err(|error| broken(&error))?);
    let contents = contents.clone();
    let below = PathBuf::from(format!(".dstack-{nonce}"));
    let pipe = Watched { inner: pipe, moved: Arc::clone(&moved) };
    let sending = apart(move || send(&contents, &below, packing, pipe));
    // It may answer before all is sent, when its disk is full.
    let both = futures::future::join(sending, replies::marked_line(&mut stdout, &nonce));
    let Some((sent, answer)) = while_moving(&moved, longest_stall, both).await else {
        return Err(client.failure(&stalled(longest_stall)).await);
    };
    match (sent, answer) {
        (Err(refused @ HostError::Refused(_)), _) => Err(refused),
        (Ok(()) | Err(_), Ok(word)) => staged(&word),
        (Ok(()) | Err(_), Err(error)) => Err(client.failure(&error.to_string()).await),
    }
}

fn staged(word: &str) -> Result<(), HostError> {
    match word {
        "done" => Ok(()),
        other => Err(refused(other.strip_prefix("refused ").unwrap_or("it answers something else than it was asked"))),
    }
}

/// How the runner wants what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Zstd,
    Plain,
}

/// An archive that is not allowed is refused; where the channel ends, its answer tells why.
fn send(contents: &Contents, below: &Path, packing: Packing, pipe: impl Write) -> Result<(), HostError> {
    let out = BufWriter::with_capacity(64 * 1024, pipe);
    let mut out = match packing {
        Packing::Plain => send_tar(contents, below, out)?,
        Packing::Zstd => {
            let encoder = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(refused)?;
            send_tar(contents, below, encoder)?.finish().map_err(|error| broken(&error))?
        }
    };
    out.flush().map_err(|error| broken(&error))
}

fn send_tar<W: Write>(contents: &Contents, below: &Path, out: W) -> Result<W, HostError> {
    let mut tar = tar::Builder::new(out);
    let empty = |kind| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(0);
        header
    };
    tar.append_data(&mut empty(tar::EntryType::Directory), below, io::empty()).map_err(|error| broken(&error))?;
    for archive in &contents.archives {
        let bytes = archive.reader().map_err(refused)?;
        archive::replay(bytes, &Limits::default(), below, &mut tar).map_err(|error| match error {
            archive::ArchiveError::Io { source, .. } => broken(&source),
            other => refused(other),
        })?;
    }
    tar.append_data(&mut empty(tar::EntryType::Regular), "complete", io::empty()).map_err(|error| broken(&error))?;
    tar.into_inner().map_err(|error| broken(&error))
}

/// A declared artifact's files: they come as a plain tar, are unpacked in a folder of ours, and packed from there.
pub(super) async fn fetch(
    link: &Link,
    attempt: AttemptId,
    path: &str,
    longest_stall: Duration,
) -> Result<Fetched, HostError> {
    let relative = PathBuf::from(path);
    let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_inside || relative.file_name().is_none() {
        let why = format!("{path:?} is not a path inside the attempt's folder");
        return Ok(Fetched { unreadable: Some(why), ..Fetched::default() });
    }
    let mut client = client::channel(&link.keys, &link.target, &link.socket)?;
    let stdin = client.child.stdin.take().expect("it is piped").into_owned_fd().map_err(|error| broken(&error))?;
    let stdout = client.child.stdout.take().expect("it is piped").into_owned_fd().map_err(|error| broken(&error))?;
    let nonce = nonce();
    let mut request = opening(Mode::Fetch, &nonce);
    field(&mut request, &folder_name(attempt))?;
    field(&mut request, path)?;
    let scratch = Scratch::new(&link.keys.join("scratch")).map_err(refused)?;
    let moved = Arc::new(Moved::default());
    let from = Watched { inner: File::from(stdout), moved: Arc::clone(&moved) };
    let fetched = apart(move || {
        let mut stdin = File::from(stdin);
        stdin.write_all(&request).map_err(|error| broken(&error))?;
        let moved = Arc::clone(&from.moved);
        receive(BufReader::with_capacity(64 * 1024, from), attempt, &nonce, &relative, &scratch, &moved)
    });
    match while_moving(&moved, longest_stall, fetched).await {
        Some(Err(HostError::Unreachable(why))) => Err(client.failure(&why).await),
        Some(other) => other,
        None => Err(client.failure(&stalled(longest_stall)).await),
    }
}

fn receive(
    mut from: BufReader<Watched<File>>,
    attempt: AttemptId,
    nonce: &str,
    relative: &Path,
    scratch: &Scratch,
    moved: &Moved,
) -> Result<Fetched, HostError> {
    let nothing = |left_behind| Ok(Fetched { left_behind, ..Fetched::default() });
    let unreadable = |why: String| Ok(Fetched { unreadable: Some(why), ..Fetched::default() });
    let answer = marked_line(&mut from, nonce, GREETING_MAX_BYTES)?;
    let is_folder = match answer.as_str() {
        "unknown" => return Err(HostError::UnknownAttempt(attempt)),
        "absent" => return nothing(Vec::new()),
        "outside" => return nothing(vec![relative.display().to_string()]),
        "folder" => true,
        "file" => false,
        other => return Err(refused(other.strip_prefix("refused ").unwrap_or("it answers something else"))),
    };
    let length: u64 = line(&mut from, LINE_MAX_BYTES)?.parse().map_err(|_| refused("it names no length"))?;
    if length > LINE_MAX_BYTES {
        return Err(refused("its folder's path is too long"));
    }
    let mut base = Vec::new();
    from.by_ref().take(length).read_to_end(&mut base).map_err(|error| broken(&error))?;
    let base = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(base));
    let work = scratch.0.join("work");
    let place = work.join(relative);
    let into = if is_folder { place.clone() } else { scratch.0.join("one") };
    fs::create_dir_all(if is_folder { &place } else { place.parent().unwrap_or(&work) }).map_err(refused)?;
    fs::create_dir_all(&into).map_err(refused)?;
    let carried = match archive::unpack_plain(from, &into, &Limits::default(), (&base, &work)) {
        Ok(carried) => carried,
        Err(archive::ArchiveError::Damaged(error)) => return Err(broken(&error)),
        Err(error @ archive::ArchiveError::Io { .. }) => return Err(refused(error)),
        Err(error) => return unreadable(error.to_string()),
    };
    let problem = problem_at_end(carried.rest, nonce)?;
    moved.is_here.store(true, Ordering::Relaxed);
    if !is_folder {
        let only = fs::read_dir(&into).map_err(refused)?.next().ok_or_else(|| refused("the file did not come"))?;
        fs::rename(only.map_err(refused)?.path(), &place).map_err(refused)?;
    }
    let out = PayloadWriter::new(scratch.0.parent().unwrap_or(&scratch.0));
    let packed = archive::pack_path_into(&work, relative, out).map_err(refused)?;
    let Some(packed) = packed else { return Ok(Fetched { unreadable: problem, ..Fetched::default() }) };
    let mut left_behind = packed.left_behind;
    left_behind.extend(carried.left_behind.iter().map(|name| relative.join(name).display().to_string()));
    left_behind.sort_unstable();
    let archive = if packed.entries == 0 { None } else { Some(packed.bytes.finish().map_err(refused)?) };
    Ok(Fetched { archive, left_behind, unreadable: problem })
}

/// What GNU tar says, in the C locale, of files that changed while it read them.
const CHANGED: [&str; 3] = ["file changed as we read it", "File removed before we read it", "File shrank by"];

/// The tar is whole only with the line that says that whoever packed it was content; else that line says what was wrong.
fn problem_at_end(rest: impl Read, nonce: &str) -> Result<Option<String>, HostError> {
    let mut bytes = Vec::new();
    rest.take(TRAILER_MAX_BYTES).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches('\0').trim_start_matches('\n');
    let end = text.strip_prefix(nonce).and_then(|rest| rest.strip_prefix(" end ")).map(|rest| rest.trim_end());
    match end.and_then(|end| end.split_once(' ').or(Some((end, "")))) {
        Some(("0", _)) => Ok(None),
        // What changes while it is read comes as it was then, as from any copy.
        Some(("1", problem)) if CHANGED.iter().any(|words| problem.contains(words)) => Ok(None),
        // Other numbers are tar's own; above 128 it was killed, as its machine is when that ends.
        Some((status, problem)) if status.parse().is_ok_and(|status: u8| status < 128) => Ok(Some(problem.to_owned())),
        Some(_) | None => Err(HostError::Unreachable("the files did not arrive whole".to_owned())),
    }
}

fn line(from: &mut impl BufRead, most: u64) -> Result<String, HostError> {
    let mut bytes = Vec::new();
    from.take(most).read_until(b'\n', &mut bytes).map_err(|error| broken(&error))?;
    if bytes.pop() != Some(b'\n') {
        return Err(broken(&io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn marked_line(from: &mut impl BufRead, nonce: &str, most: u64) -> Result<String, HostError> {
    let mut rest = most;
    loop {
        let line = line(from, rest)?;
        if let Some(answer) = line.strip_prefix(nonce).and_then(|rest| rest.strip_prefix(' ')) {
            return Ok(answer.to_owned());
        }
        rest = rest.saturating_sub(line.len() as u64 + 1);
    }
}

/// A folder for its owner alone that goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> io::Result<Self> {
        let number = FOLDERS_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-fetched-{number}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // One that stays is found by its name.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    const LONGEST: Duration = Duration::from_millis(50);

    async fn passes(length: Duration) {
        SystemClock.sleep_until(SystemClock.boot().plus(length)).await;
    }

    #[test]
    fn what_moves_is_waited_for_and_what_stands_still_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be made");
        runtime.block_on(async {
            let moved = Moved::default();
            let moving = async {
                for _ in 0..10 {
                    passes(LONGEST / 2).await;
                    moved.note();
                }
                7
            };
            assert_eq!(while_moving(&moved, LONGEST, moving).await, Some(7));
            assert_eq!(while_moving(&moved, LONGEST, std::future::pending::<()>()).await, None);
            moved.is_here.store(true, Ordering::Relaxed);
            let at_home = passes(LONGEST * 4);
            assert_eq!(while_moving(&moved, LONGEST, at_home).await, Some(()), "this machine's own work has no bound");
        });
    }
}
