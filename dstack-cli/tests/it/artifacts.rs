//! What workflows leave behind.

use crate::bench::Bench;

#[test]
fn case_09_links_that_stay_inside_arrive_and_others_are_named_in_one_warning() {
    let script = "mkdir -p out/real; echo hi > out/real/f; ln -s real/f out/link; ln -s real out/dir; \
                  ln -s nowhere out/dangling; ln -s /etc/hostname out/outside; ln -s .. out/up";
    let bench = Bench::allowing(1, "workflows: []");
    bench.ok(&["run", "--name", "r", "--artifact", "out", "--", "sh", "-c", script]);
    let to = bench.path("there");
    let ended = bench.dstack(&["artifacts", "download", "r", "--output", &to.display().to_string()]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for name in ["out/link", "out/dir/f", "out/real/f"] {
        assert_eq!(std::fs::read_to_string(to.join(name)).expect(name), "hi\n");
    }
    for name in ["out/dangling", "out/outside", "out/up"] {
        assert!(to.join(name).symlink_metadata().is_err(), "{name}");
        assert_eq!(ended.err.matches(name).count(), 1, "{}", ended.err);
    }
    assert_eq!(ended.err.matches("warning: ").count(), 1, "{}", ended.err);
    let list = bench.json(&["artifacts", "r", "--json"]);
    assert_eq!(list["left_behind"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_file_that_differs_is_not_overwritten_unless_asked() {
    let bench = Bench::allowing(1, "workflows: []");
    bench.ok(&["run", "--name", "r", "--artifact", "out", "--", "sh", "-c", "echo new > out"]);
    bench.write("out", "mine\n");
    let ended = bench.dstack(&["artifacts", "download", "r"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("--force"), "{}", ended.err);
    assert_eq!(std::fs::read_to_string(bench.path("out")).expect("it is there"), "mine\n");
    bench.ok(&["artifacts", "download", "r", "--force"]);
    bench.ok(&["artifacts", "download", "r"]);
    assert_eq!(std::fs::read_to_string(bench.path("out")).expect("it is there"), "new\n");
}

#[test]
fn a_declared_artifact_that_is_missing_fails_the_workflow() {
    let bench = Bench::allowing(1, "workflows: []");
    let ended =
        bench.dstack(&["run", "--name", "r", "--artifact", "missing", "--artifact", "out", "--", "touch", "out"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    let row = bench.row("r", "touch");
    assert_eq!((&row["phase"], &row["reason"]), (&"failed".into(), &"artifact_missing".into()));
    assert_eq!(bench.json(&["artifacts", "list", "r", "--json"])["artifacts"][0]["path"], "out");
}

#[test]
fn a_users_link_to_a_folder_is_not_replaced_unless_asked() {
    let bench = Bench::allowing(1, "workflows: []");
    bench.ok(&[
        "run",
        "--name",
        "r",
        "--artifact",
        "out",
        "--",
        "sh",
        "-c",
        "mkdir -p out/deep; echo new > out/deep/f",
    ]);
    for (link, target) in [("out", "elsewhere"), ("into/out/deep", "elsewhere/deep")] {
        bench.write("elsewhere/deep/mine", "mine\n");
        let link = bench.path(link);
        std::fs::create_dir_all(link.parent().expect("it has one")).expect("made");
        std::os::unix::fs::symlink(bench.path(target), &link).expect("made");
        let into = if link.ends_with("deep") { bench.path("into") } else { bench.path(".") };
        let into = into.display().to_string();
        let ended = bench.dstack(&["artifacts", "download", "r", "--output", &into]);
        assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{}", ended.err);
        assert!(ended.err.contains("--force"), "{}", ended.err);
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert!(!bench.path("elsewhere/deep/f").exists());
        bench.ok(&["artifacts", "download", "r", "--output", &into, "--force"]);
        assert!(link.symlink_metadata().expect("there").is_dir());
        assert_eq!(std::fs::read_to_string(bench.path("elsewhere/deep/mine")).expect("it is left"), "mine\n");
    }
}
