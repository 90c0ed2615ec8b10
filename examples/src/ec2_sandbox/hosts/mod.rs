//! What stands behind the instances: a folder, an `sshd` and the processes of each.

mod folder;
mod hosting;
mod imds;
mod processes;
mod stand_ins;
mod tools;
mod user_data;

pub(super) use folder::ask;
pub(super) use hosting::Hosting;
pub(super) use tools::{Tools, user_name};
pub(super) use user_data::user_data_fault;
