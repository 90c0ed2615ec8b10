//! Where a log must not be kept: file systems on which several processes cannot share memory and locks reliably.

use std::path::Path;

use crate::store::StoreError;

/// File systems that are refused, by the magic number of `statfs(2)`.
const REFUSED: [(u32, &str); 6] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
];

/// Refuses a folder on a network file system.
#[cfg(target_os = "linux")]
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let stat = rustix::fs::statfs(folder).map_err(|error| StoreError::Unreachable(Box::new(error)))?;
    // The kernel's field is wider than the number, and signed on some machines: its low 32 bits are the number.
    refuse(u32::try_from(stat.f_type & 0xFFFF_FFFF).unwrap_or(0), folder)
}

/// Elsewhere the numbers are not known.
#[cfg(not(target_os = "linux"))]
pub(super) fn check(_folder: &Path) -> Result<(), StoreError> {
    Ok(())
}

fn refuse(magic: u32, folder: &Path) -> Result<(), StoreError> {
    match REFUSED.iter().find(|(refused, _)| *refused == magic) {
        None => Ok(()),
        Some((_, name)) => Err(StoreError::Unusable(format!(
            "the log cannot be kept on {name} ({}): set DSTACK_HOME to a folder on a local disk",
            folder.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_by_name_and_disks_are_not() {
        for (magic, name) in REFUSED {
            let text = refuse(magic, Path::new("/mnt/x")).expect_err("it is on the list").to_string();
            assert!(text.contains(name) && text.contains("DSTACK_HOME") && text.contains("/mnt/x"), "{text}");
        }
        for disk in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630] {
            refuse(disk, Path::new("/")).expect("ext4, xfs, btrfs, tmpfs and overlayfs are fine");
        }
    }
}
