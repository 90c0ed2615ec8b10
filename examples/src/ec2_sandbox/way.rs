//! What the way there and back does to a call.

use std::time::Duration;

use dstack_core::model::Span;

use super::reply::{Failure, NoAnswer};
use super::state::World;

/// The faults of one call, drawn before anything happens.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) is_lost: bool,
    pub(super) is_answer_lost: bool,
    pub(super) is_doubled: bool,
    pub(super) late: Option<Duration>,
    pub(super) delay: Option<Duration>,
    pub(super) are_keys_refused: bool,
    /// How a loss looks from outside.
    pub(super) loss: Loss,
}

/// How a call looks that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The connection ends.
    Cut,
    /// An answer that says as little.
    InternalError,
    /// The answer of something in front of EC2.
    Page,
}

impl Way {
    /// Draws the faults of a call. Only calls that change something can come late or twice.
    pub(super) fn draw(world: &mut World, is_changing: bool) -> Self {
        let rates = world.rates.ec2.clone();
        let mut span = |rate: u16, most: Span| {
            let is_drawn = world.draw.chance(rate);
            is_drawn.then(|| world.draw.span(most).to_std())
        };
        let late = span(if is_changing { rates.call_late } else { 0 }, rates.late_most);
        let delay = span(rates.answer_delayed, rates.delay_most);
        let is_doubled = is_changing && world.draw.chance(rates.call_doubled);
        let is_lost = world.draw.chance(rates.call_lost);
        let is_answer_lost = world.draw.chance(rates.answer_lost);
        let are_keys_refused = world.draw.chance(rates.credentials);
        let is_silent = late.is_some() || is_lost || is_answer_lost;
        // Only a call that is lost draws how: with no faults on, nothing is drawn.
        let loss = match if is_silent { world.draw.below(8) } else { 0 } {
            6 => Loss::InternalError,
            7 => Loss::Page,
            _ => Loss::Cut,
        };
        Self { is_lost, is_answer_lost, is_doubled, late, delay, are_keys_refused, loss }
    }
}

impl Loss {
    /// What the caller gets.
    pub(super) fn answer(self) -> NoAnswer {
        match self {
            Self::Cut => NoAnswer::Cut,
            Self::InternalError => Failure::with_status(500, "InternalError", "An internal error has occurred").into(),
            Self::Page => NoAnswer::Page,
        }
    }
}
