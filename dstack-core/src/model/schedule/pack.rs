//! Where a workflow fits: free room on runners, with what this plan has already given away.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::model::plan::Fit;
use crate::model::state::{Alike, Among, Room, Rooms, RunnerPhase, Shape, Used};
use crate::model::{MilliCpu, Needs, Offering, RuleKey, RunnerId, State, WorkflowId};

/// A runner that is being started, or that this plan wants: it can be promised to workflows, but takes none yet.
#[derive(Debug)]
pub(super) struct Promise<'a> {
    runner: Option<RunnerId>,
    rule: &'a RuleKey,
    offering: &'a Offering,
    used: Used,
    count: u32,
    is_exclusive: bool,
    is_doubtful: bool,
}

/// The runner that a workflow was promised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promised {
    /// Absent while only this plan knows it.
    pub(super) runner: Option<RunnerId>,
    /// Whether it may well never come: others of its kind did not.
    pub(super) is_doubtful: bool,
}

/// How far the search for one shape has come: what did not take it earlier in this plan does not later either.
#[derive(Debug, Default)]
pub(super) struct Cursor<'a> {
    room: Option<&'a Room>,
    promise: usize,
}

/// What runners that share one machine take of it together.
#[derive(Debug, Default)]
pub(super) struct Pools<'a> {
    used: BTreeMap<&'a RuleKey, Used>,
    /// Those of which nothing is given away any more: they are kept.
    closed: BTreeSet<&'a RuleKey>,
}

impl Pools<'_> {
    /// Whether what all runners of a rule share has room for these needs too.
    pub(super) fn fits(&self, rule: &RuleKey, offering: &Offering, needs: &Needs) -> bool {
        if !offering.pooled {
            return true;
        }
        let used = self.used.get(rule).copied().unwrap_or_default();
        !self.closed.contains(rule) && used.plus(Used::by(needs)).fits_in(Used::all_of(offering))
    }
}

/// Free room as this plan has left it.
pub(super) struct Packing<'a> {
    state: &'a State,
    /// Runners whose room in the state no longer holds: suspects, those that this plan gives work to, those that are kept.
    changed: BTreeSet<RunnerId>,
    /// Rooms of those that this plan gave work to, as they are now.
    rooms: Rooms,
    /// Those of them that have less left than anything that waits needs.
    full: Rooms,
    /// The least processor that anything that waits and shares needs.
    least_cpu: MilliCpu,
    /// Those that this plan gave away whole.
    exclusive: BTreeSet<RunnerId>,
    /// Of runners with equal rooms, the last one that was given work: those before it were given some too.
    passed: BTreeMap<&'a Room, RunnerId>,
    has_empty: bool,
    widest: Vec<(u32, MilliCpu)>,
    promises: Vec<Promise<'a>>,
    pools: Pools<'a>,
    kept: BTreeMap<RunnerId, WorkflowId>,
    suspects: &'a BTreeSet<RunnerId>,
}

impl<'a> Packing<'a> {
    pub(super) fn new(state: &'a State, suspects: &'a BTreeSet<RunnerId>, stopping: &BTreeSet<RunnerId>) -> Self {
        // In the order in which they were wanted: then planning again promises each to the same workflow.
        let promises = state.starting.iter().filter_map(|(_, id)| {
            let runner = state.runners().get(id).filter(|runner| runner.is_starting() && !stopping.contains(id))?;
            let rule = &runner.request.rule;
            let is_doubtful = is_doubtful(state, rule, &runner.offering, runner.phase == RunnerPhase::Wanted);
            Some(Promise::new(Some(*id), rule, &runner.offering, is_doubtful))
        });
        Self {
            state,
            changed: suspects.clone(),
            rooms: Rooms::default(),
            full: Rooms::default(),
            least_cpu: least_cpu(state),
            exclusive: BTreeSet::new(),
            passed: BTreeMap::new(),
            has_empty: state.rooms.has_empty(),
            widest: state.rooms.widest(),
            promises: promises.collect(),
            pools: Pools {
                used: state.pools.iter().map(|(rule, used)| (rule, *used)).collect(),
                closed: BTreeSet::new(),
            },
            kept: BTreeMap::new(),
            suspects,
        }
    }

    /// A runner that takes work now and has room for this shape: the first in the order of rooms.
    pub(super) fn place(&mut self, shape: &Shape, cursor: &mut Cursor<'a>) -> Option<(RunnerId, Fit)> {
        let (room, id) = self.find(shape, cursor)?;
        let fit = if room.is_empty { Fit::Alone } else { Fit::Beside };
        let rule = &self.state.runners().get(&id)?.request.rule;
        self.use_pool(rule, &shape.needs);
        if !self.changed.insert(id) {
            self.rooms.remove(&room, id);
        }
        if shape.needs.may_share() {
            let room = room.without(&shape.needs);
            let rooms = if room.free.cpu < self.least_cpu { &mut self.full } else { &mut self.rooms };
            rooms.insert(room, id);
        } else {
            self.exclusive.insert(id);
        }
        Some((id, fit))
    }

    fn find(&mut self, shape: &Shape, cursor: &mut Cursor<'a>) -> Option<(Room, RunnerId)> {
        let (shares, least) = (shape.needs.may_share(), shape.used);
        let takes =
            |(room, ids): Alike<'_>| ids.iter().find(|id| self.takes(room, **id, shape)).map(|id| (room.clone(), *id));
        let changed = if shares { self.rooms.scan(Among::Busy, least, None).find_map(takes) } else { None };
        // No room in the state is wider than the widest.
        let is_wide = shares && self.widest.iter().any(|(gpus, cpu)| least.gpus <= *gpus && least.cpu <= *cpu);
        let among = match (is_wide, self.has_empty) {
            (true, true) => Some(Among::Any),
            (true, false) => Some(Among::Busy),
            (false, true) => Some(Among::Empty),
            (false, false) => None,
        };
        let unchanged = among.and_then(|among| self.unchanged(shape, among, cursor.room));
        cursor.room = unchanged.map(|(room, _)| room).or(cursor.room);
        let unchanged_is_first = match (&changed, unchanged) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some((room, id)), Some((other, other_id))) => (other, other_id) < (room, *id),
        };
        if !unchanged_is_first {
            return changed;
        }
        unchanged.map(|found| self.pass(found))
    }

    fn pass(&mut self, (room, id): (&'a Room, RunnerId)) -> (Room, RunnerId) {
        self.passed.insert(room, id);
        (room.clone(), id)
    }

    /// The first room of the state that this plan has not touched and that takes the shape.
    fn unchanged(&self, shape: &Shape, among: Among, from: Option<&Room>) -> Option<(&'a Room, RunnerId)> {
        let mut rooms = self.state.rooms.scan(among, shape.used, from);
        rooms.find_map(|alike| self.untouched(alike).filter(|(room, id)| self.takes(room, *id, shape)))
    }

    /// The first of runners with equal rooms whose room this plan has not changed.
    fn untouched(&self, (room, ids): Alike<'a>) -> Option<(&'a Room, RunnerId)> {
        let after = self.passed.get(room).map_or(Bound::Unbounded, |last| Bound::Excluded(*last));
        let mut left = ids.range((after, Bound::Unbounded));
        left.find(|id| !self.changed.contains(id)).map(|id| (room, *id))
    }

    fn takes(&self, room: &Room, id: RunnerId, shape: &Shape) -> bool {
        room.takes(&shape.needs)
            && self.state.runners().get(&id).is_some_and(|runner| {
                shape.needs.fit(&runner.offering)
                    && self.fits_pool(&runner.request.rule, &runner.offering, &shape.needs)
            })
    }

    /// A runner that is being started and could take these needs; promised to them from now on.
    pub(super) fn promise(&mut self, shape: &Shape, cursor: &mut Cursor<'a>) -> Option<Promised> {
        let needs = &shape.needs;
        let takes =
            |promise: &Promise<'_>| promise.takes(needs) && self.fits_pool(promise.rule, promise.offering, needs);
        let left = self.promises.get(cursor.promise..)?;
        let Some(ahead) = left.iter().position(takes) else {
            cursor.promise = self.promises.len();
            return None;
        };
        cursor.promise += ahead;
        let rule = self.promises[cursor.promise].rule;
        self.use_pool(rule, needs);
        let promise = &mut self.promises[cursor.promise];
        promise.used = promise.used.plus(shape.used);
        promise.count += 1;
        promise.is_exclusive |= !needs.may_share();
        Some(Promised { runner: promise.runner, is_doubtful: promise.is_doubtful })
    }

    /// A runner that this plan wants.
    pub(super) fn add_launch(&mut self, rule: &'a RuleKey, offering: &'a Offering) {
        self.promises.push(Promise::new(None, rule, offering, is_doubtful(self.state, rule, offering, true)));
    }

    /// Keeps a runner free for a workflow that was overtaken too often: of those that could hold it the emptiest, else one that
    /// a workflow has for itself.
    pub(super) fn keep(&mut self, shape: &Shape, workflow: WorkflowId) -> Option<RunnerId> {
        let could =
            |id: RunnerId| self.state.runners().get(&id).is_some_and(|runner| shape.needs.fit(&runner.offering));
        let pick = |alike| self.untouched(alike).map(|(_, id)| id).filter(|id| could(*id));
        let unchanged = self.state.rooms.emptiest(pick);
        let first = |(_, ids): Alike<'_>| ids.iter().copied().find(|id| could(*id));
        let (open, full) = (self.rooms.emptiest(first), self.full.emptiest(first));
        let emptier = |(room, id): (&Room, RunnerId), (other, other_id): (&Room, RunnerId)| {
            room.cmp_emptiness(other).then(other_id.cmp(&id)).is_gt()
        };
        let changed = match (open, full) {
            (Some(one), Some(other)) if emptier(other, one) => Some(other),
            (one, other) => one.or(other),
        };
        let (id, room) = match (unchanged, changed) {
            (Some(one), Some(other)) if emptier(other, one) => (other.1, Some(other.0.clone())),
            (Some(one), _) => (one.1, None),
            (None, Some(other)) => (other.1, Some(other.0.clone())),
            (None, None) => {
                let whole = self.state.exclusive.iter().chain(&self.exclusive);
                let free = whole.filter(|id| !self.kept.contains_key(id) && !self.suspects.contains(id));
                (free.filter(|id| could(**id)).min().copied()?, None)
            }
        };
        if let Some(room) = room {
            self.rooms.remove(&room, id);
            self.full.remove(&room, id);
        }
        self.changed.insert(id);
        self.kept.insert(id, workflow);
        let runner = self.state.runners().get(&id)?;
        if runner.offering.pooled {
            self.pools.closed.insert(&runner.request.rule);
        }
        Some(id)
    }

    /// A kept runner that has room for this shape now, which it does not get.
    pub(super) fn withheld(&self, shape: &Shape) -> Option<RunnerId> {
        let mut kept = self.kept.keys().copied();
        kept.find(|id| {
            let runner = self.state.runners().get(id).filter(|runner| shape.needs.fit(&runner.offering));
            runner.and_then(Room::of).is_some_and(|room| room.takes(&shape.needs))
        })
    }

    /// Whether what all runners of a rule share has room for these needs too.
    pub(super) fn fits_pool(&self, rule: &RuleKey, offering: &Offering, needs: &Needs) -> bool {
        self.pools.fits(rule, offering, needs)
    }

    fn use_pool(&mut self, rule: &'a RuleKey, needs: &Needs) {
        if self.state.rules().get(rule).is_some_and(|rule| rule.offering.pooled) {
            let pool = self.pools.used.entry(rule).or_default();
            *pool = pool.plus(Used::by(needs));
        }
    }

    /// Runners that this plan gives work to, keeps or does not trust; those that it keeps, each with the workflow; the pools.
    pub(super) fn into_parts(self) -> (BTreeSet<RunnerId>, BTreeMap<RunnerId, WorkflowId>, Pools<'a>) {
        (self.changed, self.kept, self.pools)
    }
}

fn least_cpu(state: &State) -> MilliCpu {
    let sharing = state.queue().heads().filter(|(_, head)| head.shape.needs.may_share());
    sharing.map(|(_, head)| head.shape.used.cpu).min().unwrap_or_default()
}

/// Whether what is being started may well never come: the last runners of its rule ended without finished work, or, until the
/// cloud has accepted the launch, the cloud has ever been without, or does not accept the credentials.
fn is_doubtful(state: &State, rule: &RuleKey, offering: &Offering, is_wanted: bool) -> bool {
    let known = state.rules().get(rule);
    known.is_some_and(|known| known.strikes > 0)
        || (is_wanted
            && (known.is_some_and(|known| !known.unavailable.is_empty())
                || state.credentials().contains_key(&offering.scope)))
}

impl<'a> Promise<'a> {
    fn new(runner: Option<RunnerId>, rule: &'a RuleKey, offering: &'a Offering, is_doubtful: bool) -> Self {
        Self { runner, rule, offering, used: Used::default(), count: 0, is_exclusive: false, is_doubtful }
    }

    fn takes(&self, needs: &Needs) -> bool {
        let has_room = self.count == 0
            || (!self.is_exclusive
                && needs.may_share()
                && self.used.plus(Used::by(needs)).fits_in(Used::all_of(self.offering)));
        has_room && needs.fit(self.offering)
    }
}
