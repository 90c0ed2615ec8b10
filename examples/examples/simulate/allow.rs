//! A rule as an argument: `TYPE:PURCHASE:MAX`.

use std::fmt;
use std::str::FromStr;

use dstack_core::cloud::builtin_offerings;
use dstack_core::model::Purchase;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allow {
    /// Which machines.
    pub(crate) instance_type: String,
    /// How they are bought.
    pub(crate) purchase: Purchase,
    /// At most how many at once.
    pub(crate) max: u32,
}

/// Rules that hold most workloads: small and large machines and two kinds with GPUs.
pub(crate) const DEFAULT: [&str; 5] =
    ["m7i.xlarge:spot:20", "c7i.4xlarge:spot:10", "r7i.2xlarge:spot:10", "g4dn.xlarge:spot:8", "p4d.24xlarge:spot:4"];

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not TYPE:PURCHASE:MAX, like m7i.xlarge:spot:20");
        let (rest, max) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (instance_type, purchase) = rest.split_once(':').ok_or_else(wrong)?;
        let purchase = match purchase {
            "spot" => Purchase::Spot,
            "on-demand" => Purchase::OnDemand,
            other => return Err(format!("a machine is bought spot or on-demand, not {other}")),
        };
        let mut known: Vec<String> = builtin_offerings().into_iter().map(|offering| offering.instance_type).collect();
        known.dedup();
        if !known.iter().any(|name| name == instance_type) {
            return Err(format!("the simulated cloud has no {instance_type}; it has {}", known.join(" ")));
        }
        Ok(Self { instance_type: instance_type.to_owned(), purchase, max: max.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.instance_type, self.purchase, self.max)
    }
}
