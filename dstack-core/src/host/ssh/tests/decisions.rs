//! Whoever finds an attempt's lock finds all that it says, however slow the one was who made it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::jobs::{attempt, follow, script, start};
use super::sshd::{Servers, block_on, which};
use crate::host::{Begun, Closing, Progress, RunnerHost as _};

/// A search path on which the first process that gives a lock its name is held there until there is a file `go`.
fn held(root: &Path) -> Option<String> {
    let link = which("ln")?;
    let (bin, root) = (root.join("bin"), root.display());
    fs::create_dir(&bin).expect("it is new");
    let text = format!(
        "#!/bin/sh\nif mkdir '{root}/held' 2>/dev/null; then while [ ! -e '{root}/go' ]; do sleep 0.02; done; fi\n\
         exec '{}' \"$@\"\n",
        link.display()
    );
    let stand_in = bin.join("ln");
    fs::write(&stand_in, text).expect("it can be written");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("it is ours");
    Some(format!("{}:{}", bin.display(), std::env::var("PATH").ok()?))
}

/// The shell of a runner whose disk takes names, but no bytes.
#[test]
fn without_room_for_its_text_there_is_no_lock() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let common = include_str!("../common.sh");
    let script = format!("{common}\ntrap '' XFSZ; ulimit -f 0; dir=$1; decide lost && echo decided");
    let dir = folder.path();
    let output = std::process::Command::new("sh").arg("-c").arg(script).arg("sh").arg(dir).output();
    let output = output.expect("there is a shell");
    assert_eq!((output.status.success(), output.stdout.as_slice()), (false, &b""[..]), "{output:?}");
    assert!(!dir.join("begun").exists());
}

#[test]
fn one_who_is_held_while_deciding_has_not_decided() {
    for start_is_held in [true, false] {
        let Some(servers) = Servers::with_search_path("slow decisions", held) else { return };
        let place = servers.start();
        let root = servers.root.path();
        let (one, two, job) = (servers.host(), servers.host(), script("sleep 600"));
        block_on(async {
            let closing = Closing::Lost;
            let decided = async {
                let mut is_held = false;
                while !is_held {
                    is_held = root.join("held").exists();
                    let seen = two.poll(&place, &[(attempt(1), 0)]).await.expect("it answers").remove(0);
                    assert_eq!(seen.progress, Progress::Staged, "nobody has decided");
                }
                if start_is_held {
                    two.close(&place, attempt(1), closing).await.expect("it answers");
                } else {
                    assert_eq!(start(&*two, &place, attempt(1), &job).await, Ok(Begun::Started));
                }
                fs::write(root.join("go"), "").expect("it can be written");
            };
            if start_is_held {
                let (begun, ()) = futures::future::join(start(&*one, &place, attempt(1), &job), decided).await;
                assert_eq!(begun, Ok(Begun::Closed));
            } else {
                let (closed, ()) = futures::future::join(one.close(&place, attempt(1), closing), decided).await;
                closed.expect("it answers");
            }
            let over = if start_is_held { Progress::NeverBegun } else { Progress::Lost };
            assert_eq!(follow(&*two, &place, attempt(1), None).await.0, over);
            let folder = servers.attempt_folder(&place, attempt(1));
            let names = fs::read_dir(folder).expect("it is there").flatten().map(|entry| entry.file_name());
            assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("begun")).count(), 1);
        });
    }
}
