//! What tests are made with: generators of logs, and a naive scheduler to compare the real one with.

pub mod history;
pub mod naive;
pub mod samples;
pub mod strategy;
