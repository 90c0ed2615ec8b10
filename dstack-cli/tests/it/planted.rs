//! The program cannot be built with bugs on purpose.

use std::fs;
use std::path::Path;
use std::process::Command;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is a member of the workspace")
}

#[test]
fn only_the_core_and_the_examples_know_of_planted_bugs() {
    let mut knowing = Vec::new();
    for member in ["dstack-core", "dstack-aws", "dstack-cli", "examples", "benches"] {
        let manifest = fs::read_to_string(workspace().join(member).join("Cargo.toml")).expect("it has a manifest");
        let features = manifest.lines().filter(|line| !line.starts_with('#') && line.contains("planted"));
        knowing.extend(features.map(|line| format!("{member}: {line}")));
    }
    let expected = [r#"dstack-core: planted = ["testkit"]"#, r#"examples: planted = ["dstack-core/planted"]"#];
    assert_eq!(knowing, expected);
}

#[test]
#[ignore = "compiles the program anew, into a folder of its own: a minute or two; .ci/run does the same"]
fn the_program_does_not_compile_with_planted_bugs() {
    let target = tempfile::tempdir().expect("a folder can be made");
    let check = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--locked", "-p", "dstack-cli", "--no-default-features"])
        .args(["--features", "dstack-core/planted"])
        .current_dir(workspace())
        .env("CARGO_TARGET_DIR", target.path())
        .output()
        .expect("cargo runs");
    let words = String::from_utf8_lossy(&check.stderr);
    assert!(!check.status.success());
    assert!(words.contains("dstack is not built with the feature `planted`"), "{words}");
}
