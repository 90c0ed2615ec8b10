//! The one and only fold.

#[expect(clippy::module_inception, reason = "the fold itself is this folder's main thing")]
mod apply;
mod attempts;
mod rules;
mod runners;
mod workflows;
