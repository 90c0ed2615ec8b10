//! The imperative shell: reads the log, asks the pure core, records, calls.
//!
//! ```text
//! read new records -> facts from looks and finished effects -> reconcile -> schedule -> append decisions -> start what is owed
//! ```
//!
//! A step awaits no effect: owed calls become futures in a bounded set, and what they return becomes facts in a later step.
//! Dropping any of them means the same as a crash there. Any number of controllers may work on one log; none leads.
//!
//! # The claim protocol
//! 1. Each send of a launch needs an open claim of its own, made by a successful append at the place it was decided on.
//! 2. The sender's clock starts before that append; it sends only while less than the claim's ttl has passed on a clock that
//!    counts suspension. A launch is one send.
//! 3. Time closes a claim, never a slot: a controller that has itself watched a claim open for ttl and margin closes it.
//! 4. A slot is given back only by a death certificate.
//! 5. With all claims closed, a runner still wanted is sent again: same token, same request, a new claim.

mod absences;
mod claims;
mod control;
mod ears;
mod effect;
mod evidence;
mod looks;
mod owed;
mod ports;
mod prices;
mod record;
mod start_owed;
mod step;
mod strays;

#[cfg(test)]
mod tests;

pub use claims::{ClaimKey, Claims, Made, Ours, Watched};
pub use control::{Controller, ControllerError};
pub use evidence::{Evidence, known};
pub use ports::{Options, Ports, Provider};
pub use step::Step;
pub use strays::{Stray, Strays, end_stray, find_strays};
