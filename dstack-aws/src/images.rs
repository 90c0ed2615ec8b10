//! Machine images: which one a type gets, and what a launch has to know of it.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Image, ImageState};

use crate::api::Api;
use crate::failure::{Class, Failure};
use crate::session::Session;
use crate::tags::{self, Ssh};

/// Disk for work beside what the image itself takes.
pub(crate) const WORK_GIB: i32 = 50;

/// A family of images, of which the newest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// Amazon Linux 2023.
    X86,
    /// Amazon Linux 2023 for ARM.
    Arm,
    /// Amazon Linux 2023 with the NVIDIA driver.
    X86Gpu,
    /// Amazon Linux 2023 for ARM with the NVIDIA driver.
    ArmGpu,
}

impl Family {
    pub(crate) const ALL: [Self; 4] = [Self::X86, Self::Arm, Self::X86Gpu, Self::ArmGpu];

    /// Patterns of the images' names. None has a trailing star where a family's variants would match too.
    const fn names(self) -> &'static str {
        match self {
            Self::X86 => "al2023-ami-2023.*-kernel-*-x86_64",
            Self::Arm => "al2023-ami-2023.*-kernel-*-arm64",
            Self::X86Gpu => "Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) *",
            Self::ArmGpu => "Deep Learning ARM64 Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) *",
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
            Self::X86Gpu => "x86_64 with NVIDIA GPUs",
            Self::ArmGpu => "arm64 with NVIDIA GPUs",
        })
    }
}

/// What a launch has to know of an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ImageFacts {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `USER:PORT` of its SSH server.
    pub(crate) ssh: String,
    pub(crate) root_device: String,
    pub(crate) root_gib: i32,
    /// Disks besides the root, which a launch must name to have them deleted with the machine.
    pub(crate) other_devices: Vec<String>,
    created: String,
}

/// Keys under which an offering's details keep the facts of its image.
const DETAILS: [&str; 5] = ["image", "ssh", "root_device", "root_gib", "other_devices"];

impl ImageFacts {
    fn read(image: &Image) -> Option<Self> {
        let name = image.name().unwrap_or_default();
        let root = image.root_device_name()?;
        let disks = || image.block_device_mappings().iter().filter(|mapping| mapping.ebs().is_some());
        let of_root = disks().find(|mapping| mapping.device_name() == Some(root));
        let others = disks().filter_map(|mapping| mapping.device_name()).filter(|device| *device != root);
        let user = default_user(name);
        let of_tag = |key| tags::value(image.tags(), key);
        let text = format!("{}:{}", of_tag(tags::SSH_USER).unwrap_or(user), of_tag(tags::SSH_PORT).unwrap_or("22"));
        let ssh = Ssh::parse(&text);
        Some(Self {
            id: image.image_id()?.to_owned(),
            name: name.to_owned(),
            ssh: ssh.unwrap_or_else(|| Ssh { user: user.to_owned(), port: 22 }).to_string(),
            root_device: root.to_owned(),
            root_gib: of_root.and_then(|mapping| mapping.ebs()?.volume_size()).unwrap_or(8),
            other_devices: others.map(str::to_owned).collect(),
            created: image.creation_date().unwrap_or_default().to_owned(),
        })
    }

    /// The facts as they are frozen with a rule.
    pub(crate) fn details(&self) -> BTreeMap<String, String> {
        let values = [
            self.id.clone(),
            self.ssh.clone(),
            self.root_device.clone(),
            self.root_gib.to_string(),
            self.other_devices.join(","),
        ];
        DETAILS.into_iter().map(str::to_owned).zip(values).collect()
    }

    /// The facts that were frozen, if they are of this image.
    pub(crate) fn from_details(details: &BTreeMap<String, String>, id: &str) -> Option<Self> {
        let [image, ssh, root_device, root_gib, other_devices] = DETAILS.map(|key| details.get(key));
        if image? != id {
            return None;
        }
        Some(Self {
            id: id.to_owned(),
            name: String::new(),
            ssh: ssh?.clone(),
            root_device: root_device?.clone(),
            root_gib: root_gib?.parse().ok()?,
            other_devices: other_devices?.split(',').filter(|device| !device.is_empty()).map(str::to_owned).collect(),
            created: String::new(),
        })
    }
}

/// The user that images of this name let in, where no tag says it.
fn default_user(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    if name.contains("ubuntu") {
        "ubuntu"
    } else if name.contains("debian") {
        "admin"
    } else {
        "ec2-user"
    }
}

/// The newest image of a family.
pub(crate) async fn newest(session: &Session, family: Family) -> Result<Option<ImageFacts>, Failure> {
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let request = session
        .ec2
        .describe_images()
        .owners("amazon")
        .filters(filter("name", family.names()))
        .filters(filter("state", "available"))
        .filters(filter("root-device-type", "ebs"));
    let answer = session.calls.read(Api::DescribeImages, || request.clone().send()).await?;
    let is_there = |image: &&Image| image.state().is_none_or(|state| *state == ImageState::Available);
    let facts = answer.images().iter().filter(is_there).filter_map(ImageFacts::read);
    Ok(facts.max_by(|one, other| (&one.created, &one.id).cmp(&(&other.created, &other.id))))
}

/// What there is to know of an image; nothing if the account has none of this id.
pub(crate) async fn facts(session: &Session, id: &str) -> Result<Option<ImageFacts>, Failure> {
    let request = session.ec2.describe_images().image_ids(id);
    let answer = match session.calls.read(Api::DescribeImages, || request.clone().send()).await {
        Ok(answer) => answer,
        Err(failure) if matches!(failure.class, Class::Invalid | Class::NotFound) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(answer.images().iter().find(|image| image.image_id() == Some(id)).and_then(ImageFacts::read))
}
