//! Runners in an AWS account: the real program against an EC2 of one's own.

mod account;

mod ends;
mod field_cases;
mod interruptions;
mod kills;
mod odd;
mod runs;
mod wire;
