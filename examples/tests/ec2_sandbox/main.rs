//! The sandbox as its clients see it: over HTTP and SSH.

mod boto3;
mod client;
mod faults;
mod instances;
mod laws;
mod limits;
mod objects;
mod process;
