//! A log that a newer program has written to.

use crate::client::ClientError;
use crate::model::event::AutoscalingEnabled;
use crate::model::{AppendId, Batch, Encoded, Rejection};
use crate::store::EventStore as _;
use crate::testkit::World;

/// Found by the simulator with `store.newer_record` and lost acknowledgements: an append that was recognised made the client
/// read on, over a record of a newer program, and the rest of the step appended after it.
#[test]
fn who_has_read_what_it_cannot_read_appends_nothing() {
    let world = World::new(1);
    world
        .run(async {
            let mut client = world.client();
            client.create_log().await.expect("the log can be used");
            let (first, second) = (AppendId::from_bytes([1; 16]), AppendId::from_bytes([2; 16]));
            let enabled = [AutoscalingEnabled {}.into()];
            let place = client.state().seq();
            // Its acknowledgement is lost: the client stands before it, and before somebody else's.
            let other = Batch::new(AppendId::from_bytes([4; 16]), &enabled);
            let place = world.store.append(place, &other).await.expect("the place is free").head.seq;
            let appended = world.store.append(place, &Batch::new(first, &enabled)).await.expect("the place is free");
            let event = Encoded { kind: "FromTheFuture".into(), version: 9, json: b"{}".to_vec() };
            let newer = Batch { append: AppendId::from_bytes([3; 16]), events: vec![event] };
            let head = world.store.append(appended.head.seq, &newer).await.expect("the place is free").head;
            client.append(first, &enabled).await.expect("it is recognised");
            let outcome = client.append(second, &enabled).await;
            assert!(matches!(outcome, Err(ClientError::Rejected(Rejection::ReadOnly(_)))), "{outcome:?}");
            assert_eq!(world.store.head().await.expect("it answers").seq, head.seq, "nothing was appended");
        })
        .expect("it ends");
}
