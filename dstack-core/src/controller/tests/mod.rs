//! Controllers in virtual time: whole lives, and lives full of faults.

mod doubtful;
mod ears;
mod jumps;
mod lives;
mod seen;
mod starts;
mod strays;
mod swarm;
mod unreadable;
