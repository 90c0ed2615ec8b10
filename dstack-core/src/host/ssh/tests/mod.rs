//! What holds of runners over SSH, tried on real servers on this machine.

mod jobs;
mod proxy;
mod sealed;
mod sshd;
mod stalls;

mod cuts;
mod decisions;
mod ears;
mod fetches;
mod garbled;
mod hostile;
mod laws;
mod links;
mod measure;
mod switch;
