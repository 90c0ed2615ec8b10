//! Programs that embed dstack; each is an example of its own.
