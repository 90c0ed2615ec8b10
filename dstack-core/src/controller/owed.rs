//! Which owed calls this controller makes now, and when failed ones are tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ports::Options;
use crate::clock::Boot;
use crate::model::ActionKey;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owed {
    since: Boot,
    is_ours: bool,
    failures: u32,
    not_before: Boot,
}

/// Memory of owed calls. It saves work only: losing it costs a call made twice, which every port allows.
#[derive(Debug, Default)]
pub(super) struct OwedCalls(BTreeMap<ActionKey, Owed>);

impl OwedCalls {
    /// Takes in what is owed now. What was not owed before is ours if our own append made it so.
    pub(super) fn note(&mut self, keys: &BTreeSet<ActionKey>, now: Boot, by_us: bool) {
        self.0.retain(|key, _| keys.contains(key));
        for key in keys {
            self.0.entry(*key).or_insert(Owed { since: now, is_ours: by_us, failures: 0, not_before: now });
        }
    }

    /// When the call may be made: at once if it is ours or anybody's, after some patience if another controller made it owed.
    pub(super) fn due(&self, key: ActionKey, options: &Options) -> Boot {
        let Some(owed) = self.0.get(&key) else { return Boot::default() };
        let is_anybodys = match key {
            ActionKey::Launch(..) | ActionKey::Terminate(_) | ActionKey::Close(_) | ActionKey::Save(_) => true,
            ActionKey::Greet(_)
            | ActionKey::Start(_)
            | ActionKey::Follow(_)
            | ActionKey::Listen(_)
            | ActionKey::Collect(_) => false,
        };
        let patience = if owed.is_ours || is_anybodys { Duration::ZERO } else { options.patience };
        owed.since.plus(patience).max(owed.not_before)
    }

    /// Whether our own append made it owed, and it has not failed since: nobody else can have made the call.
    pub(super) fn is_ours(&self, key: ActionKey) -> bool {
        self.0.get(&key).is_some_and(|owed| owed.is_ours && owed.failures == 0)
    }

    /// The call failed: it is made again later. Returns how often it has failed in a row.
    pub(super) fn failed(&mut self, key: ActionKey, now: Boot, options: &Options) -> u32 {
        let Some(owed) = self.0.get_mut(&key) else { return 1 };
        let wait = options.backoff.saturating_mul(1 << owed.failures.min(16)).min(options.max_backoff);
        owed.failures = owed.failures.saturating_add(1);
        owed.not_before = now.plus(wait);
        owed.failures
    }

    /// The call was answered, but stays owed until something else shows its effect.
    pub(super) fn repeat_after(&mut self, key: ActionKey, now: Boot, wait: Duration) {
        if let Some(owed) = self.0.get_mut(&key) {
            owed.failures = 0;
            owed.not_before = now.plus(wait);
        }
    }
}
