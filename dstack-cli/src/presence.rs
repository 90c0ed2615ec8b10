//! Whether the home is still where it was.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::task::Poll;
use std::time::Duration;

use dstack_core::home::Home;

use crate::failure::{Failure, refused};

/// How often it is looked where nothing else is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A home as it was found. Whoever works on would make it anew, with none of what was in it.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    home: PathBuf,
    log: PathBuf,
    /// Device and number of the log's file; nothing where there is none.
    seen: Option<(u64, u64)>,
}

impl Presence {
    /// The home as it is now.
    pub(crate) fn of(home: &Home) -> Self {
        let mut presence = Self { home: home.path().to_owned(), log: home.log_path(), seen: None };
        presence.seen = presence.now().ok().flatten();
        presence
    }

    /// The home of a log that was just opened.
    ///
    /// # Errors
    /// When it is gone already.
    pub(crate) fn of_open(home: &Home) -> Result<Self, Failure> {
        let presence = Self::of(home);
        if presence.seen.is_some() { Ok(presence) } else { Err(gone(home.path())) }
    }

    /// Fails once the log is no longer where it was.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.now() {
            Ok(now) if self.seen.is_some() && now != self.seen => Err(gone(&self.home)),
            // What cannot be told is no proof.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Waits until it is gone.
    pub(crate) async fn lost(&self) -> Failure {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        std::future::poll_fn(|context| {
            // At each turn, before anything else is done in it.
            if let Err(failure) = self.check() {
                return Poll::Ready(failure);
            }
            while looks.poll_tick(context).is_ready() {}
            Poll::Pending
        })
        .await
    }

    fn now(&self) -> std::io::Result<Option<(u64, u64)>> {
        match fs::metadata(&self.log) {
            Ok(facts) => Ok(Some((facts.dev(), facts.ino()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The line where a home is gone.
pub(crate) fn gone(home: &std::path::Path) -> Failure {
    refused(format!(
        "{} was removed or moved: nothing goes on with what was in it, and what ran on this machine for it ends; machines \
         of a cloud that it had live on until their own limits: end them there",
        home.display()
    ))
}
