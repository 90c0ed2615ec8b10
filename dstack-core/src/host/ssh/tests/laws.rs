//! The laws of all hosts hold over SSH.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::sshd::{Servers, block_on};
use crate::archive;
use crate::blob::Payload;
use crate::host::RunnerHost;
use crate::host::laws::{Law, Subject};
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
