//! Hundreds of runners at once, in virtual time: what is asked of EC2 for them, how fast, and that it never has to say no.

mod launches;
mod rest;
mod way;
mod world;
