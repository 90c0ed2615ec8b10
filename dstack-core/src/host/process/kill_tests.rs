//! What becomes of attempts when their supervisor or their processes are killed, and that the laws hold here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use super::ProcessHost;
use super::test_runner::{TestRunners, block_on};
use crate::archive;
use crate::host::RunnerHost;
use crate::host::laws::{Law, Subject};
use crate::model::Place;

struct Processes(TestRunners);

#[async_trait]
impl Subject for Processes {
    async fn place(&self) -> Place {
        self.0.start()
    }

    fn host(&self) -> Arc<dyn RunnerHost> {
        Arc::new(ProcessHost::new(self.0.root.path().to_owned()))
    }

    fn pack(&self, files: &BTreeMap<String, Vec<u8>>) -> Buffer {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (path, content) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it is below the folder")).expect("made");
            std::fs::write(path, content).expect("written");
        }
        let packed = archive::pack(folder.path(), files.keys().map(Path::new)).expect("what was just written is there");
        packed.bytes.into()
    }

    fn unpack(&self, archive: &Buffer) -> BTreeMap<String, Vec<u8>> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        archive::unpack(archive, folder.path(), &archive::Limits::default()).expect("it was just packed");
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(path) = folders.pop() {
            for entry in std::fs::read_dir(path).expect("it is a folder") {
                let path = entry.expect("read").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder.path()).expect("it is below").to_str().expect("it is text");
                    files.insert(name.to_owned(), std::fs::read(&path).expect("read"));
                }
            }
        }
        files
    }
}

fn drive(law: Law) {
    block_on(async { law(&Processes(TestRunners::new())).await });
}

crate::host_laws!(drive);
