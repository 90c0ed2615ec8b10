//! Which symbolic links may travel: those that stay inside, whatever other links stand beside them.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Whether a link that stands in the (real) folder `parent`, relative to the tree's root, stays inside the tree.
///
/// `..` counts only at the beginning of the target: after a name it could climb out through another link.
pub(super) fn stays_inside(parent: &Path, target: &Path) -> bool {
    let mut depth = parent.components().filter(|part| matches!(part, Component::Normal(_))).count();
    let mut is_below = false;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => is_below = true,
            Component::ParentDir if is_below || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

/// The relative way from the folder `from` to `to`, both of them relative to one root and without links.
pub(super) fn way(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let mut way = PathBuf::new();
    from.components().skip(shared).for_each(|_| way.push(".."));
    to.components().skip(shared).for_each(|part| way.push(part));
    if way.as_os_str().is_empty() {
        way.push(".");
    }
    way
}

/// What the link's text should be in the archive, if what it leads to exists inside `base`, a real folder. `at` is the
/// link's place below it.
pub(super) fn live_target(base: &Path, at: &Path) -> Option<PathBuf> {
    let link = base.join(at);
    let parent = at.parent().unwrap_or_else(|| Path::new(""));
    let end = fs::canonicalize(&link).ok()?;
    let end = end.strip_prefix(base).ok()?;
    let text = fs::read_link(&link).ok()?;
    Some(if stays_inside(parent, &text) { text } else { way(parent, end) })
}

/// As [`live_target`], but a link may also lead to something inside that is not there (yet).
pub(super) fn target(base: &Path, at: &Path) -> Option<PathBuf> {
    let parent = at.parent().unwrap_or_else(|| Path::new(""));
    live_target(base, at).or_else(|| {
        let text = fs::read_link(base.join(at)).ok()?;
        (stays_inside(parent, &text) && fs::metadata(base.join(at)).is_err()).then_some(text)
    })
}
