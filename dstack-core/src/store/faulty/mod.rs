//! A log that fails as logs do, to order and by chance: for tests of one's own.

mod commit_fate;
mod faulty_store;
mod port;
mod shared;
mod store_faults;
#[cfg(test)]
mod tests;

pub use commit_fate::CommitFate;
pub use faulty_store::FaultyStore;
pub use shared::Acknowledged;
pub use store_faults::StoreFaults;
