//! Ends that are asked for at the same moment travel in one call.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use dstack_core::cloud::CloudError;
use dstack_core::model::{MachineId, Scope};
use tokio::sync::oneshot;

/// What became of asking for one machine's end.
type Answer = Result<(), CloudError>;

/// Machines whose ends were asked for, with those who wait for the answers.
type Asked = BTreeMap<MachineId, Vec<oneshot::Sender<Answer>>>;

/// Gathers what several callers ask for. The first of a scope asks for all of them, the others wait for its answers: a
/// hundred runners that are to end at once cost one call, and none waits for its turn behind the others.
#[derive(Default)]
pub(crate) struct Ends {
    waiting: Mutex<BTreeMap<Scope, Asked>>,
}

/// Who asks for the others. Given up before it has taken what is to be asked for, it leaves nobody waiting.
struct Lead<'a> {
    ends: &'a Ends,
    scope: &'a Scope,
    has_taken: bool,
}

impl Lead<'_> {
    fn take(&mut self) -> Asked {
        self.has_taken = true;
        self.ends.with(|waiting| waiting.remove(self.scope)).unwrap_or_default()
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.has_taken {
            self.take();
        }
    }
}

impl Ends {
    fn with<R>(&self, act: impl FnOnce(&mut BTreeMap<Scope, Asked>) -> R) -> R {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for the ends of these machines, and of those that others ask for meanwhile, with `send`: it answers for each in
    /// their order.
    pub(crate) async fn ask<F>(
        &self,
        scope: &Scope,
        machines: &[MachineId],
        send: impl FnOnce(Vec<MachineId>) -> F,
    ) -> Vec<Answer>
    where
        F: Future<Output = Vec<Answer>>,
    {
        let (is_first, answers) = self.with(|waiting| {
            let is_first = !waiting.contains_key(scope);
            let asked = waiting.entry(scope.clone()).or_default();
            let ask = |machine: &MachineId| {
                let (sender, answer) = oneshot::channel();
                asked.entry(machine.clone()).or_default().push(sender);
                answer
            };
            (is_first, machines.iter().map(ask).collect::<Vec<_>>())
        });
        if is_first {
            let mut lead = Lead { ends: self, scope, has_taken: false };
            others_go_on().await;
            let asked = lead.take();
            let results = send(asked.keys().cloned().collect()).await;
            for (sender, result) in asked
                .into_values()
                .zip(results)
                .flat_map(|(senders, result)| senders.into_iter().map(move |sender| (sender, result.clone())))
            {
                // Who does not wait any more asks again, if it is still to be.
                let _ = sender.send(result);
            }
        }
        let given_up = || Err(CloudError::Unknown("the call was given up".into()));
        futures::future::join_all(answers)
            .await
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|_| given_up()))
            .collect()
    }
}

/// Lets whatever is ready now go on first.
async fn others_go_on() {
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dstack_core::clock::{Boot, VirtualClock};
    use dstack_core::testkit::executor;
    use futures::FutureExt as _;
    use futures::future::{join, join_all, ready};

    use super::*;

    /// Runs to the end without any time.
    fn run<T>(work: impl Future<Output = T>) -> T {
        executor::run(&VirtualClock::new(1), Boot(Duration::from_secs(1)), work).expect("it ends")
    }

    fn scope() -> Scope {
        Scope { provider: "aws".into(), account: "111122223333".into(), region: "us-east-1".into() }
    }

    fn machine(number: u32) -> MachineId {
        MachineId(format!("i-{number}"))
    }

    #[test]
    fn what_is_asked_for_at_once_is_one_call_and_each_gets_its_own_answer() {
        let (ends, calls) = (Ends::default(), Mutex::new(Vec::new()));
        let send = |ids: Vec<MachineId>| {
            calls.lock().expect("no test panics here").push(ids.len());
            let answer = |id: &MachineId| if *id == machine(7) { Err(CloudError::NotFound) } else { Ok(()) };
            ready(ids.iter().map(answer).collect())
        };
        let scope = scope();
        let ids: Vec<[MachineId; 1]> = (0..30).chain([7]).map(|number| [machine(number)]).collect();
        let asked = join_all(ids.iter().map(|id| ends.ask(&scope, id, send)));
        let answers = run(asked);
        for (id, answer) in ids.iter().zip(answers) {
            assert_eq!(answer, [if id[0] == machine(7) { Err(CloudError::NotFound) } else { Ok(()) }], "{id:?}");
        }
        assert_eq!(*calls.lock().expect("no test panics here"), [30], "the same machine is named once");
        let again = run(ends.ask(&scope, &[machine(1), machine(2)], send));
        assert_eq!(again, [Ok(()), Ok(())]);
        assert_eq!(*calls.lock().expect("no test panics here"), [30, 2]);
    }

    #[test]
    fn a_call_that_is_given_up_leaves_nobody_waiting() {
        let (ends, scope) = (Ends::default(), scope());
        let (one, other) = ([machine(1)], [machine(2)]);
        for is_sent in [false, true] {
            let mut first = Box::pin(ends.ask(&scope, &one, |_| std::future::pending()));
            let mut second = Box::pin(ends.ask(&scope, &other, |_| std::future::pending()));
            assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
            if is_sent {
                assert!((&mut first).now_or_never().is_none());
            }
            drop(first);
            assert!(matches!(second.now_or_never().as_deref(), Some([Err(CloudError::Unknown(_))])));
        }
        let answers = |ids: Vec<MachineId>| ready(ids.iter().map(|_| Ok(())).collect());
        let both = join(ends.ask(&scope, &one, answers), ends.ask(&scope, &other, answers));
        assert_eq!(run(both), (vec![Ok(())], vec![Ok(())]));
    }
}
