//! What the runner's side answers. It is data from a machine that others use: every length has a bound.

use std::io;
use std::time::Duration;

use bytes::Bytes as Buffer;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::time::timeout;

use crate::host::{Polled, Progress};
use crate::model::attempt::{STOPPED_CODE, TIMEOUT_CODE};
use crate::model::{Exit, ExitCause};

/// Longest line of an answer, in bytes.
const LINE_MAX_BYTES: u64 = 64 * 1024;
/// Most that a login may print before the runner's side speaks, in lines.
const GREETING_MAX_LINES: usize = 10_000;
/// How long an answer, or the rest of it, may stay away.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(45);

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// One line.
    Word,
    /// So many standings.
    Standings(usize),
}

/// How far an attempt is, with its output from the asked offset on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) progress: Progress,
    pub(super) output: Buffer,
    pub(super) has_more: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Word(String),
    Standings(Vec<Standing>),
}

pub(super) fn not_understood(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it answers something else than it was asked ({what})"))
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(SILENCE_MAX, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")))
}

/// The next line without its end, which must come in time.
pub(super) async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    in_time(any_line(from)).await
}

/// The next line without its end, whenever it comes.
pub(super) async fn any_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LINE_MAX_BYTES).read_until(b'\n', &mut bytes).await?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line that carries the nonce, without it. What a login prints before is left aside.
pub(super) async fn marked_line(from: &mut (impl AsyncBufRead + Unpin), nonce: &str) -> io::Result<String> {
    for _ in 0..GREETING_MAX_LINES {
        let line = any_line(from).await?;
        if let Some(rest) = line.strip_prefix(nonce).and_then(|rest| rest.strip_prefix(' ')) {
            return Ok(rest.to_owned());
        }
    }
    Err(not_understood("greeting"))
}

/// Reads one answer to its end.
pub(super) async fn reply(from: &mut (impl AsyncBufRead + Unpin), expected: Expected) -> io::Result<Reply> {
    let reply = match expected {
        Expected::Word => Reply::Word(line(from).await?),
        Expected::Standings(count) => {
            let mut standings = Vec::with_capacity(count);
            for _ in 0..count {
                standings.push(standing(from).await?);
            }
            Reply::Standings(standings)
        }
    };
    match line(from).await?.as_str() {
        "." => Ok(reply),
        _ => Err(not_understood("end")),
    }
}

async fn standing(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Standing> {
    let header = line(from).await?;
    let words: Vec<&str> = header.split(' ').collect();
    let [progress, code, cause, length, more] = words[..] else { return Err(not_understood("standing")) };
    let length: usize = length.parse().map_err(|_| not_understood("length"))?;
    if length > Polled::MAX_CHUNK {
        return Err(not_understood("length"));
    }
    let progress = match progress {
        "staged" => Progress::Staged,
        "running" => Progress::Running,
        "never-begun" => Progress::NeverBegun,
        "lost" => Progress::Lost,
        "exited" => Progress::Exited(exit(code, cause).ok_or_else(|| not_understood("exit"))?),
        _ => return Err(not_understood("progress")),
    };
    let mut output = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match in_time(from.read(&mut output[filled..])).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    match line(from).await?.as_str() {
        "" => Ok(Standing { progress, output: output.into(), has_more: more == "1" && length > 0 }),
        _ => Err(not_understood("output")),
    }
}

/// An exit as the runner wrote it down.
fn exit(code: &str, cause: &str) -> Option<Exit> {
    let code: u8 = code.parse().ok()?;
    Some(match cause {
        "exited" => Exit::exited(code),
        "signal" => Exit::signal(code.checked_sub(128)?),
        "stopped" => Exit { code: STOPPED_CODE, cause: ExitCause::Stopped },
        "timeout" => Exit { code: TIMEOUT_CODE, cause: ExitCause::Timeout },
        "out-of-memory" => Exit { cause: ExitCause::OutOfMemory, ..Exit::signal(9) },
        "not-started" => Exit { code, cause: ExitCause::NotStarted },
        _ => return None,
    })
}
