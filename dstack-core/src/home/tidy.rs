//! What crashes and ended runners leave in the folder, taken away once nobody can need it.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Files that a process of ours makes and renames or removes at once are left over after this long.
const LEFT_OVER_AFTER: Duration = Duration::from_hours(24);
/// Names of spent launches keep a late launch from starting anything. None is later than its claim, which is seconds.
const SPENT_FOR: Duration = Duration::from_hours(7 * 24);

/// Takes away what is older than it can be of use. `now` is the wall clock's, in microseconds since 1970.
///
/// # Errors
/// When a folder cannot be read or something in it not removed; what came before it is gone.
pub(super) fn tidy(home: &Path, now: i64) -> io::Result<()> {
    let now = Duration::from_micros(u64::try_from(now).unwrap_or_default());
    let runners = home.join("runners");
    remove_older(&runners.join(".spent"), now, SPENT_FOR, |_| true)?;
    remove_older(&runners, now, LEFT_OVER_AFTER, |name| name.starts_with(".new-"))?;
    let blobs = home.join("blobs");
    remove_older(&blobs, now, LEFT_OVER_AFTER, |name| name.starts_with(".payload-"))?;
    for folder in entries(&blobs)? {
        if folder.file_type()?.is_dir() {
            remove_older(&folder.path(), now, LEFT_OVER_AFTER, |name| name.starts_with(".new-"))?;
        }
    }
    // Host keys of runners that never came to be ready: those of others are in the log.
    for log in entries(&home.join("ssh"))? {
        remove_older(&log.path().join("known"), now, LEFT_OVER_AFTER, |_| true)?;
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn remove_older(folder: &Path, now: Duration, age: Duration, is_meant: fn(&str) -> bool) -> io::Result<()> {
    for entry in entries(folder)? {
        if !entry.file_name().to_str().is_some_and(is_meant) {
            continue;
        }
        let facts = entry.metadata()?;
        let changed = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        if now.saturating_sub(changed) < age {
            continue;
        }
        let removed = if facts.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        match removed {
            // Another process tidies as well.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    /// The time of the newest of these files, which were just made.
    fn now_of(path: &Path) -> i64 {
        let changed = fs::metadata(path).expect("it is there").modified().expect("the file system keeps times");
        i64::try_from(changed.duration_since(UNIX_EPOCH).expect("it is after 1970").as_micros()).expect("it fits")
    }

    #[test]
    fn only_what_nobody_can_need_any_more_is_taken_away() {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let kept = ["runners/token/request", "blobs/ab/cdef", "log.db", "ssh/log/key"];
        let left_over = ["runners/.new-token-1/request", "blobs/.payload-1-1", "blobs/ab/.new-1-1", "ssh/log/known/r"];
        let spent = ["runners/.spent/token"];
        let all: Vec<_> = kept.iter().chain(&left_over).chain(&spent).map(|name| home.path().join(name)).collect();
        for path in &all {
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, "").expect("made");
        }
        let now = now_of(all.last().expect("there are some"));
        let there = || all.iter().filter(|path| path.exists()).count();
        tidy(home.path(), now + HOUR).expect("it can be tidied");
        assert_eq!(there(), 9);
        tidy(home.path(), now + 25 * HOUR).expect("it can be tidied");
        assert_eq!(there(), 5, "left over files go after a day, spent names stay");
        tidy(home.path(), now + 8 * 24 * HOUR).expect("it can be tidied");
        assert!(kept.iter().all(|name| home.path().join(name).exists()));
        assert_eq!(there(), 4);
        tidy(&home.path().join("nothing"), now).expect("a home that is not there is tidy");
    }
}
