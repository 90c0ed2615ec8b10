//! Notices that running attempts print, for those who follow them. Exits do not depend on it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// How long output may wait until its followers hear of it: an attempt that is over sooner needs no word of its own.
const GATHERED: Duration = Duration::from_millis(10);
/// How long they are then left alone, however much is printed.
const PAUSE: Duration = Duration::from_millis(90);

/// Registers a descriptor with the event loop.
pub(crate) fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(deprecated, reason = "its successor is unsafe; an owned descriptor keeps the promise that it asks for")]
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

/// The files to which running attempts print.
pub(crate) struct OutputWatch {
    events: AsyncFd<OwnedFd>,
    running: RefCell<BTreeSet<i32>>,
}

impl OutputWatch {
    pub(crate) fn new() -> io::Result<Self> {
        let events = register(init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)?;
        Ok(Self { events, running: RefCell::default() })
    }

    /// Watches a file from here on; `None` where the system has no more watches to give.
    pub(crate) fn add(&self, output: &Path) -> Option<i32> {
        let watch = add_watch(self.events.get_ref(), output, WatchFlags::MODIFY).ok()?;
        self.running.borrow_mut().insert(watch);
        Some(watch)
    }

    /// Ends a watch.
    pub(crate) fn remove(&self, watch: i32) {
        if self.running.borrow_mut().remove(&watch) {
            // Fails when the file is gone, and the watch with it.
            let _ = remove_watch(self.events.get_ref(), watch);
        }
    }

    /// Returns when an attempt that still runs has printed something.
    #[expect(clippy::disallowed_methods, reason = "the supervisor is a process of its own and paces its own news")]
    pub(crate) async fn printed(&self) -> io::Result<()> {
        loop {
            let mut guard = self.events.readable().await?;
            tokio::time::sleep(GATHERED).await;
            let is_news = self.drain();
            guard.clear_ready_matching(Ready::READABLE);
            drop(guard);
            if is_news {
                tokio::time::sleep(PAUSE).await;
                return Ok(());
            }
        }
    }

    /// Takes all events there are; whether one was of a file that is still watched.
    fn drain(&self) -> bool {
        let running = self.running.borrow();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.events.get_ref(), &mut buffer);
        let mut is_news = false;
        while let Ok(event) = reader.next() {
            is_news |= event.events().contains(ReadFlags::MODIFY) && running.contains(&event.wd());
        }
        is_news
    }
}
