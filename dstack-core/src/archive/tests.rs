use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn write(root: &Path, path: &str, text: &str) {
    let place = root.join(path);
    fs::create_dir_all(place.parent().expect("it has a parent")).expect("folders can be made");
    fs::write(place, text).expect("a file can be written");
}

fn link(root: &Path, target: &str, path: &str) {
    symlink(target, root.join(path)).expect("a link can be made");
}

/// Every path below the folder with what it is, without following links.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(root.join(&at)).expect("the folder can be read") {
            let entry = entry.expect("the entry can be read");
            let path = at.join(entry.file_name());
            let facts = entry.metadata().expect("the entry has facts");
            let what = if facts.is_symlink() {
                format!("-> {}", fs::read_link(entry.path()).expect("it is a link").display())
            } else if facts.is_dir() {
                waiting.push(path.clone());
                "folder".to_owned()
            } else {
                let executable = facts.permissions().mode() & 0o111 != 0;
                format!("{executable} {:?}", fs::read(entry.path()).expect("the file can be read"))
            };
            found.insert(path, what);
        }
    }
    found
}

/// An archive made of raw entries: kind, path, link target or content.
fn hostile(entries: &[(tar::EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).expect("the level is valid"));
    for (kind, path, rest) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o6755);
        let field = &mut header.as_old_mut().name;
        field[..path.len()].copy_from_slice(path.as_bytes());
        let content = if *kind == tar::EntryType::Regular { rest.as_bytes() } else { b"" };
        if content.is_empty() {
            header.as_old_mut().linkname[..rest.len()].copy_from_slice(rest.as_bytes());
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("memory takes it");
    }
    builder.into_inner().and_then(zstd::Encoder::finish).expect("memory takes it")
}

use tar::EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

fn case_09_tree(root: &Path) {
    write(root, "out/real/f", "hi\n");
    link(root, "real/f", "out/link");
    link(root, "real", "out/dir");
    link(root, "nowhere", "out/dangling");
    link(root, "/etc/hostname", "out/outside");
    link(root, "..", "out/up");
    link(root, "out", "latest");
}

#[test]
fn case_09_links_that_stay_inside_arrive_and_the_others_are_named() {
    let (from, to) = (folder(), folder());
    case_09_tree(from.path());
    let packed = pack_path(from.path(), Path::new("out")).expect("it can be packed").expect("it is there");
    assert_eq!(packed.left_behind, ["out/dangling", "out/outside", "out/up"]);
    unpack(&packed.bytes[..], to.path(), &Limits::default()).expect("it can be unpacked");
    for path in ["out/link", "out/dir/f", "out/real/f"] {
        assert_eq!(fs::read_to_string(to.path().join(path)).expect("it arrived"), "hi\n", "{path}");
    }
    assert_eq!(tree(to.path()).len(), 5, "{:?}", tree(to.path()));
}

#[test]
fn case_09_an_artifact_that_is_itself_a_link_arrives_with_its_content() {
    let (from, to) = (folder(), folder());
    case_09_tree(from.path());
    let packed = pack_path(from.path(), Path::new("latest")).expect("it can be packed").expect("it is there");
    assert_eq!(packed.left_behind, ["latest/dangling", "latest/outside", "latest/up"]);
    unpack(&packed.bytes[..], to.path(), &Limits::default()).expect("it can be unpacked");
    assert_eq!(fs::read_to_string(to.path().join("latest/dir/f")).expect("it arrived"), "hi\n");
}

#[test]
fn an_artifact_that_leads_out_is_named_and_nothing_of_it_is_packed() {
    let from = folder();
    link(from.path(), "/etc", "latest");
    link(from.path(), "a", "b");
    link(from.path(), "b", "a");
    for path in ["latest", "latest/hostname", "a"] {
        let packed = pack_path(from.path(), Path::new(path)).expect("it can be packed").expect("it is there");
        assert_eq!((packed.entries, packed.left_behind), (0, vec![path.to_owned()]));
    }
    assert_eq!(pack_path(from.path(), Path::new("missing")).expect("that is no error"), None);
    assert!(pack_path(from.path(), Path::new("../x")).is_err());
}

#[test]
fn an_absolute_link_to_something_inside_arrives_as_a_relative_one() {
    let from = folder();
    write(from.path(), "out/run/1/f", "x");
    write(from.path(), "out/deep/er/g", "x");
    let target = from.path().join("out/run/1");
    symlink(target, from.path().join("out/deep/er/latest")).expect("a link can be made");
    let packed = pack_path(from.path(), Path::new("out")).expect("it can be packed").expect("it is there");
    let entries = list(&packed.bytes[..]).expect("it is whole");
    let link = entries.iter().find(|entry| entry.path == "out/deep/er/latest").expect("the link is there");
    assert_eq!(link.kind, EntryKind::Link("../../run/1".to_owned()));
}

#[test]
fn a_pipe_is_left_behind_and_does_not_hang() {
    let from = folder();
    write(from.path(), "out/f", "x");
    let made = std::process::Command::new("mkfifo").arg(from.path().join("out/pipe")).status();
    assert!(made.expect("mkfifo can be run").success());
    let packed = pack_path(from.path(), Path::new("out")).expect("it can be packed").expect("it is there");
    assert_eq!(packed.left_behind, ["out/pipe"]);
}

#[test]
fn nothing_is_written_outside_whatever_an_archive_says() {
    let refused: &[&[(tar::EntryType, &str, &str)]] = &[
        &[(Regular, "../x", "bad")],
        &[(Regular, "a/../../x", "bad")],
        &[(Regular, "/tmp/x", "bad")],
        &[(Directory, "../d", "")],
        &[(Symlink, "l", "/etc")],
        &[(Symlink, "l", "..")],
        &[(Symlink, "d/l", "../../x")],
        &[(Symlink, "l", "")],
        // Climbs out through another link, though each looks harmless by itself.
        &[(Symlink, "a/b/root", "../.."), (Symlink, "a/b/x", "root/../..")],
        &[(Directory, "deep", ""), (Symlink, "deep/d", ".."), (Symlink, "deep/x", "d/../..")],
        &[(Link, "h", "/etc/hostname")],
        &[(Link, "h", "../x")],
        &[(Link, "h", "f")],
        &[(Char, "dev", "")],
        &[(Block, "dev", "")],
        &[(Fifo, "pipe", "")],
    ];
    for entries in refused {
        let around = folder();
        let inside = around.path().join("in");
        let result = unpack(&hostile(entries)[..], &inside, &Limits::default());
        assert!(result.is_err(), "{entries:?}");
        assert!(list(&hostile(entries)[..]).is_err(), "{entries:?}");
        assert!(tree(around.path()).keys().all(|path| path.starts_with("in")), "{entries:?}");
    }
}

#[test]
fn a_link_is_never_written_through() {
    let around = folder();
    let inside = around.path().join("in");
    write(around.path(), "victim/f", "untouched");
    fs::create_dir(&inside).expect("a folder can be made");
    // Links that were there before, to the outside, and one that the archive brings itself.
    link(&inside, "../victim", "l");
    link(&inside, "../victim/f", "file");
    let archive = hostile(&[
        (Regular, "l/f", "new"),
        (Regular, "file", "new"),
        (Directory, "own", ""),
        (Symlink, "ln", "own"),
        (Regular, "ln/g", "new"),
    ]);
    unpack(&archive[..], &inside, &Limits::default()).expect("it stays inside");
    assert_eq!(fs::read_to_string(around.path().join("victim/f")).expect("it is there"), "untouched");
    assert_eq!(fs::read_to_string(inside.join("l/f")).expect("it is there"), "new");
    assert!(!inside.join("own/g").exists());
}

#[test]
fn setuid_is_dropped() {
    let to = folder();
    unpack(&hostile(&[(Regular, "f", "x")])[..], to.path(), &Limits::default()).expect("it is harmless");
    let mode = fs::metadata(to.path().join("f")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7000, 0);
    assert_ne!(mode & 0o100, 0);
}

#[test]
fn counts_and_sizes_are_bounded() {
    let archive = hostile(&[(Regular, "a", "12345"), (Regular, "b", "12345")]);
    let to = folder();
    let few = Limits { entries: 1, size: 100 };
    assert!(matches!(unpack(&archive[..], to.path(), &few), Err(ArchiveError::TooMany(1))));
    let small = Limits { entries: 10, size: 9 };
    assert!(matches!(unpack(&archive[..], to.path(), &small), Err(ArchiveError::TooLarge(9))));
    let enough = Limits { entries: 2, size: 10 };
    assert_eq!(unpack(&archive[..], to.path(), &enough).expect("it fits"), Unpacked { files: 2, size: 10 });
}

#[test]
fn a_name_of_megabytes_is_refused_before_it_is_read() {
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).expect("the level is valid"));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    builder.append(&header, &[b'a'; 4096][..]).expect("memory takes it");
    let archive = builder.into_inner().and_then(zstd::Encoder::finish).expect("memory takes it");
    assert!(matches!(list(&archive[..]), Err(ArchiveError::Outside(_))));
}

#[test]
fn long_names_travel() {
    let (from, to) = (folder(), folder());
    let path = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    write(from.path(), &path, "x");
    link(from.path(), &path, "l");
    let packed = pack(from.path(), ["l", &path].into_iter().map(Path::new)).expect("it can be packed");
    unpack(&packed.bytes[..], to.path(), &Limits::default()).expect("it can be unpacked");
    assert_eq!(tree(from.path()), tree(to.path()));
}

#[test]
fn a_damaged_or_cut_archive_is_no_archive() {
    let from = folder();
    write(from.path(), "f", &"content ".repeat(1000));
    let packed = pack(from.path(), [Path::new("f")].into_iter()).expect("it can be packed").bytes;
    for end in 0..packed.len() {
        assert!(list(&packed[..end]).is_err(), "{end} of {} bytes", packed.len());
    }
    for place in 0..packed.len() {
        let mut damaged = packed.clone();
        damaged[place] ^= 0x10;
        // The size field of the frame's header may grow without harm; content never differs in silence.
        if let Ok(entries) = list(&damaged[..]) {
            assert_eq!(entries, list(&packed[..]).expect("it is whole"), "byte {place}");
        }
    }
}

/// A small tree: path, and what is there (a file's content and mode, or a link's target).
fn trees() -> impl Strategy<Value = BTreeMap<String, Result<(String, bool), String>>> {
    let name = "[a-c]{1,2}";
    let path = proptest::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let what = prop_oneof![
        3 => (".{0,20}", any::<bool>()).prop_map(Ok),
        1 => "(\\.\\./){0,3}[a-c]{0,2}(/[a-c])?(/\\.\\.)?|/etc".prop_map(Err),
    ];
    proptest::collection::btree_map(path, what, 0..12)
}

fn lay(root: &Path, files: &BTreeMap<String, Result<(String, bool), String>>) {
    for (path, what) in files {
        let place = root.join(path);
        let parent = place.parent().expect("it has a parent");
        // Paths that collide with a file or link before them are left out; nothing is made where a link leads out.
        let there = parent.ancestors().find_map(|above| fs::canonicalize(above).ok()).expect("the root is there");
        if !there.starts_with(root) || fs::create_dir_all(parent).is_err() {
            continue;
        }
        match what {
            Ok((text, executable)) if fs::write(&place, text).is_ok() => {
                let mode = if *executable { 0o750 } else { 0o600 };
                fs::set_permissions(&place, fs::Permissions::from_mode(mode)).expect("it is ours");
            }
            Err(target) if !target.is_empty() => drop(symlink(target, &place)),
            Ok(_) | Err(_) => {}
        }
    }
}

#[test]
fn a_link_that_leads_out_is_followed_by_no_file_of_a_made_up_tree() {
    let from = folder();
    let root = fs::canonicalize(from.path()).expect("it is there").join("out");
    fs::create_dir(&root).expect("a folder can be made");
    let files = [("a", Err("../".to_owned())), ("a/a/a", Ok((String::new(), false)))];
    lay(&root, &files.into_iter().map(|(path, what)| (path.to_owned(), what)).collect());
    assert_eq!(tree(from.path()).len(), 2, "the folder and the link");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_packed_is_unpacked_and_only_named_things_are_missing(files in trees()) {
        let (from, to) = (folder(), folder());
        let root = fs::canonicalize(from.path()).expect("it is there").join("out");
        fs::create_dir(&root).expect("a folder can be made");
        lay(&root, &files);
        let packed = pack_path(from.path(), Path::new("out")).expect("it can be packed").expect("it is there");
        unpack(&packed.bytes[..], to.path(), &Limits::default()).expect("our own archives can be unpacked");
        let (mut before, after) = (tree(from.path()), tree(to.path()));
        for path in &packed.left_behind {
            prop_assert!(before.remove(Path::new(path)).is_some());
        }
        prop_assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for (path, what) in before.iter().filter(|(_, what)| !what.starts_with("->")) {
            prop_assert_eq!(what, &after[path]);
        }
        // Again over what is there: the same tree and, packed again, the same bytes.
        unpack(&packed.bytes[..], to.path(), &Limits::default()).expect("again is harmless");
        prop_assert_eq!(&tree(to.path()), &after);
        let again = pack_path(to.path(), Path::new("out")).expect("it can be packed").expect("it is there");
        if packed.left_behind.is_empty() {
            prop_assert_eq!(again.bytes, packed.bytes);
        }
    }

    #[test]
    fn an_archive_changed_anywhere_leaves_the_folder_alone(
        files in trees(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (from, around) = (folder(), folder());
        lay(from.path(), &files);
        let Some(packed) = pack_path(from.path(), Path::new("out")).expect("it can be packed") else { return Ok(()) };
        let mut plain = zstd::decode_all(&packed.bytes[..]).expect("it was just packed");
        for (place, byte) in changes {
            *place.get_mut(&mut plain) = byte;
        }
        let bytes = zstd::encode_all(&plain[..], 1).expect("memory takes it");
        let _ = unpack(&bytes[..], &around.path().join("in"), &Limits::default());
        prop_assert!(tree(around.path()).keys().all(|path| path.starts_with("in")));
    }

    #[test]
    fn no_bytes_make_it_panic_or_leave_the_folder(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let around = folder();
        let _ = unpack(&bytes[..], &around.path().join("in"), &Limits::default());
        let plain = zstd::encode_all(&bytes[..], 1).expect("memory takes it");
        let _ = unpack(&plain[..], &around.path().join("in"), &Limits { entries: 10, size: 1000 });
        prop_assert!(tree(around.path()).keys().all(|path| path.starts_with("in")));
    }
}
