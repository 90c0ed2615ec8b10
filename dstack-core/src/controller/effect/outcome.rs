//! What an effect returns.

use crate::clock::Boot;
use crate::cloud::{LaunchError, Look, Machine, Notice};
use crate::host::Hearing;
use crate::model::{ActionKey, At, AttemptId, Greeting, Observation, RunnerId, Scope};

/// What makes two effects the same: at most one of each is in flight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controller) enum EffectKey {
    /// A call that the state owes.
    Owed(ActionKey),
    /// A look at a scope.
    Look(Scope),
    /// The prices of a scope.
    Prices(Scope),
    /// Waiting for the announcements of a provider.
    Notice(String),
    /// Emptying the folder of an attempt whose results are kept.
    Release(AttemptId),
}

/// What came of an effect.
#[derive(Debug)]
pub(in crate::controller) enum Outcome {
    /// This was seen.
    Saw(Vec<Observation>),
    /// A launch was answered, or was waited for long enough.
    Launched { answer: Result<Machine, LaunchError>, greeting: Option<Greeting> },
    /// The machine's end was asked for: a look will show it.
    Terminating,
    /// The attempt is begun, or was closed before: it can be followed.
    Begun,
    /// The attempt's end was asked for: following it will show it.
    Closed,
    /// A complete look that began at this log time, and then by our clock.
    Looked { began: (At, Boot), look: Look },
    /// The provider takes a machine back.
    Noticed(Notice),
    /// The runner itself says this of its end.
    Heard(Hearing),
    /// The folder is empty, or is left to the runner's end.
    Released,
    /// The credentials were not accepted; it is tried again later.
    Unaccepted(String),
    /// It did not work; it is tried again later.
    Failed(String),
    /// It is not the machine that it should be.
    Changed(RunnerId, String),
    /// The runner refuses, and says why.
    Refused(String),
}

/// An effect that has ended.
#[derive(Debug)]
pub(in crate::controller) struct Done {
    pub(in crate::controller) key: EffectKey,
    pub(in crate::controller) outcome: Outcome,
}

/// A deadline on the clock that counts suspension.
pub(super) async fn until<T>(
    clock: &dyn crate::clock::Clock,
    deadline: Boot,
    work: impl Future<Output = T>,
) -> Option<T> {
    let sleep = clock.sleep_until(deadline);
    futures::pin_mut!(work);
    match futures::future::select(work, sleep).await {
        futures::future::Either::Left((done, _)) => Some(done),
        futures::future::Either::Right(_) => None,
    }
}

/// What a failed call to a runner means for the effect.
pub(super) fn host_failure(runner: RunnerId, error: &crate::host::HostError) -> Outcome {
    match error {
        crate::host::HostError::Changed(why) => Outcome::Changed(runner, why.clone()),
        crate::host::HostError::Refused(why) => Outcome::Refused(why.clone()),
        crate::host::HostError::Unreachable(_) | crate::host::HostError::UnknownAttempt(_) => {
            Outcome::Failed(error.to_string())
        }
    }
}
