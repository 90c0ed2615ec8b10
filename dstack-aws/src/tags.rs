//! The tags that say whose a machine is and how it is reached.

use aws_sdk_ec2::types::{Instance, ResourceType, Tag, TagSpecification};
use dstack_core::model::{LaunchId, LaunchRequest, LogId, Token};

/// The log whose a resource is.
pub(crate) const LOG: &str = "dstack:log";
/// The launch that a machine is of.
pub(crate) const LAUNCH: &str = "dstack:launch";
/// User and port of a machine's SSH server: `USER:PORT`.
pub(crate) const SSH: &str = "dstack:ssh";
/// On an image: the user that it lets in by SSH.
pub(crate) const SSH_USER: &str = "dstack:ssh-user";
/// On an image: the port of its SSH server.
pub(crate) const SSH_PORT: &str = "dstack:ssh-port";
/// From where the SSH server may be reached, if the user has set it.
pub(crate) const SSH_FROM: &str = "dstack:ssh-from";

pub(crate) fn tag(key: &str, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The value of a tag.
pub(crate) fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key))?.value()
}

/// The tags of a launch, for each kind of resource that it makes.
pub(crate) fn specifications(request: &LaunchRequest, ssh: &Ssh) -> Vec<TagSpecification> {
    let mut tags = vec![
        tag("Name", format!("dstack {}", request.launch)),
        tag(LOG, request.log.to_string()),
        tag(LAUNCH, request.launch.to_string()),
    ];
    let of = |kind: ResourceType, tags: &[Tag]| {
        TagSpecification::builder().resource_type(kind).set_tags(Some(tags.to_vec())).build()
    };
    let volumes = of(ResourceType::Volume, &tags);
    tags.push(tag(SSH, ssh.to_string()));
    if let Some(from) = &request.options.ssh_from {
        tags.push(tag(SSH_FROM, from));
    }
    vec![of(ResourceType::Instance, &tags), volumes]
}

/// The token of the launch that a machine is of: EC2's own, or made of its tags.
pub(crate) fn token(instance: &Instance) -> Option<Token> {
    if let Some(token) = instance.client_token().filter(|token| !token.is_empty()) {
        return Some(Token(token.to_owned()));
    }
    let log = log_id(value(instance.tags(), LOG)?)?;
    let launch: LaunchId = value(instance.tags(), LAUNCH)?.parse().ok()?;
    Some(Token::new(log, launch))
}

fn log_id(text: &str) -> Option<LogId> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(LogId::from_bytes(bytes))
}

/// How a machine's SSH server is reached, besides its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ssh {
    pub(crate) user: String,
    pub(crate) port: u16,
}

impl Ssh {
    /// Reads `USER:PORT`. The text may come from anybody who can write tags, and goes to `ssh`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (user, port) = text.split_once(':')?;
        let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if user.is_empty() || user.starts_with('-') || !user.bytes().all(is_of_names) {
            return None;
        }
        Some(Self { user: user.to_owned(), port: port.parse().ok().filter(|port| *port != 0)? })
    }
}

impl std::fmt::Display for Ssh {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.user, self.port)
    }
}
