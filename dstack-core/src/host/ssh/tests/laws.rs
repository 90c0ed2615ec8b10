//! The laws of all hosts hold over SSH.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;

use super::sshd::{Servers, block_on, which};
use crate::archive;
use crate::blob::Payload;
use crate::host::RunnerHost;
use crate::host::laws::{self, Law, Subject};
use crate::model::Place;

pub(super) fn pack(files: &BTreeMap<String, Vec<u8>>) -> Payload {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the folder")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    let packed = archive::pack(folder.path(), files.keys().map(Path::new)).expect("what was just written is there");
    packed.bytes.into()
}

pub(super) fn unpack(archive: &Payload) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    archive::unpack(archive.reader().expect("it is there"), folder.path(), &archive::Limits::default())
        .expect("it was just packed");
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(path) = folders.pop() {
        for entry in std::fs::read_dir(path).expect("it is a folder") {
            let path = entry.expect("read").path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder.path()).expect("it is below").to_str().expect("it is text");
                files.insert(name.to_owned(), std::fs::read(&path).expect("read"));
            }
        }
    }
    files
}

#[async_trait]
impl Subject for Arc<Servers> {
    async fn place(&self) -> Place {
        self.start()
    }

    fn host(&self) -> Arc<dyn RunnerHost> {
        Servers::host(self)
    }

    fn pack(&self, files: &BTreeMap<String, Vec<u8>>) -> Payload {
        pack(files)
    }

    fn unpack(&self, archive: &Payload) -> BTreeMap<String, Vec<u8>> {
        unpack(archive)
    }
}

fn drive(law: Law) {
    if let Some(servers) = Servers::new("the laws of hosts over SSH") {
        block_on(async { law(&servers).await });
    }
}

crate::host_laws!(drive);

/// Where there is nothing but busybox, its commands are enough.
#[test]
fn the_commands_of_busybox_are_enough() {
    let Some(busybox) = which("busybox") else {
        let _ = std::io::stderr().lock().write_all(b"\nSKIPPED: busybox is not installed, so it was NOT checked\n");
        return;
    };
    let laws: [Law; 8] = [
        |subject| Box::pin(laws::an_attempt_is_started_at_most_once(subject)),
        |subject| Box::pin(laws::output_larger_than_a_chunk_comes_whole(subject)),
        |subject| Box::pin(laws::a_timeout_ends_a_job(subject)),
        |subject| Box::pin(laws::a_stopped_job_is_asked_first(subject)),
        |subject| Box::pin(laws::a_job_given_up_is_lost(subject)),
        |subject| Box::pin(laws::staging_again_changes_nothing(subject)),
        |subject| Box::pin(laws::artifacts_come_home(subject)),
        |subject| Box::pin(laws::release_keeps_the_verdict(subject)),
    ];
    for law in laws {
        let servers = Servers::with_search_path("runners with busybox", |root| {
            let folder = root.join("busybox");
            std::fs::create_dir(&folder).expect("it is new");
            let made = Command::new(&busybox).args(["--install", "-s"]).arg(&folder).status();
            assert!(made.expect("it is a program").success());
            Some(folder.display().to_string())
        });
        if let Some(servers) = servers {
            block_on(async { law(&servers).await });
        }
    }
}
