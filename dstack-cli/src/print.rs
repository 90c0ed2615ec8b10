//! The only places that write to standard output and standard error.

use std::io::{self, ErrorKind, Write as _};

use crate::failure::Failure;

/// Writes results to standard output. Where nobody reads them, the command ends quietly.
pub(crate) fn results(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::PipeClosed),
        Err(error) => Err(Failure::Refused(format!("results cannot be written to standard output: {error}"))),
    }
}

/// Writes a line of results.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    results(format!("{text}\n").as_bytes())
}

/// Writes one JSON document.
pub(crate) fn json(document: &serde_json::Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).expect("a JSON value is JSON");
    line(&text)
}

/// Tells people something. That nobody reads it stops nothing.
pub(crate) fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    // The command's work does not depend on who reads its messages.
    let _ = writeln!(stderr, "{text}");
}

/// Tells people about something that they may not expect.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {text}"));
}

/// Tells people why it did not work.
pub(crate) fn error(text: &str) {
    say(&format!("error: {text}"));
}
