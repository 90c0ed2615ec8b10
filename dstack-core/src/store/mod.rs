//! The append-only log: the port, its laws, and its implementations.

mod event_store;
#[cfg(any(test, feature = "testkit"))]
mod faulty;
#[cfg(any(test, feature = "testkit"))]
mod held_laws;
#[cfg(any(test, feature = "testkit"))]
pub mod laws;
mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use event_store::{AppendError, Appended, EventStore, Head, Past, PastId, RunRow, Snapshot, StoreError};
#[cfg(any(test, feature = "testkit"))]
pub use faulty::{Acknowledged, CommitFate, FaultyStore, StoreFaults};
pub use memory::MemoryStore;
