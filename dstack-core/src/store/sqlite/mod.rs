//! The log in one SQLite file, for any number of processes of one machine.

mod store;

mod append;
mod connection;
mod database;
mod filesystem;
mod head;
mod kinds;
mod past;
mod read;
mod runs;
mod schema;
mod snapshot;
mod turn;
mod verify;
mod wake;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use connection::FILE as LOG_FILE;
pub use store::SqliteStore;
pub use wake::Waking;
