//! What is over leaves the state and is read as it was.

use std::collections::BTreeMap;

use dstack_core::Client;
use dstack_core::controller::Options;
use dstack_core::model::event::{AttemptExited, AttemptLost, ResultsKept};
use dstack_core::model::state::{Left, MAX_HELD_WORKFLOWS, Run};
use dstack_core::model::{
    AppendId, AttemptId, Command, Event, Exit, Loss, Name, Purchase, RunId, Seq, State, WorkflowId, WorkflowSpec,
    invariant,
};
use dstack_core::store::EventStore as _;
use dstack_core::testkit::World;

fn name(text: &str) -> Name {
    text.parse().expect("it is a name")
}

/// A world in which runs of these sizes have ended, and the runs in the order of submission.
fn ended(sizes: &[usize]) -> (World, Vec<RunId>) {
    let world = World::new(7);
    let offering = World::offering("m7i.xlarge", Purchase::OnDemand).expect("it is in the built-in list");
    let mut controller = world.controller(Options::default());
    let runs = world.run(async {
        let allow = Command::Allow { offering: Box::new(offering), max: 3, min: 0 };
        controller.client_mut().command(allow).await.expect("it is allowed");
        let mut runs = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let workflow = |index| WorkflowSpec::script(name(&format!("w{index}")), ["exit 3"]);
            let (run, submit) =
                world.submission(name(&format!("run-{}", number % 50)), (0..*size).map(workflow).collect());
            controller.client_mut().command(submit).await.expect("it is accepted");
            runs.push(run);
        }
        controller.run_until_idle().await.expect("the log can be used");
        runs
    });
    (world, runs.expect("it ends"))
}

/// Everything that a fold of the log from its beginning knows of runs that are over.
fn folded(world: &World) -> (BTreeMap<RunId, Run>, State) {
    let mut state = State::default();
    let mut runs = BTreeMap::new();
    let records = world.run(world.store.read(Seq::START, 1_000_000)).expect("it ends").expect("the log is sound");
    let mut left = Left::default();
    for record in &records {
        left.append(state.apply(record));
        assert_eq!(invariant::broken(&state), None);
    }
    assert!(left.runs.windows(2).all(|pair| pair[0].0 != pair[1].0), "what has left leaves once");
    runs.extend(left.runs);
    runs.extend(state.runs().iter().map(|(id, run)| (*id, run.clone())));
    (runs, state)
}

fn fresh(world: &World) -> Client {
    let mut client = world.client();
    world.run(client.refresh()).expect("it ends").expect("the log is sound");
    client
}

fn run_of(world: &World, client: &Client, id: RunId) -> Option<Run> {
    world.run(client.run(id)).expect("it ends").expect("the log is sound")
}

#[test]
fn what_has_left_the_state_is_read_as_it_was() {
    let sizes: Vec<usize> = std::iter::repeat_n(1, 150).chain([MAX_HELD_WORKFLOWS + 1, 1, 40, 1]).collect();
    let (world, ids) = ended(&sizes);
    let (expected, state) = folded(&world);
    assert_eq!(expected.len(), ids.len());
    let held: usize = state.runs().values().map(|run| run.workflows.len()).sum();
    assert!(held <= MAX_HELD_WORKFLOWS, "{held} are held");
    assert!(state.runs().len() < ids.len() / 2, "most have left");

    let check = |client: &Client, what: &str| {
        for id in &ids {
            assert_eq!(run_of(&world, client, *id).as_ref(), expected.get(id), "{what}: {id}");
        }
        assert_eq!(run_of(&world, client, RunId::from_bits(1)), None, "{what}");
        let newest = world.run(client.newest_runs(30)).expect("it ends").expect("the log is sound");
        let newest: Vec<RunId> = newest.into_iter().map(|(id, _)| id).collect();
        assert_eq!(newest, ids[ids.len() - 30..], "{what}");
        let named = world.run(client.run_named(&name("run-3"))).expect("it ends").expect("the log is sound");
        assert_eq!(named.map(|(id, _)| id), Some(ids[153]), "{what}: the newest of its name");
    };
    let of_records = fresh(&world);
    check(&of_records, "all records");
    let snapshot = of_records.state().to_snapshot();
    world.run(world.store.save_snapshot(&snapshot, &[])).expect("it ends").expect("it is kept");
    check(&fresh(&world), "a snapshot, and nothing kept beside it");
}

#[test]
fn what_was_kept_beside_a_snapshot_is_read_without_folding_the_log() {
    let sizes = vec![1; 500];
    let (world, ids) = ended(&sizes);
    let (expected, state) = folded(&world);
    let client = fresh(&world);
    assert_eq!(client.state(), &state);
    let snapshot = world.run(world.store.load_snapshot(dstack_core::model::state::STATE_VERSION));
    let snapshot = snapshot.expect("it ends").expect("the log is sound").expect("the controller has kept one");
    assert!(client.state().seq().get() - snapshot.seq.get() < 1_100, "it is not old: {}", snapshot.seq);
    let kept = |id: &&RunId| {
        let id = dstack_core::store::PastId::Run(**id);
        let past = world.run(world.store.load_past(dstack_core::model::state::STATE_VERSION, id));
        past.expect("it ends").expect("the log is sound").is_some()
    };
    assert!(ids.iter().filter(kept).count() > 100, "most are kept beside it");
    for id in &ids {
        assert_eq!(run_of(&world, &client, *id).as_ref(), expected.get(id), "{id}");
    }
}

#[test]
fn runners_that_are_over_are_listed_in_the_order_of_their_ends() {
    let (world, _) = ended(&[1; 30]);
    let client = fresh(&world);
    let ended = world.run(client.ended_runners(1_000)).expect("it ends").expect("the log is sound");
    assert!(ended.len() >= 3);
    assert!(ended.iter().all(|(_, runner)| !runner.may_live()));
    assert!(ended.windows(2).all(|pair| pair[0].1.since <= pair[1].1.since));
    let last = world.run(client.ended_runners(1)).expect("it ends").expect("the log is sound");
    assert_eq!(last.as_slice(), &ended[ended.len() - 1..]);
}

#[test]
fn what_is_said_again_of_the_past_is_no_fault_and_of_what_never_was_it_is() {
    let (world, ids) = ended(&[MAX_HELD_WORKFLOWS + 1]);
    let mut client = fresh(&world);
    assert_eq!(client.state().runs().len(), 0, "it has left at once");
    let said = |run| -> Vec<Event> {
        let attempt = AttemptId { workflow: WorkflowId { run, index: 5 }, number: 1 };
        vec![
            AttemptExited { attempt, exit: Exit::exited(0) }.into(),
            ResultsKept { attempt, manifest: None, missing: Vec::new() }.into(),
            AttemptLost { attempt, loss: Loss::RunnerLost }.into(),
        ]
    };
    let before = client.state().faults().count();
    world.run(client.append(AppendId::from_bytes([1; 16]), &said(ids[0]))).expect("it ends").expect("it is appended");
    assert_eq!(client.state().faults().count(), before);
    let other = RunId::from_bits(ids[0].to_bits() ^ 1);
    world.run(client.append(AppendId::from_bytes([2; 16]), &said(other))).expect("it ends").expect("it is appended");
    assert_eq!(client.state().faults().count(), before + 3);
    let again = WorkflowSpec::script(name("w"), ["true"]);
    let submission = dstack_core::model::Submission {
        run: ids[0],
        name: name("again"),
        folder: None,
        secrets: Vec::new(),
        workflows: vec![again],
        unfit: dstack_core::model::Unfit::Queue,
    };
    let answer = world.run(client.command(Command::Submit(Box::new(submission)))).expect("it ends");
    assert!(answer.is_err(), "its id is taken");
    assert_eq!(run_of(&world, &client, ids[0]).map(|run| run.workflows[5].exit_code()), Some(Some(3)));
}
