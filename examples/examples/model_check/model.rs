//! The model as the checker sees it, and the laws that hold in each of its states.

use std::sync::Arc;

use stateright::{Model, Property};

use super::act::{self, Act};
use super::reached::Reached;
use super::setup::Setup;
use super::world::World;

/// The claim protocol in one configuration.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    /// The configuration.
    pub(crate) setup: Setup,
    /// What its states have shown so far.
    pub(crate) reached: Arc<Reached>,
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.setup)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        self.reached.note(world);
        act::acts(world, &self.setup, acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        act::perform(&mut next, &self.setup, &act);
        // An append that nobody made cannot be lost.
        let is_void = matches!(act, Act::StepUnheard(_)) && next.head.seq() == world.head.seq();
        (!is_void).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut laws = vec![
            Property::always("the cloud counts no more machines than the maximum", |model: &Self, world: &World| {
                world.cloud.alive().count() <= model.setup.max as usize
            }),
            Property::always("a token makes one machine", |_: &Self, world: &World| !world.has_twins()),
            Property::always("no slot is given back while its machine lives", |_: &Self, world: &World| {
                !world.has_false_certificate()
            }),
            Property::always("an attempt is started at most once", |_: &Self, world: &World| {
                world.starts.values().all(|starts| *starts <= 1)
            }),
            Property::always(
                "the log keeps its laws, and nothing is claimed while it is switched off",
                |_: &Self, world: &World| world.broken.is_none(),
            ),
        ];
        // What a missing rule costs is counted in machines, however early other laws break.
        laws.truncate(if self.setup.plant.is_some() { 1 } else { laws.len() });
        laws
    }
}
