//! Which of the account's vCPU quotas a type counts against.
//!
//! Source: the EC2 User Guide, pages ec2-on-demand-instances and using-spot-limits (read 2026).

/// Classes of quotas, and the families in each: what stands before the first digit of a type.
const CLASSES: [(&str, &[&str]); 10] = [
    ("standard", &["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"]),
    ("dl", &["dl"]),
    ("f", &["f"]),
    ("g-vt", &["g", "gr", "vt"]),
    ("high-memory", &["u"]),
    ("hpc", &["hpc"]),
    ("inf", &["inf"]),
    ("p", &["p"]),
    ("trn", &["trn"]),
    ("x", &["x"]),
];

/// The quota of a type; none for a family that is in no class, whose quota then says nothing of others.
pub(crate) fn class(instance_type: &str) -> Option<&'static str> {
    let end = instance_type.find(|character: char| !character.is_ascii_lowercase())?;
    let family = &instance_type[..end];
    CLASSES.iter().find(|(_, families)| families.contains(&family)).map(|(class, _)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_counts_against_the_quota_of_its_family() {
        let expected = [
            ("m5.xlarge", Some("standard")),
            ("is4gen.medium", Some("standard")),
            ("t3.micro", Some("standard")),
            ("g5.xlarge", Some("g-vt")),
            ("gr6.4xlarge", Some("g-vt")),
            ("p4d.24xlarge", Some("p")),
            ("u-6tb1.metal", Some("high-memory")),
            ("hpc7a.12xlarge", Some("hpc")),
            ("x2gd.medium", Some("x")),
            ("mac1.metal", None),
            ("", None),
        ];
        for (name, class_of) in expected {
            assert_eq!(class(name), class_of, "{name}");
        }
    }
}
