use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;

use super::{Home, HomeError, LogFile};

fn empty() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let home = Home::new(folder.path().join("home"));
    (folder, home)
}

#[tokio::test]
async fn reading_an_empty_home_finds_nothing_and_makes_no_file() {
    let (_folder, home) = empty();
    let mut client = home.reader().expect("an empty home can be read");
    client.refresh().await.expect("an empty log can be read");
    assert!(client.state().runs().is_empty());
    assert_eq!(home.is_controller_live(), Some(false));
    assert!(!home.path().exists());
}

#[tokio::test]
async fn what_is_written_is_read_and_the_folder_is_its_owners_alone() {
    let (_folder, home) = empty();
    home.client().expect("a home can be made").create_log().await.expect("a log can be made");
    let mode = std::fs::metadata(home.path()).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut client = home.reader().expect("it can be read");
    client.refresh().await.expect("it can be read");
    assert!(client.state().log().is_some());
}

#[test]
fn a_folder_that_others_can_change_is_refused() {
    let (_folder, home) = empty();
    home.create().expect("it can be made");
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    assert!(matches!(home.create(), Err(HomeError::Shared(_))));
}

#[test]
fn the_lock_has_one_holder_at_a_time() {
    let (_folder, home) = empty();
    let held = home.try_lock().expect("the lock can be tried").expect("nobody holds it");
    assert!(home.try_lock().expect("the lock can be tried").is_none());
    assert_eq!(home.is_controller_live(), Some(true));
    drop(held);
    assert_eq!(home.is_controller_live(), Some(false));
    assert!(home.try_lock().expect("the lock can be tried").is_some());
}

#[test]
fn a_log_file_never_grows_beyond_its_bound() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("controller.log");
    let mut log = LogFile::open(&path, 100).expect("it can be made");
    for number in 0..50 {
        writeln!(log, "line {number} of some length").expect("it can be written");
    }
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).expect("both are there").len();
    assert!(size("controller.log") <= 100);
    assert!(size("controller.log.1") <= 100);
    let text = std::fs::read_to_string(&path).expect("it is text");
    assert!(text.ends_with("line 49 of some length\n"), "the newest line is kept: {text}");
}
