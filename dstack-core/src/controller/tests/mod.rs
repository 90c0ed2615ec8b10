//! Controllers in virtual time: whole lives.

mod lives;
