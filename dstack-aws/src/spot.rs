//! Spot: which machines of it live, and which of them EC2 has said that it will take back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ec2::types::Instance;
use dstack_core::clock::Clock;
use dstack_core::cloud::{Known, MachineState, Notice};
use dstack_core::model::{At, LogId, MachineId, Purchase, Scope};
use tokio::sync::Notify;

use crate::api::Api;
use crate::failure::Failure;
use crate::launch::purchase;
use crate::look;
use crate::session::{Session, Sessions};
use crate::terminate::filter;

/// Between two questions while there is a machine to ask about: AWS advises this period for the machine's own metadata.
const PERIOD: Duration = Duration::from_secs(5);
/// Between an announcement and the end.
const WARNING_MICROS: i64 = 120_000_000;

#[derive(Default)]
struct Watched {
    /// Live machines with the requests that they came from.
    alive: BTreeMap<(Scope, LogId), BTreeMap<MachineId, Option<String>>>,
    /// Those of them that hear nothing themselves.
    unheard: BTreeMap<(Scope, LogId), BTreeSet<MachineId>>,
    announced: BTreeSet<MachineId>,
    pending: Vec<Notice>,
}

/// Watches over spot machines.
///
/// EC2 announces an interruption two minutes ahead in the machine's metadata and as an event, both best effort. A machine asks
/// for its own with [`EAR`](crate::EAR). For those of which their controller says that they hear nothing, the API is asked,
/// which shows it as the status `marked-for-termination` of the Spot request. So an announcement is missed that comes less
/// than five seconds before the end, or that is a mere recommendation to rebalance. Nothing depends on it: a machine that
/// vanishes is found by the next look.
pub(crate) struct SpotWatch {
    watched: Mutex<Watched>,
    changed: Notify,
    clock: Arc<dyn Clock>,
}

impl SpotWatch {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { watched: Mutex::new(Watched::default()), changed: Notify::new(), clock }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Watched) -> R) -> R {
        act(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of a look, and of what was known before it.
    pub(crate) fn saw(&self, scope: &Scope, log: LogId, known: &[Known], instances: &[Instance]) {
        let is_alive = |instance: &&Instance| {
            let state = look::state(instance);
            purchase(instance) == Purchase::Spot
                && matches!(state, None | Some(MachineState::Pending | MachineState::Running))
        };
        let alive: BTreeMap<_, _> = instances
            .iter()
            .filter(is_alive)
            .filter_map(|instance| {
                let request = instance.spot_instance_request_id().map(str::to_owned);
                Some((MachineId(instance.instance_id()?.to_owned()), request))
            })
            .collect();
        let unheard = known.iter().filter(|known| known.is_unheard).filter_map(|known| known.machine.clone());
        let unheard: BTreeSet<_> = unheard.filter(|machine| alive.contains_key(machine)).collect();
        let has_any = !unheard.is_empty();
        self.with(|watched| {
            watched.alive.insert((scope.clone(), log), alive);
            watched.alive.retain(|_, machines| !machines.is_empty());
            watched.unheard.insert((scope.clone(), log), unheard);
            watched.unheard.retain(|_, machines| !machines.is_empty());
            let all: BTreeSet<&MachineId> = watched.alive.values().flat_map(BTreeMap::keys).collect();
            watched.announced.retain(|machine| all.contains(machine));
        });
        if has_any {
            self.changed.notify_one();
        }
    }

    /// The Spot requests that these machines came from, as far as a look has shown them.
    pub(crate) fn requests(&self, machines: &[MachineId]) -> Vec<String> {
        self.with(|watched| {
            let request = |machine: &MachineId| watched.alive.values().find_map(|alive| alive.get(machine)?.clone());
            machines.iter().filter_map(request).collect()
        })
    }

    /// The next announcement. Nothing is asked while no spot machine lives that hears nothing itself.
    pub(crate) async fn next(&self, sessions: &Sessions) -> Notice {
        loop {
            if let Some(notice) = self.with(|watched| watched.pending.pop()) {
                return notice;
            }
            let scopes = self.with(|watched| {
                watched.unheard.iter().map(|((scope, _), ids)| (scope.clone(), ids.clone())).collect::<Vec<_>>()
            });
            if scopes.is_empty() {
                self.changed.notified().await;
                continue;
            }
            for (scope, machines) in scopes {
                match ask(sessions, &scope, &machines).await {
                    Ok(notices) => self.take(notices),
                    Err(failure) => tracing::debug!(%failure, %scope, "announcements are not known"),
                }
            }
            if self.with(|watched| watched.pending.is_empty()) {
                self.clock.sleep_until(self.clock.boot().plus(PERIOD)).await;
            }
        }
    }

    fn take(&self, notices: Vec<Notice>) {
        self.with(|watched| {
            for notice in notices {
                if watched.announced.insert(notice.machine.clone()) {
                    watched.pending.push(notice);
                }
            }
        });
    }
}

/// One question whatever the number of machines: the account's requests that are marked are few.
async fn ask(sessions: &Sessions, scope: &Scope, machines: &BTreeSet<MachineId>) -> Result<Vec<Notice>, Failure> {
    let session: Arc<Session> = sessions.of_scope(scope).await?;
    let mut notices = Vec::new();
    let marked = filter("status-code", ["marked-for-termination".to_owned()]);
    let request = session.ec2.describe_spot_instance_requests().filters(marked);
    let answer = session.calls.make(Api::DescribeSpotInstanceRequests, request.send()).await?;
    for request in answer.spot_instance_requests() {
        let status = request.status().filter(|status| status.code() == Some("marked-for-termination"));
        let (Some(status), Some(id)) = (status, request.instance_id()) else { continue };
        let machine = MachineId(id.to_owned());
        // The account may have others' machines.
        if !machines.contains(&machine) {
            continue;
        }
        let said = status.update_time().and_then(|time| i64::try_from(time.as_nanos() / 1_000).ok());
        let deadline = said.map(|micros| At::from_micros(micros.saturating_add(WARNING_MICROS)));
        notices.push(Notice { machine, deadline });
    }
    Ok(notices)
}
