//! An EC2 of one's own on loopback: try the whole AWS path with no account.
//!
//! ```text
//! cargo run --release --example ec2_sandbox -- --port 4599
//! export AWS_ENDPOINT_URL=http://127.0.0.1:4599 AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox
//! ```
//!
//! `docs/ec2-sandbox.md` has all options.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use dstack_core::clock::{Clock, SystemClock};
use examples::ec2_sandbox::{Machines, Options, Rates, Sandbox};
use tokio::signal::unix::{SignalKind, signal};

/// EC2, STS and a small S3 on 127.0.0.1, whose instances are sshd processes of the calling user.
#[derive(Debug, Parser)]
#[command(name = "ec2_sandbox")]
struct Arguments {
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// What goes wrong by chance: lost-answer=0.1,late=0.1,doubled=0.1,throttle=...,stale-list=...,capacity=...,quota=...,
    /// spot-reclaim=... and others; a wrong name lists them all.
    #[arg(long, default_value = "")]
    faults: String,
    /// What chance and ids begin from: the same seed and the same calls go wrong in the same way. Another one each time by
    /// default, and told at the start.
    #[arg(long)]
    seed: Option<u64>,
    /// How long an instance is pending.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    boot: Duration,
    /// How long an instance shuts down.
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    shutdown: Duration,
    /// How long each call takes at least.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// How long a terminated instance is listed.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    memory: Duration,
    /// Port of every instance's sshd; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    ssh_port: u16,
    /// Instances are rows in a list, with no sshd behind them.
    #[arg(long)]
    fake_hosts: bool,
    /// No token buckets: every call is answered at once.
    #[arg(long)]
    no_limits: bool,
    /// Instances answer SSH whatever their security groups say.
    #[arg(long)]
    no_firewall: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let drawn = SystemClock.entropy().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let seed = arguments.seed.unwrap_or(drawn);
    let options = Options {
        port: arguments.port,
        rates: arguments.faults.parse::<Rates>()?,
        seed,
        boot: arguments.boot,
        shutdown: arguments.shutdown,
        latency: arguments.latency,
        memory: arguments.memory,
        ssh_port: arguments.ssh_port,
        machines: if arguments.fake_hosts { Machines::Fake } else { Machines::Sshd },
        has_limits: !arguments.no_limits,
        has_firewall: !arguments.no_firewall,
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Heard from before the first line on, so that whoever has read it can end the sandbox.
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let sandbox = Sandbox::start(options)?;
        println!("listening on {}", sandbox.url());
        eprintln!("seed {seed}");
        eprintln!("instances let in {} on port {} of 127.0.0.2 and up", sandbox.ssh_user(), sandbox.ssh_port());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        sandbox.stop();
        Ok(())
    })
}
