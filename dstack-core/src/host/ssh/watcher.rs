//! Hears of changes on a runner, and what the runner hears of its own end, over a channel of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdin;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::client;
use super::ear::Ear;
use super::link::{Link, nonce, open};
use super::protocol::Mode;
use super::replies;
use crate::host::{Hearing, HostError};

/// How long the channel may take until it listens.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Counts what the runner's side tells, for as long as this value is there.
pub(super) struct Watcher {
    listening: JoinHandle<()>,
    socket: String,
    stdin: ChildStdin,
    /// Without an end when the channel has none any more.
    hearing: watch::Receiver<Option<Hearing>>,
    /// Whether the runner's side was told to listen.
    is_told: bool,
}

impl Watcher {
    /// Opens the channel. What changed before counts as a change.
    pub(super) async fn open(link: &Link, news: Arc<watch::Sender<u64>>, ear: Option<Ear>) -> Result<Self, HostError> {
        let mut client = client::channel(&link.keys, &link.target, &link.socket)?;
        let stdin = client.child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(client.child.stdout.take().expect("it is piped"));
        let mode = Mode::Watch(ear);
        let (stdin, mut stdout) = match timeout(OPEN_MAX, open(stdin, stdout, mode, &nonce())).await {
            Ok(Ok(ready)) => ready?,
            Ok(Err(error)) => return Err(client.failure(&error.to_string()).await),
            Err(_) => return Err(client.failure("it did not answer in time").await),
        };
        news.send_modify(|count| *count += 1);
        let (heard, hearing) = watch::channel(None);
        let listening = tokio::spawn(async move {
            // Its end is the end of what is heard, too.
            let (_client, heard) = (client, heard);
            while let Ok(line) = replies::any_line(&mut stdout).await {
                match (line.strip_prefix("ear "), ear) {
                    (Some(told), Some(ear)) => {
                        if let Some(hearing) = ear.understand(told) {
                            heard.send_replace(Some(hearing));
                        }
                    }
                    (Some(_), None) | (None, _) => news.send_modify(|count| *count += 1),
                }
            }
            news.send_modify(|count| *count += 1);
        });
        Ok(Self { listening, socket: link.socket.clone(), stdin, hearing, is_told: false })
    }

    /// Whether it still listens, to this connection.
    pub(super) fn is_of(&self, link: &Link) -> bool {
        !self.listening.is_finished() && self.socket == link.socket
    }

    /// What the runner hears of its own end. From the first call on it listens.
    pub(super) async fn hearing(&mut self) -> io::Result<watch::Receiver<Option<Hearing>>> {
        if !self.is_told {
            self.stdin.write_all(b"listen\n").await?;
            self.stdin.flush().await?;
            self.is_told = true;
        }
        Ok(self.hearing.clone())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
