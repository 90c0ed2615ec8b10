//! The actions of EC2, each a function from a call to its document.

mod call;
mod groups;
mod images;
mod instance_xml;
mod instances;
mod network;
mod run_instances;
mod spot;
mod tags;
mod types;

pub(super) use call::{Call, answer, is_changing};
pub(super) use instance_xml::instance_state_name;
