//! Ctrl-C.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Presses of Ctrl-C from this moment on: those before the first look at it are kept, and none ends the program.
pub(crate) fn interrupts() -> Result<Signal, Failure> {
    Ok(signal(SignalKind::interrupt())?)
}
