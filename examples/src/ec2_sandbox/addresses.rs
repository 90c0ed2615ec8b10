//! Loopback addresses of instances.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Addresses from 127.0.0.2 on. One that is given back is the next to be given out, as in a small network.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    free: BTreeSet<Ipv4Addr>,
    given: u16,
}

impl Addresses {
    /// The lowest address that nobody has.
    pub(super) fn take(&mut self) -> Ipv4Addr {
        self.free.pop_first().unwrap_or_else(|| {
            self.given += 1;
            let [high, low] = (self.given + 1).to_be_bytes();
            Ipv4Addr::new(127, 0, high, low)
        })
    }

    /// Takes one back.
    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        self.free.insert(address);
    }
}
