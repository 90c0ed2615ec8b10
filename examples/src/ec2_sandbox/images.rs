//! The machine images that there are, the same in every region under other ids.

use super::ids::made_id;

/// A machine image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) name: &'static str,
    pub(super) arch: &'static str,
    pub(super) owner: &'static str,
    /// Empty for images that are not Amazon's.
    pub(super) owner_alias: &'static str,
    pub(super) created: &'static str,
    pub(super) root_device: &'static str,
    pub(super) root_gib: u64,
    pub(super) description: &'static str,
}

const AMAZON: &str = "137112412989";
const AMAZON_GPU: &str = "898082745236";
const CANONICAL: &str = "099720109477";

/// Name, architecture, owner, creation, root device and its size, description.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, u64, &'static str);

#[rustfmt::skip]
const ROWS: [Row; 10] = [
    ("al2023-ami-2023.8.20250721.2-kernel-6.1-x86_64", "x86_64", AMAZON, "2025-07-22T18:10:11.000Z", "/dev/xvda", 8, "Amazon Linux 2023, kernel 6.1"),
    ("al2023-ami-2023.9.20251014.0-kernel-6.1-x86_64", "x86_64", AMAZON, "2025-10-15T20:31:02.000Z", "/dev/xvda", 8, "Amazon Linux 2023, kernel 6.1"),
    ("al2023-ami-2023.9.20251014.0-kernel-6.12-x86_64", "x86_64", AMAZON, "2025-10-15T20:31:40.000Z", "/dev/xvda", 8, "Amazon Linux 2023, kernel 6.12"),
    ("al2023-ami-2023.8.20250721.2-kernel-6.1-arm64", "arm64", AMAZON, "2025-07-22T18:10:12.000Z", "/dev/xvda", 8, "Amazon Linux 2023, kernel 6.1"),
    ("al2023-ami-2023.9.20251014.0-kernel-6.1-arm64", "arm64", AMAZON, "2025-10-15T20:31:03.000Z", "/dev/xvda", 8, "Amazon Linux 2023, kernel 6.1"),
    ("al2023-ami-minimal-2023.9.20251014.0-kernel-6.1-x86_64", "x86_64", AMAZON, "2025-10-15T20:32:00.000Z", "/dev/xvda", 2, "Amazon Linux 2023 minimal, kernel 6.1"),
    ("Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) 20251010", "x86_64", AMAZON_GPU, "2025-10-10T09:12:33.000Z", "/dev/xvda", 75, "GPU driver and container toolkit"),
    ("Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) 20250801", "x86_64", AMAZON_GPU, "2025-08-01T09:12:33.000Z", "/dev/xvda", 75, "GPU driver and container toolkit"),
    ("Deep Learning ARM64 Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) 20251010", "arm64", AMAZON_GPU, "2025-10-10T09:12:34.000Z", "/dev/xvda", 75, "GPU driver and container toolkit"),
    ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20251001", "x86_64", CANONICAL, "2025-10-01T11:00:00.000Z", "/dev/sda1", 8, "Ubuntu 24.04"),
];

/// All images of a region.
pub(super) fn images(region: &str) -> Vec<Image> {
    let image = |(name, arch, owner, created, root_device, root_gib, description): Row| Image {
        id: made_id("ami", &[region, name]),
        name,
        arch,
        owner,
        owner_alias: if owner == CANONICAL { "" } else { "amazon" },
        created,
        root_device,
        root_gib,
        description,
    };
    ROWS.into_iter().map(image).collect()
}
