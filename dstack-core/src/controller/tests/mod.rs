//! Controllers in virtual time: whole lives, and lives full of faults.

mod lives;
mod seen;
mod starts;
mod strays;
mod swarm;
