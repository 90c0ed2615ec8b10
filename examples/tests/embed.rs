//! The example `embed` as its reader starts it. `cargo test` builds the examples before it runs this.

use std::path::Path;
use std::process::{Command, Output};

fn embed(folder: &Path) -> Output {
    let test = std::env::current_exe().expect("a test knows its own file");
    let target = test.ancestors().nth(2).expect("tests are in a folder of the target's");
    let run = Command::new(target.join("examples/embed")).arg(folder).output();
    run.expect("cargo has built it: `cargo build -p examples --examples`")
}

#[test]
fn it_prints_what_both_workflows_printed_and_goes_on_in_the_same_folder() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let home = folder.path().join("home");
    for _ in 0..2 {
        let output = embed(&home);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(printed.starts_with("count: counted\nsum: total 55\n"), "{printed}");
    }
    assert!(home.join("log.db").is_file());
}
