//! Tests of the pure core through its public face.

mod bounds;
mod check;
mod crash_points;
mod equals;
mod every_kind;
mod explained;
mod fairness;
mod fold;
mod garbled;
mod given;
mod golden;
mod histories;
mod kept;
mod offers;
mod past;
mod policy;
mod previews;
mod proofs;
mod refusals;

/// Few cases, for each is a whole history; a failure that was found becomes a test with a name of its own.
fn config() -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases: 64, failure_persistence: None, ..Default::default() }
}
