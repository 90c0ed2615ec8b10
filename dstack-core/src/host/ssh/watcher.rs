//! Hears of changes on a runner over a channel of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::client;
use super::link::{Link, nonce, open};
use super::protocol::Mode;
use super::replies;
use crate::host::HostError;

/// How long the channel may take until it listens.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Counts what the runner's side tells, for as long as this value is there.
pub(super) struct Watcher {
    listening: JoinHandle<()>,
    socket: String,
}

impl Watcher {
    /// Opens the channel. What changed before counts as a change.
    pub(super) async fn open(link: &Link, news: Arc<watch::Sender<u64>>) -> Result<Self, HostError> {
        let mut client = client::channel(&link.keys, &link.target, &link.socket)?;
        let stdin = client.child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(client.child.stdout.take().expect("it is piped"));
        let (stdin, mut stdout) = match timeout(OPEN_MAX, open(stdin, stdout, Mode::Watch, &nonce())).await {
            Ok(Ok(ready)) => ready?,
            Ok(Err(error)) => return Err(client.failure(&error.to_string()).await),
            Err(_) => return Err(client.failure("it did not answer in time").await),
        };
        news.send_modify(|count| *count += 1);
        let listening = tokio::spawn(async move {
            let (_client, _stdin) = (client, stdin);
            while replies::any_line(&mut stdout).await.is_ok() {
                news.send_modify(|count| *count += 1);
            }
            news.send_modify(|count| *count += 1);
        });
        Ok(Self { listening, socket: link.socket.clone() })
    }

    /// Whether it still listens, to this connection.
    pub(super) fn is_of(&self, link: &Link) -> bool {
        !self.listening.is_finished() && self.socket == link.socket
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
