//! Tests of the EC2 provider: in one binary, since each that reaches the EC2 client is large.

mod accounts;
mod catalogues;
mod ears;
mod faults;
mod field_cases;
mod fleet;
mod launches;
mod laws;
mod looks;
mod moto;
mod networks;
mod notices;
mod policies;
mod s3;
mod wire;
