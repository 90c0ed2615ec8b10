//! What is too large for one append is refused by name, and nothing is recorded.

use dstack_core::ClientError;
use dstack_core::model::record::{MAX_BATCH_BYTES, MAX_RECORD_BYTES};
use dstack_core::model::{Name, Rejection, Seq, WorkflowSpec};
use dstack_core::testkit::World;

fn named(index: usize) -> Name {
    format!("w{index}").parse().expect("it is a name")
}

fn refused(workflows: Vec<WorkflowSpec>) -> Rejection {
    let world = World::new(1);
    let mut client = world.client();
    let (_, submit) = world.submission(named(0), workflows);
    world.run(client.create_log()).expect("it ends").expect("the log can be used");
    let answer = world.run(client.command(submit)).expect("it ends");
    let head = world.run(async { client.refresh().await }).expect("it ends").expect("the log can be read");
    assert_eq!(head.seq, Seq::new(1), "nothing is recorded");
    match answer {
        Err(ClientError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_workflow_that_depends_on_too_many_is_refused_by_its_name() {
    let mut workflows: Vec<_> = (0..50_000).map(|index| WorkflowSpec::script(named(index), ["true"])).collect();
    let mut last = WorkflowSpec::script("join".parse().expect("it is a name"), ["true"]);
    last.depends_on = (0..50_000).collect();
    workflows.push(last);
    match refused(workflows) {
        Rejection::WorkflowTooLarge { workflow, bytes, most } => {
            assert_eq!((workflow.as_str(), most), ("join", MAX_RECORD_BYTES));
            assert!(bytes > most);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_is_too_long_as_a_whole_is_refused() {
    let text = "x".repeat(MAX_RECORD_BYTES / 2);
    let count = MAX_BATCH_BYTES / text.len() + 1;
    let workflows = (0..count).map(|index| WorkflowSpec::script(named(index), [text.as_str()])).collect();
    match refused(workflows) {
        Rejection::RunTooLarge { bytes, most } => assert!(bytes > most && most == MAX_BATCH_BYTES),
        other => panic!("{other:?}"),
    }
}
