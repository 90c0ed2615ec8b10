//! Controllers in virtual time: whole lives, and lives full of faults.

mod doubtful;
mod lives;
mod seen;
mod starts;
mod strays;
mod swarm;
