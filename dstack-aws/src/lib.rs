//! The place of the EC2 provider.
//!
//! It will implement `CloudProvider` of `dstack-core` on EC2 and reach the runners over SSH. Nothing of it is built yet:
//! this version of dstack runs workflows on the machine it is started on.
