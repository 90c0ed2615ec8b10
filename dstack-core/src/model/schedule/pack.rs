//! Where a workflow fits: free room on runners, with what this plan has already given away.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::state::{Room, Rooms, Used};
use crate::model::{Needs, Offering, RuleKey, RunnerId, State};

/// A runner that is being started, or that this plan wants: it can be promised to workflows, but takes none yet.
#[derive(Debug)]
pub(super) struct Promise<'a> {
    pub(super) runner: Option<RunnerId>,
    pub(super) rule: &'a RuleKey,
    pub(super) offering: &'a Offering,
    used: Used,
    count: u32,
    is_exclusive: bool,
}

/// Free room as this plan has left it.
pub(super) struct Packing<'a> {
    state: &'a State,
    /// Runners whose room in the state no longer holds.
    changed: BTreeSet<RunnerId>,
    /// Their rooms as they are now.
    rooms: Rooms,
    promises: Vec<Promise<'a>>,
    pools: BTreeMap<&'a RuleKey, Used>,
}

impl<'a> Packing<'a> {
    pub(super) fn new(state: &'a State, suspects: &BTreeSet<RunnerId>) -> Self {
        // In the order in which they were wanted: then planning again promises each to the same workflow.
        let promises = state.starting.iter().filter_map(|(_, id)| {
            let runner = state.runners().get(id).filter(|runner| runner.is_starting())?;
            Some(Promise::new(Some(*id), &runner.request.rule, &runner.offering))
        });
        Self {
            state,
            changed: suspects.clone(),
            rooms: Rooms::default(),
            promises: promises.collect(),
            pools: state.pools.iter().map(|(rule, used)| (rule, *used)).collect(),
        }
    }

    /// Runners that this plan stops are no longer started for anybody.
    pub(super) fn forget(&mut self, stopping: &BTreeSet<RunnerId>) {
        self.promises.retain(|promise| promise.runner.is_none_or(|id| !stopping.contains(&id)));
    }

    /// A runner that takes work now and has room for these needs.
    pub(super) fn place(&mut self, needs: &Needs) -> Option<RunnerId> {
        let (room, id) = self.find(needs)?;
        let rule = &self.state.runners().get(&id)?.request.rule;
        self.use_pool(rule, needs);
        self.changed.insert(id);
        self.rooms.remove(&room, id);
        if needs.may_share() {
            self.rooms.insert(room.without(needs), id);
        }
        Some(id)
    }

    fn find(&self, needs: &Needs) -> Option<(Room, RunnerId)> {
        let fits = |room: &Room, id: RunnerId| {
            room.takes(needs)
                && self.state.runners().get(&id).is_some_and(|runner| {
                    needs.fit(&runner.offering) && self.fits_pool(&runner.request.rule, &runner.offering, needs)
                })
        };
        let mut changed = self.rooms.with_cpu_for(needs).filter_map(|(room, ids)| Some((room, *ids.first()?)));
        let mut unchanged = self
            .state
            .rooms
            .with_cpu_for(needs)
            .filter_map(|(room, ids)| Some((room, *ids.iter().find(|id| !self.changed.contains(id))?)));
        let first_of = |(room, id): &(&Room, RunnerId)| fits(room, *id);
        let one = changed.find(first_of);
        let other = unchanged.find(first_of);
        let (room, id) = one.into_iter().chain(other).min()?;
        Some((room.clone(), id))
    }

    /// A runner that is being started and could take these needs; promised to them from now on.
    pub(super) fn promise(&mut self, needs: &Needs) -> Option<Option<RunnerId>> {
        let place = self
            .promises
            .iter()
            .position(|promise| promise.takes(needs) && self.fits_pool(promise.rule, promise.offering, needs))?;
        let rule = self.promises[place].rule;
        self.use_pool(rule, needs);
        let promise = &mut self.promises[place];
        promise.used = promise.used.plus(Used::by(needs));
        promise.count += 1;
        promise.is_exclusive |= !needs.may_share();
        Some(promise.runner)
    }

    /// A runner that this plan wants.
    pub(super) fn add_launch(&mut self, rule: &'a RuleKey, offering: &'a Offering) {
        self.promises.push(Promise::new(None, rule, offering));
    }

    /// Whether what all runners of a rule share has room for these needs too.
    pub(super) fn fits_pool(&self, rule: &RuleKey, offering: &Offering, needs: &Needs) -> bool {
        let used = self.pools.get(rule).copied().unwrap_or_default();
        !offering.pooled || used.plus(Used::by(needs)).fits_in(Used::all_of(offering))
    }

    fn use_pool(&mut self, rule: &'a RuleKey, needs: &Needs) {
        if self.state.rules().get(rule).is_some_and(|rule| rule.offering.pooled) {
            let pool = self.pools.entry(rule).or_default();
            *pool = pool.plus(Used::by(needs));
        }
    }

    /// Runners that this plan gives work to.
    pub(super) fn into_used(self) -> BTreeSet<RunnerId> {
        self.changed
    }
}

impl<'a> Promise<'a> {
    fn new(runner: Option<RunnerId>, rule: &'a RuleKey, offering: &'a Offering) -> Self {
        Self { runner, rule, offering, used: Used::default(), count: 0, is_exclusive: false }
    }

    fn takes(&self, needs: &Needs) -> bool {
        let has_room = self.count == 0
            || (!self.is_exclusive
                && needs.may_share()
                && self.used.plus(Used::by(needs)).fits_in(Used::all_of(self.offering)));
        has_room && needs.fit(self.offering)
    }
}
