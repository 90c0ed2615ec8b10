//! The laws, on logs in one file, by both ways of waking, with and without a thread.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::store::EventStore;
use crate::store::laws::LogMaker;
use crate::store::sqlite::{SqliteStore, Waking};

struct Maker {
    home: TempDir,
    waking: Waking,
    is_inline: bool,
}

impl Maker {
    fn new(waking: Waking) -> Self {
        Self { home: TempDir::new().expect("a folder can be made"), waking, is_inline: false }
    }

    fn inline(waking: Waking) -> Self {
        Self { is_inline: true, ..Self::new(waking) }
    }
}

#[async_trait]
impl LogMaker for Maker {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
        let open = if self.is_inline { SqliteStore::open_inline } else { SqliteStore::open_with };
        let store = open(&self.home.path().join("home"), clock, self.waking);
        Arc::new(store.expect("the log opens"))
    }
}

mod told_by_a_socket {
    use super::*;
    crate::event_store_laws!(Maker::new(Waking::Socket));
}

mod polling {
    use super::*;
    crate::event_store_laws!(Maker::new(Waking::Poll(Duration::from_millis(1))));
}

mod inline {
    use super::*;
    crate::event_store_laws!(Maker::inline(Waking::Socket));
}
