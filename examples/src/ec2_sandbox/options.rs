//! How a sandbox is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dstack_core::clock::{Clock, SystemClock};

use super::rates::Rates;

/// What stands behind the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Machines {
    /// An `sshd` process each, with a folder of its own.
    #[default]
    Sshd,
    /// Nothing: they are rows in a list. For hundreds of them.
    Fake,
}

/// How a sandbox is set up.
#[derive(Clone)]
pub struct Options {
    /// Where it listens on 127.0.0.1; 0 picks a free port.
    pub port: u16,
    /// What goes wrong by chance.
    pub rates: Rates,
    /// What chance begins from.
    pub seed: u64,
    /// How long an instance is pending.
    pub boot: Duration,
    /// How long an instance shuts down.
    pub shutdown: Duration,
    /// How long each call takes at least.
    pub latency: Duration,
    /// How long a terminated instance is listed; its tags are gone after half of that.
    pub memory: Duration,
    /// The port of every instance's `sshd`; 0 picks a free one.
    pub ssh_port: u16,
    /// What stands behind the instances.
    pub machines: Machines,
    /// Whether EC2's token buckets limit the calls.
    pub has_limits: bool,
    /// Whether an instance answers SSH only where one of its security groups lets 127.0.0.1 in, as it would be on EC2.
    pub has_firewall: bool,
    /// Where the instances' folders are made; the system's folder for temporary files by default.
    pub folder: Option<PathBuf>,
    /// The time that instances and limits go by.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            rates: Rates::default(),
            seed: 0,
            boot: Duration::from_secs(2),
            shutdown: Duration::from_secs(1),
            latency: Duration::ZERO,
            memory: Duration::from_secs(3_600),
            ssh_port: 0,
            machines: Machines::Sshd,
            has_limits: true,
            has_firewall: true,
            folder: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("port", &self.port)
            .field("rates", &self.rates)
            .field("seed", &self.seed)
            .field("machines", &self.machines)
            .finish_non_exhaustive()
    }
}
