//! Where a runner is: `user@host:port`.

use std::net::Ipv6Addr;

use crate::host::HostError;
use crate::model::Address;

/// Longest user or host name, in bytes.
const NAME_MAX_BYTES: usize = 253;

/// An address in its parts, none of which can be mistaken for an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) user: String,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// Reads `user@host:port`; an IPv6 address stands in brackets.
    pub(super) fn parse(address: &Address) -> Result<Self, HostError> {
        Self::read(&address.0).ok_or_else(|| {
            let shown: String = address.0.chars().take(NAME_MAX_BYTES).collect();
            HostError::Refused(format!("{shown:?} is no address of the form user@host:port"))
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (user, rest) = text.split_once('@')?;
        let (host, port) = rest.rsplit_once(':')?;
        let is_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = is_digits.then(|| port.parse().ok())?.filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(inside) => inside.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
            None => Some(host).filter(|host| is_host(host))?.to_owned(),
        };
        is_user(user).then(|| Self { user: user.to_owned(), host, port })
    }
}

/// Whether this can be the name of a user to log in as: `[A-Za-z_][A-Za-z0-9_.-]*`.
pub(super) fn is_user(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= NAME_MAX_BYTES
        && name.bytes().next().is_some_and(is_first)
        && name.bytes().all(|byte| is_first(byte) || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

fn is_host(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(user: &str, host: &str, port: u16) -> Target {
        Target { user: user.to_owned(), host: host.to_owned(), port }
    }

    #[test]
    fn addresses_of_all_three_kinds_are_read() {
        for (text, expected) in [
            ("ubuntu@ec2-1-2-3-4.compute.amazonaws.com:22", target("ubuntu", "ec2-1-2-3-4.compute.amazonaws.com", 22)),
            ("ec2-user@127.0.0.9:20022", target("ec2-user", "127.0.0.9", 20022)),
            ("root@[2001:db8::1]:22", target("root", "2001:db8::1", 22)),
        ] {
            assert_eq!(Target::parse(&Address(text.to_owned())), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_or_looks_like_an_option_is_refused() {
        for text in [
            "",
            "a@b",
            "a@b:",
            "a@b:0",
            "a@b:+22",
            "a@b:65536",
            "a@b:22 ",
            "@b:22",
            "b:22",
            "-l@b:22",
            "a@-oProxyCommand=x:22",
            "a@b c:22",
            "a@b\n:22",
            "a@[::1:22",
            "a@::1:22",
            "a@[b]:22",
            "a@[::1%eth0]:22",
            "a;b@c:22",
            "a@$(x):22",
            "a@b@c:22",
        ] {
            assert!(Target::parse(&Address(text.to_owned())).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_has_only_harmless_characters(text in "\\PC{0,40}|[a-z@:.\\-\\[\\]0-9]{0,30}") {
            if let Ok(target) = Target::parse(&Address(text)) {
                prop_assert!(!target.user.starts_with('-') && !target.host.starts_with('-'));
                let is_harmless = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
                prop_assert!(target.user.chars().chain(target.host.chars()).all(is_harmless));
            }
        }
    }
}
