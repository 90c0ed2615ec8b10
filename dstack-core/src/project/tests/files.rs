use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::archive::{Limits, list, unpack};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn write(root: &Path, path: &str, text: &str) {
    let place = root.join(path);
    fs::create_dir_all(place.parent().expect("it has a parent")).expect("folders can be made");
    fs::write(place, text).expect("a file can be written");
}

fn listed(root: &Path) -> Vec<String> {
    let list = list_files(root).expect("the folders can be read");
    list.files.iter().map(|file| file.path.display().to_string()).collect()
}

#[test]
fn what_is_left_out_is_neither_listed_nor_counted() {
    let root = folder();
    write(root.path(), "a", "12");
    write(root.path(), "home/log.db", "345");
    write(root.path(), "homely/b", "6");
    let list = list_files_without(root.path(), &root.path().join("home")).expect("the folders can be read");
    assert_eq!(list.files.iter().map(|file| file.path.to_str()).collect::<Vec<_>>(), [Some("a"), Some("homely/b")]);
    assert_eq!((list.size, list.ignored), (3, 1));
    let all = list_files(root.path()).expect("the folders can be read");
    for elsewhere in [root.path().join("none"), std::env::temp_dir().join("..")] {
        assert_eq!(list_files_without(root.path(), &elsewhere).expect("that is no error"), all);
    }
}

#[test]
fn a_file_that_went_away_after_it_was_listed_is_not_packed() {
    let root = folder();
    write(root.path(), "a", "12");
    write(root.path(), "b", "3");
    write(root.path(), "c", "4");
    let files = list_files(root.path()).expect("the folders can be read");
    fs::remove_file(root.path().join("b")).expect("it can be removed");
    let packed = pack_files(root.path(), &files, Vec::new()).expect("the others are packed");
    let names = list(&packed.bytes[..]).expect("it is an archive");
    assert_eq!((names.len(), packed.files), (2, 2), "{names:?}");
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "core.excludesFile=/dev/null",
            "-c",
            "core.quotePath=false",
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@x",
        ])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_DIR")
        .output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).expect("the tests' paths are text"))
        }
        Err(error) => {
            eprintln!("SKIPPED, nothing is compared with git: git cannot be run: {error}");
            None
        }
    }
}

/// What git lists, without what is gone and without folders (repositories inside).
fn git_lists(folder: &Path) -> Option<Vec<String>> {
    let text = git(folder, &["ls-files", "-co", "--exclude-standard", "-z"])?;
    let mut paths: Vec<String> = text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    paths.retain(|path| fs::symlink_metadata(folder.join(path)).is_ok_and(|facts| !facts.is_dir()));
    paths.sort_unstable();
    paths.dedup();
    Some(paths)
}

fn case_11_tree(root: &Path) {
    write(root, ".gitignore", "data/*\n!data/keep\n/huge/\n");
    for path in
        ["data/big.bin", "data/keep", "src/app/data/__init__.py", "huge/a", "huge/b/c", ".dstack/workflows.yaml"]
    {
        write(root, path, "x");
    }
}

const CASE_11: [&str; 4] = [".dstack/workflows.yaml", ".gitignore", "data/keep", "src/app/data/__init__.py"];

#[test]
fn case_11_a_project_without_a_repository_keeps_to_its_ignore_files() {
    let root = folder();
    case_11_tree(root.path());
    assert_eq!(listed(root.path()), CASE_11);
    let list = list_files(root.path()).expect("it can be read");
    // `data/big.bin` and the folder `huge`, which is not looked into.
    assert_eq!((list.ignored, list.size), (2, 4 + 24));
    assert_eq!(list.largest().map(|file| file.path.display().to_string()).as_deref(), Some(".gitignore"));
}

#[test]
fn case_11_what_git_lists_is_listed() {
    let root = folder();
    case_11_tree(root.path());
    if git(root.path(), &["init", "-q"]).is_none() {
        return;
    }
    assert_eq!(git_lists(root.path()).expect("git was there"), CASE_11);
    assert_eq!(listed(root.path()), CASE_11);
}

#[test]
fn case_11_rules_above_the_project_and_private_ones_hold() {
    let top = folder();
    write(top.path(), "outside/.gitignore", "never-seen\n");
    let repository = top.path().join("outside/repository");
    for path in ["a/p/x.log", "a/p/keep.log", "a/p/secret", "a/p/sub/secret", "a/p/never-seen", "a/other"] {
        write(&repository, path, "x");
    }
    write(&repository, ".gitignore", "*.log\n");
    write(&repository, "a/.gitignore", "!keep.log\n");
    if git(&repository, &["init", "-q"]).is_none() {
        return;
    }
    write(&repository, ".git/info/exclude", "/a/p/secret\n");
    let project = repository.join("a/p");
    assert_eq!(listed(&project), ["keep.log", "never-seen", "sub/secret"]);
    assert_eq!(git_lists(&project).expect("git was there"), listed(&project));
    // The project's own folder is ignored: git lists nothing in it but what is tracked.
    git(&repository, &["add", "a/p/keep.log"]);
    write(&repository, ".gitignore", "*.log\n/a\n");
    assert_eq!(listed(&project), ["keep.log"]);
    assert_eq!(git_lists(&project).expect("git was there"), listed(&project));
}

#[test]
fn what_is_tracked_travels_although_it_is_ignored() {
    for version in ["2", "4"] {
        let root = folder();
        write(root.path(), ".gitignore", "out\n*.bin\n");
        for path in ["out/model/weights", "out/model/other", "deep/a.bin", "deep/b.bin", "gone.bin", "plain"] {
            write(root.path(), path, "x");
        }
        if git(root.path(), &["init", "-q"]).is_none() {
            return;
        }
        git(root.path(), &["config", "index.version", version]);
        git(root.path(), &["add", "-f", "out/model/weights", "deep/a.bin", "gone.bin", "plain"]);
        git(root.path(), &["update-index", "--index-version", version]);
        fs::remove_file(root.path().join("gone.bin")).expect("it was there");
        assert_eq!(
            listed(root.path()),
            [".gitignore", "deep/a.bin", "out/model/weights", "plain"],
            "version {version}"
        );
        assert_eq!(git_lists(root.path()).expect("git was there"), listed(root.path()));
    }
}

#[test]
fn a_repository_inside_travels_by_its_own_rules() {
    let root = folder();
    write(root.path(), ".gitignore", "*.log\n");
    write(root.path(), "lib/.gitignore", "build\n");
    for path in ["lib/a.log", "lib/build/x", "lib/code", "main"] {
        write(root.path(), path, "x");
    }
    let both = [root.path().to_path_buf(), root.path().join("lib")];
    if both.iter().any(|folder| git(folder, &["init", "-q"]).is_none()) {
        return;
    }
    assert_eq!(listed(root.path()), [".gitignore", "lib/.gitignore", "lib/a.log", "lib/code", "main"]);
}

#[test]
fn links_are_listed_as_links_and_pipes_are_not() {
    let root = folder();
    write(root.path(), "real/f", "x");
    symlink("real", root.path().join("dir")).expect("a link can be made");
    symlink("/etc", root.path().join("out")).expect("a link can be made");
    symlink("not-yet", root.path().join("later")).expect("a link can be made");
    assert!(Command::new("mkfifo").arg(root.path().join("pipe")).status().expect("it can be run").success());
    assert_eq!(listed(root.path()), ["dir", "later", "out", "real/f"]);
    let packed =
        pack_files(root.path(), &list_files(root.path()).expect("fine"), Vec::new()).expect("it can be packed");
    assert_eq!((packed.left_behind, packed.files), (vec!["out".to_owned()], 3));
}

#[test]
fn packing_is_deterministic_and_unpacks_to_the_same_files() {
    let (one, two, to) = (folder(), folder(), folder());
    for root in [one.path(), two.path()] {
        case_11_tree(root);
    }
    write(two.path(), "data/big.bin", "ignored, and different");
    let pack = |root: &Path| pack_files(root, &list_files(root).expect("fine"), Vec::new()).expect("it can be packed");
    assert_eq!(pack(one.path()), pack(two.path()));
    let packed = pack(one.path());
    let paths: Vec<String> =
        list(&packed.bytes[..]).expect("it is whole").into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, CASE_11);
    unpack(&packed.bytes[..], to.path(), &Limits::default()).expect("it can be unpacked");
    assert_eq!(listed(to.path()), CASE_11);
}

#[test]
fn too_much_is_refused_before_it_is_read_with_the_largest_folders() {
    let root = folder();
    let hole = |path: &str, gib: u64| {
        write(root.path(), path, "");
        let file = fs::File::options().write(true).open(root.path().join(path)).expect("it is there");
        file.set_len(gib << 30).expect("a file may have a hole");
    };
    hole("data/a/one", 1);
    hole("data/b/two", 2);
    hole("model", 1);
    hole("z/three", 3);
    write(root.path(), "small", "x");
    let list = list_files(root.path()).expect("it can be listed");
    let error = pack_files(root.path(), &list, Vec::new()).expect_err("it is too much").to_string();
    assert!(error.contains("have 7GB, and at most 2GB"), "{error}");
    assert!(error.ends_with("(largest: data 3GB, z 3GB, model 1GB)"), "{error}");
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    let part =
        prop_oneof![6 => "[ab]{1,2}", 1 => "a\\.b", 1 => "[a-c] b", 1 => "\\[a\\]", 1 => "\\*", 1 => "#a", 1 => "!b"];
    let path = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    proptest::collection::vec(path, 1..14)
}

fn rules() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[ab]{1,2}", 4 => Just("/".to_owned()), 3 => Just("*".to_owned()), 2 => Just("**".to_owned()), 2 => Just("?".to_owned()),
        1 => Just("[ab]".to_owned()), 1 => Just("[!a]".to_owned()), 1 => Just("\\".to_owned()), 1 => Just("a.b".to_owned()),
        1 => Just("[[:alpha:]]".to_owned()), 1 => Just("[]-a]".to_owned()), 1 => Just("[^b-\\z]".to_owned()),
        1 => Just(" ".to_owned()), 1 => Just("[".to_owned()), 1 => Just("#".to_owned()),
    ];
    let line = (any::<bool>(), proptest::collection::vec(piece, 1..5), any::<bool>()).prop_map(|(no, pieces, end)| {
        format!("{}{}{}", if no { "!" } else { "" }, pieces.concat(), if end { "/" } else { "" })
    });
    proptest::collection::vec(line, 0..5).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn git_lists_the_same(
        files in paths(),
        own in rules(),
        ignores in proptest::collection::btree_map("[ab]{1,2}(/[ab]{1,2})?", rules(), 0..3),
        private in rules(),
        tracked in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let root = folder();
        let top = root.path();
        for path in &files {
            let place = top.join(path);
            let parent = place.parent().expect("it has a parent");
            if fs::create_dir_all(parent).is_ok() && !place.is_dir() {
                fs::write(&place, "x").expect("a file can be written");
            }
        }
        fs::write(top.join(".gitignore"), &own).expect("a file can be written");
        let in_folders: BTreeMap<&String, &String> = ignores.iter().filter(|(path, _)| top.join(path).is_dir()).collect();
        for (path, rules) in &in_folders {
            fs::write(top.join(path).join(".gitignore"), rules).expect("a file can be written");
        }
        if git(top, &["init", "-q"]).is_none() {
            return Ok(());
        }
        fs::write(top.join(".git/info/exclude"), &private).expect("a file can be written");
        for index in tracked {
            let path = index.get(&files);
            if top.join(path).is_file() {
                git(top, &["--literal-pathspecs", "add", "-f", "--", path]);
            }
        }
        prop_assert_eq!(listed(top), git_lists(top).expect("git was there"), "own {:?} folders {:?} private {:?}", own, in_folders, private);
    }
}
