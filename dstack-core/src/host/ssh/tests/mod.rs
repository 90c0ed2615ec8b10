//! What holds of runners over SSH, tried on real servers on this machine.

mod sshd;

mod laws;
