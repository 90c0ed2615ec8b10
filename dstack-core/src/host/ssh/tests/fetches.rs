//! What is said of artifacts that cannot be read, or go away while they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::jobs::{attempt, run, script};
use super::sshd::{Servers, block_on};
use crate::host::{HostError, RunnerHost as _};

/// A search path with another `tar`, which does this.
fn with_tar(root: &Path, text: &str) -> Option<String> {
    let bin = root.join("bin");
    fs::create_dir(&bin).expect("it is new");
    let stand_in = bin.join("tar");
    fs::write(&stand_in, format!("#!/bin/sh\n{text}\n")).expect("it can be written");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("it is ours");
    Some(format!("{}:{}", bin.display(), std::env::var("PATH").ok()?))
}

#[test]
fn what_tar_cannot_read_is_a_result_and_what_was_cut_off_is_not() {
    // An empty archive, which is whole as such.
    let nothing = "head -c 10240 /dev/zero";
    for (text, is_result) in [
        (format!("{nothing}; echo 'tar: out: Permission denied' >&2; exit 2"), true),
        // What changed meanwhile has come as it was then.
        (format!("{nothing}; echo 'tar: out/f: file changed as we read it' >&2; exit 1"), true),
        (format!("{nothing}; exit 143"), false),
        (format!("{nothing}; rm -f \"$PWD/../../begun\""), false),
        ("exit 2".to_owned(), false),
    ] {
        let Some(servers) = Servers::with_search_path("unreadable artifacts", |root| with_tar(root, &text)) else {
            return;
        };
        let place = servers.start();
        block_on(async {
            let host = servers.host();
            run(&*host, &place, 1, &script("mkdir out; echo x > out/f")).await;
            match host.fetch(&place, attempt(1), "out").await {
                Ok(fetched) => {
                    assert!(is_result, "{text}: {fetched:?}");
                    let said = text.contains("denied").then_some("tar: out: Permission denied");
                    assert_eq!(fetched.unreadable.as_deref(), said, "{text}");
                }
                Err(HostError::Unreachable(_)) => assert!(!is_result, "{text}"),
                Err(other) => panic!("{text}: {other}"),
            }
        });
    }
}
