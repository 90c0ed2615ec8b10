//! Names of things: each kind of id is a type of its own.
//!
//! Ids of runs, runners and launches are 64 random bits, minted at the edge from [`Clock::entropy`] and written as 13
//! characters of lower-case base32 without look-alikes (Crockford's alphabet). Ids of logs, appends and controller
//! processes are 128 bits: they must be unique across logs.
//!
//! [`Clock::entropy`]: crate::clock::Clock::entropy

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SHORT_LEN: usize = 13;

/// The text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id: {text:?}")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

pub(crate) fn base32(bits: u64) -> [u8; SHORT_LEN] {
    let mut out = [0; SHORT_LEN];
    let mut rest = bits;
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    out
}

fn parse_base32(text: &str) -> Option<u64> {
    if text.len() != SHORT_LEN {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        bits = (bits << 5) | digit as u128;
    }
    u64::try_from(bits).ok()
}

macro_rules! text_serde {
    ($name:ident) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl ::serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        formatter.write_str(concat!("the text of a ", stringify!($name)))
                    }
                    fn visit_str<E: ::serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(::serde::de::Error::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}
pub(crate) use text_serde;

macro_rules! short_id {
    ($name:ident, $kind:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id made of the first eight of these random bytes.
            pub fn from_entropy(entropy: [u8; 16]) -> Self {
                let [a, b, c, d, e, f, g, h, ..] = entropy;
                Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }

            /// The id as a number, for keys of an index.
            pub const fn to_bits(self) -> u64 {
                self.0
            }

            /// The id whose number this is.
            pub const fn from_bits(bits: u64) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = base32(self.0);
                formatter.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_base32(text).map(Self).ok_or_else(|| IdError { kind: $kind, text: text.to_owned() })
            }
        }

        text_serde!($name);
    };
}

macro_rules! long_id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id made of these random bytes.
            pub fn from_entropy(entropy: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(entropy).into_uuid())
            }

            /// The sixteen bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id with exactly these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

short_id!(RunId, "run", "One submission of workflows.");
short_id!(RunnerId, "runner", "One machine from the wish for it to the proof of its end.");
short_id!(LaunchId, "launch", "One launch: what the cloud's idempotency token is made of.");
long_id!(LogId, "One log, and so one lineage of history.");
long_id!(AppendId, "One append: the same id is never appended twice.");
long_id!(ControllerId, "One controller process: new entropy at each start, never stored elsewhere.");

/// A workflow: its run and its place in that run's submission, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId {
    /// The run it was submitted with.
    pub run: RunId,
    /// Its place in the submission, from 0.
    pub index: u32,
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.run, self.index)
    }
}

impl fmt::Debug for WorkflowId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for WorkflowId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError { kind: "workflow", text: text.to_owned() };
        let (run, index) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self { run: run.parse()?, index: index.parse().map_err(|_| wrong())? })
    }
}

text_serde!(WorkflowId);

/// One try of a workflow; tries are numbered from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The workflow that is tried.
    pub workflow: WorkflowId,
    /// Which try it is, from 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{}", self.workflow, self.number)
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for AttemptId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError { kind: "attempt", text: text.to_owned() };
        let (workflow, number) = text.split_once('#').ok_or_else(wrong)?;
        Ok(Self { workflow: workflow.parse()?, number: number.parse().map_err(|_| wrong())? })
    }
}

text_serde!(AttemptId);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_id_reads_back_as_it_was_written(bits: u64, index: u32, number: u32) {
            let run = RunId::from_bits(bits);
            prop_assert_eq!(run.to_string().parse::<RunId>(), Ok(run));
            let attempt = AttemptId { workflow: WorkflowId { run, index }, number };
            prop_assert_eq!(attempt.to_string().parse::<AttemptId>(), Ok(attempt));
            let json = serde_json::to_string(&attempt).expect("an id is plain text");
            prop_assert_eq!(serde_json::from_str::<AttemptId>(&json).expect("it was just written"), attempt);
        }

        #[test]
        fn text_that_is_no_id_is_refused(text in "\\PC{0,20}") {
            if let Ok(id) = text.parse::<RunnerId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
