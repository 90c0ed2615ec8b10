//! The reference scenarios: what went wrong in other tools of this kind (R1 to R17), and the plain ways of a workflow.

mod clouds;
mod runners;
mod words;
mod work;

use super::story::Story;

/// All of them.
pub fn stories() -> impl Iterator<Item = &'static Story> {
    clouds::STORIES.iter().chain(runners::STORIES).chain(work::STORIES)
}
