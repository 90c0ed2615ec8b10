//! What a runner itself is told of its end is recorded; the cloud is asked for those runners alone that hear nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::lives::{allow, name, script};
use crate::clock::{Boot, Clock as _};
use crate::cloud::{
    CloudError, CloudProvider, FakeCloud, Faults, Gate, GatePoint, Known, LaunchError, Look, Machine, Moment, Notice,
};
use crate::controller::{Controller, Options, Provider};
use crate::model::{
    At, Command, Event, LaunchRequest, LogId, MachineId, Offering, Purchase, Record, Scope, Seq, Span, WorkflowSpec,
};
use crate::store::EventStore as _;
use crate::testkit::World;

/// The fake cloud, and of which machines it was to ask for announcements at its last look.
#[derive(Clone)]
struct Asked {
    cloud: FakeCloud,
    looks: Arc<Mutex<Vec<BTreeSet<MachineId>>>>,
}

#[async_trait]
impl CloudProvider for Asked {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        self.cloud.scope(region).await
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        self.cloud.catalogue(region).await
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        self.cloud.launch(request).await
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        let unheard = known.iter().filter(|known| known.is_unheard).filter_map(|known| known.machine.clone());
        self.looks.lock().expect("no test panics here").push(unheard.collect());
        self.cloud.look(scope, log, known).await
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        self.cloud.terminate(scope, machines).await
    }

    async fn notice(&self) -> Notice {
        self.cloud.notice().await
    }
}

impl Asked {
    fn last(&self) -> BTreeSet<MachineId> {
        self.looks.lock().expect("no test panics here").last().cloned().unwrap_or_default()
    }
}

/// Counts how often runners were listened to.
#[derive(Default)]
struct Listens(Mutex<usize>);

#[async_trait]
impl Gate for Listens {
    async fn pass(&self, point: GatePoint) {
        if point.call == "listen" && point.moment == Moment::BeforeEffect {
            let mut count = self.0.lock().expect("it says so once");
            *count += 1;
            assert!(*count < 100, "it is listened to in circles");
        }
    }
}

/// A cloud that tells of an end to the machine alone, and a workflow that takes an hour.
struct Scene {
    world: World,
    asked: Asked,
    listens: Arc<Listens>,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new(1);
        world.cloud.set_faults(Faults { told_inside: 1_000, ..Faults::none() });
        let listens = Arc::new(Listens::default());
        world.host = world.host.with_gate(Arc::clone(&listens) as _);
        let asked = Asked { cloud: world.cloud.clone(), looks: Arc::default() };
        Self { world, asked, listens }
    }

    fn controller(&self) -> Controller {
        let mut ports = self.world.ports();
        let host = Arc::new(self.world.host.clone());
        let provider = Provider { cloud: Arc::new(self.asked.clone()), host, launches_at_once: 50 };
        ports.providers = BTreeMap::from([("fake".to_owned(), provider)]);
        Controller::new(self.world.client(), ports, Options::default())
    }

    async fn submit(&self, controller: &mut Controller, purchase: Purchase) {
        self.submit_of(controller, purchase, "sleep 3600").await;
    }

    async fn submit_of(&self, controller: &mut Controller, purchase: Purchase, command: &str) {
        let allowed = match purchase {
            Purchase::Spot => {
                let offering = World::offering("m7i.xlarge", Purchase::Spot).expect("it is in the built-in list");
                Command::Allow { offering: Box::new(offering), max: 1, min: 0 }
            }
            Purchase::OnDemand => allow("m7i.xlarge", 1),
        };
        controller.client_mut().command(allowed).await.expect("it is allowed");
        let work: WorkflowSpec = script("train", &[command]);
        let (_, submit) = self.world.submission(name("demo"), vec![work]);
        controller.client_mut().command(submit).await.expect("it is accepted");
    }

    async fn live(&self, controller: &mut Controller, secs: u64) {
        let end = self.world.clock.boot().plus(Duration::from_secs(secs));
        controller.run(self.world.clock.sleep_until(end)).await.expect("the log can be used");
    }

    fn machine(&self) -> MachineId {
        let live = self.world.cloud.machines().into_iter().find(|machine| machine.is_live());
        live.expect("there is one").id
    }

    async fn records(&self) -> Vec<Record> {
        self.world.store.read(Seq::default(), 10_000).await.expect("it can be read")
    }

    /// The announcements that are in the log, with their deadlines.
    async fn noticed(&self) -> Vec<Option<At>> {
        let records = self.records().await;
        let deadline = |record: &Record| match record.event() {
            Some(Event::RunnerNoticed(event)) => Some(event.deadline),
            _ => None,
        };
        records.iter().filter_map(deadline).collect()
    }

    fn listens(&self) -> usize {
        *self.listens.0.lock().expect("no test panics here")
    }
}

#[test]
fn what_only_the_machine_is_told_is_in_the_log_at_once_and_once() {
    let scene = Scene::new();
    let mut controller = scene.controller();
    let run = scene.world.run(async {
        scene.submit(&mut controller, Purchase::Spot).await;
        scene.live(&mut controller, 300).await;
        assert_eq!((scene.noticed().await, scene.listens()), (vec![], 2), "it has said that it listens");
        scene.world.cloud.interrupt(&scene.machine());
        let deadline = At::from_micros(scene.world.clock.wall_micros() + 120_000_000);
        scene.live(&mut controller, 1).await;
        assert_eq!(scene.noticed().await, [Some(deadline)]);
        scene.live(&mut controller, 100).await;
        assert_eq!(scene.noticed().await.len(), 1);
        assert_eq!(scene.listens(), 2, "it was told; nothing more is listened for");
    });
    run.expect("it ends");
    assert!(scene.asked.looks.lock().expect("no test panics here").iter().all(BTreeSet::is_empty));
}

#[test]
fn an_idle_runner_is_listened_to_as_well() {
    let scene = Scene::new();
    let mut controller = scene.controller();
    let run = scene.world.run(async {
        scene.submit_of(&mut controller, Purchase::Spot, "sleep 1").await;
        scene.live(&mut controller, 120).await;
        let state = controller.client().state();
        assert!(state.live_runners().all(|(_, runner)| runner.attempts.is_empty()), "it is idle");
        scene.world.cloud.interrupt(&scene.machine());
        scene.live(&mut controller, 1).await;
        assert_eq!(scene.noticed().await.len(), 1);
    });
    run.expect("it ends");
}

#[test]
fn a_machine_that_is_paid_for_in_full_is_not_listened_to() {
    let scene = Scene::new();
    let mut controller = scene.controller();
    let run = scene.world.run(async {
        scene.submit(&mut controller, Purchase::OnDemand).await;
        scene.live(&mut controller, 600).await;
    });
    run.expect("it ends");
    assert_eq!(scene.listens(), 0);
    assert_eq!(scene.asked.last(), BTreeSet::new());
}

#[test]
fn of_a_deaf_runner_the_cloud_is_asked() {
    let scene = Scene::new();
    let mut controller = scene.controller();
    let run = scene.world.run(async {
        scene.submit(&mut controller, Purchase::Spot).await;
        scene.live(&mut controller, 20).await;
        scene.world.host.deafen(&scene.machine());
        scene.live(&mut controller, 70).await;
        assert_eq!(scene.asked.last(), BTreeSet::from([scene.machine()]));
        scene.live(&mut controller, 600).await;
        assert_eq!(scene.asked.last(), BTreeSet::from([scene.machine()]));
        assert_eq!(scene.listens(), 2, "once it has said so it is not asked again");
    });
    run.expect("it ends");
}

#[test]
fn while_a_runner_is_out_of_reach_the_cloud_is_asked_and_then_no_more() {
    let scene = Scene::new();
    let mut controller = scene.controller();
    let run = scene.world.run(async {
        scene.submit(&mut controller, Purchase::Spot).await;
        scene.live(&mut controller, 300).await;
        assert_eq!(scene.asked.last(), BTreeSet::new());
        scene.world.host.cut_link(&scene.machine(), Span::from_mins(10));
        scene.live(&mut controller, 10).await;
        assert_eq!(scene.asked.last(), BTreeSet::from([scene.machine()]), "within a busy period");
        scene.live(&mut controller, 700).await;
        assert_eq!(scene.asked.last(), BTreeSet::new(), "it is heard again");
        scene.world.cloud.interrupt(&scene.machine());
        scene.live(&mut controller, 1).await;
        assert_eq!(scene.noticed().await.len(), 1, "after a new connection it hears as before");
    });
    run.expect("it ends");
}

#[test]
fn of_several_controllers_each_hears_and_one_records() {
    let scene = Scene::new();
    let (mut one, mut two) = (scene.controller(), scene.controller());
    let run = scene.world.run(async {
        scene.submit(&mut one, Purchase::Spot).await;
        futures::future::join(scene.live(&mut one, 300), scene.live(&mut two, 300)).await;
        assert_eq!(scene.listens(), 4);
        scene.world.cloud.interrupt(&scene.machine());
        futures::future::join(scene.live(&mut one, 60), scene.live(&mut two, 60)).await;
        assert_eq!((scene.noticed().await.len(), scene.listens()), (1, 4));
        // One that begins now finds it in the log.
        let mut three = scene.controller();
        scene.live(&mut three, 10).await;
        assert_eq!(scene.listens(), 4);
    });
    run.expect("it ends");
}

/// What was heard and is not in the log yet is not asked for again: the runner would say it at once, and again.
#[test]
fn what_is_not_recorded_yet_is_not_heard_in_circles() {
    let scene = Scene::new();
    let mut controller = scene.controller();
    let run = scene.world.run(async {
        scene.submit(&mut controller, Purchase::Spot).await;
        scene.live(&mut controller, 300).await;
        let runner = controller.client().state().live_runners().map(|(id, _)| id).next().expect("it lives");
        let heard = crate::host::Hearing::Noticed { deadline: None };
        let key = super::super::effect::EffectKey::Owed(crate::model::ActionKey::Listen(runner));
        let outcome = super::super::effect::Outcome::Heard(heard);
        controller.take_in(super::super::effect::Done { key, outcome });
        assert_eq!(controller.ears.last(runner), Some(heard));
        assert_eq!(controller.observations.len(), 1);
    });
    run.expect("it ends");
    assert!(scene.world.clock.boot() > Boot::default());
}
