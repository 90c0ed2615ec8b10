//! Archives of a few files, for the tests of hosts with real folders.

use std::collections::BTreeMap;
use std::path::Path;

use crate::archive;
use crate::blob::Payload;

pub(crate) fn pack(files: &BTreeMap<String, Vec<u8>>) -> Payload {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the folder")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    let packed = archive::pack(folder.path(), files.keys().map(Path::new)).expect("what was just written is there");
    packed.bytes.into()
}

pub(crate) fn unpack(archive: &Payload) -> BTreeMap<String, Vec<u8>> {
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
