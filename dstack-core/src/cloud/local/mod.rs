//! Machines that are folders and processes here.

mod folders;
mod local_cloud;

#[cfg(test)]
mod tests;

pub use local_cloud::LocalCloud;
