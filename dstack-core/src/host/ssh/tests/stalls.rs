//! A runner that answers and does nothing: its transfers end, and what else is asked of it goes on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::jobs::{attempt, run, script};
use super::sshd::{Servers, block_on};
use crate::host::test_archive::pack;
use crate::host::{Contents, HostError, Progress, RunnerHost, SshHost};
use crate::model::Exit;

#[test]
fn a_transfer_that_stands_still_is_given_up_and_the_runner_still_answers() {
    let with_hanging_tar = |root: &std::path::Path| {
        let folder = root.join("hanging");
        fs::create_dir(&folder).expect("the root is ours");
        fs::write(folder.join("tar"), "#!/bin/sh\nexec sleep 600\n").expect("the root is ours");
        fs::set_permissions(folder.join("tar"), fs::Permissions::from_mode(0o700)).expect("it is ours");
        Some(format!("{}:/usr/bin:/bin", folder.display()))
    };
    let Some(servers) = Servers::with_search_path("stalls", with_hanging_tar) else { return };
    let place = servers.start();
    block_on(async {
        let host = SshHost::new(servers.keys()).with_longest_stall(Duration::from_millis(300));
        let job = script("echo made > out");
        assert_eq!(run(&host, &place, 1, &job).await.0, Progress::Exited(Exit::exited(0)));
        let stalled = |result: Result<(), HostError>| {
            assert!(matches!(&result, Err(HostError::Unreachable(why)) if why.contains("not moved")), "{result:?}");
        };
        // More often than a server gives channels to one connection.
        for _ in 0..12 {
            stalled(host.fetch(&place, attempt(1), "out").await.map(drop));
        }
        let files = BTreeMap::from([("input".to_owned(), vec![7; 3_000_000])]);
        stalled(host.stage(&place, attempt(2), &Contents { archives: vec![pack(&files)] }).await);
        assert_eq!(run(&host, &place, 3, &job).await.0, Progress::Exited(Exit::exited(0)));
    });
}
