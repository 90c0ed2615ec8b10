//! The fake cloud behind the port: gates, faults on the way, effects.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use futures::future;

use super::fake_cloud::no_region;
use super::faults::Script;
use super::world::{Api, Buckets, Due, World};
use super::{FakeCloud, FakeMachine, Gate, GatePoint, Moment};
use crate::clock::Boot;
use crate::cloud::bucket::Bucket;
use crate::cloud::{Absence, CloudError, CloudProvider, Known, LaunchError, Look, Machine, MachineState, Notice, Seen};
use crate::model::{LaunchRequest, LogId, MachineId, Offering, Scope, Span};
use crate::planted::{self, Bug};

/// What the way there and back does to a call.
struct Way {
    /// It does nothing, and its caller is told so in these words.
    lost: Option<&'static str>,
    /// Its answer is these words, whatever it did.
    answer_lost: Option<&'static str>,
    is_doubled: bool,
    late: Option<Span>,
    delay: Option<Span>,
}

impl Way {
    /// Of a call that only reads.
    fn reading(world: &mut World) -> Self {
        let ordered = world.script.take(|script| match script {
            Script::DelayAnswer(span) => Some(*span),
            _ => None,
        });
        let faults = world.faults.clone();
        let lost = if world.strikes("call_lost", &Script::LoseCall, faults.call_lost) {
            Some(LOST)
        } else {
            world.draw.befalls("error_before", faults.error_before).then_some(INTERNAL)
        };
        let answer_lost = if world.strikes("answer_lost", &Script::LoseAnswer, faults.answer_lost) {
            Some(LOST)
        } else {
            world.draw.befalls("error_after", faults.error_after).then_some(INTERNAL)
        };
        if ordered.is_some() {
            world.draw.hit("answer_delayed");
        }
        let is_slow = ordered.is_none() && world.draw.befalls("answer_delayed", faults.answer_delayed);
        let delay = ordered.or_else(|| is_slow.then(|| world.draw.span(faults.delay_most)));
        Self { lost, answer_lost, is_doubled: false, late: None, delay }
    }

    /// Of a call that changes something.
    fn changing(world: &mut World) -> Self {
        let ordered = world.script.take(|script| match script {
            Script::RunLate(span) => Some(*span),
            _ => None,
        });
        let faults = world.faults.clone();
        if ordered.is_some() {
            world.draw.hit("call_late");
        }
        let is_late = ordered.is_none() && world.draw.befalls("call_late", faults.call_late);
        let late = ordered.or_else(|| is_late.then(|| world.draw.span(faults.late_most)));
        let is_doubled = world.strikes("call_doubled", &Script::DoubleCall, faults.call_doubled);
        Self { late, is_doubled, ..Self::reading(world) }
    }

    /// The words that the caller gets in the place of an answer, if the call does nothing.
    fn lost(&self, world: &mut World, region: &str) -> Option<&'static str> {
        if world.down.contains(region) {
            world.draw.hit("region_down");
            return Some(LOST);
        }
        self.lost
    }
}

const INTERNAL: &str = "InternalError";
const LOST: &str = "the connection was lost";

impl FakeCloud {
    fn gate(&self) -> Arc<dyn Gate> {
        Arc::clone(&self.inner.gate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn next_notice(&self) -> Notice {
        loop {
            let changed = self.changed();
            let (notice, next) = self.quietly(|world, _| (world.notices.pop_front(), world.next_due()));
            if let Some(notice) = notice {
                return notice;
            }
            match next {
                None => changed.await,
                Some(moment) => {
                    future::select(Box::pin(changed), self.inner.clock.sleep_until(moment)).await;
                }
            }
        }
    }

    /// One call: the gate, its effect with what the way does to it, its delay, the gate again.
    async fn call<R: Send>(
        &self,
        api: (Api, &'static str),
        subject: String,
        effect: impl FnOnce(&mut World, Boot) -> (R, Option<Span>) + Send,
    ) -> R {
        let gate = self.gate();
        gate.pass(GatePoint { call: api.1, subject: subject.clone(), moment: Moment::BeforeEffect }).await;
        let (reply, delay, now) = self.at_now(|world, now| {
            *world.calls.entry(api.0).or_default() += 1;
            let (reply, delay) = effect(world, now);
            (reply, delay, now)
        });
        if let Some(delay) = delay {
            self.inner.clock.sleep_until(now.plus(delay.to_std())).await;
        }
        gate.pass(GatePoint { call: api.1, subject, moment: Moment::BeforeReply }).await;
        reply
    }

    async fn read<R: Send>(
        &self,
        api: (Api, &'static str),
        region: &str,
        effect: impl FnOnce(&mut World, Boot) -> Result<R, CloudError> + Send,
    ) -> Result<R, CloudError> {
        self.call(api, region.to_owned(), |world, now| {
            let way = Way::reading(world);
            if let Some(words) = way.lost(world, region) {
                return (Err(CloudError::Unknown(words.into())), way.delay);
            }
            let reply = world.refuse(region).and_then(|()| effect(world, now));
            let lost = |words: &str| Err(CloudError::Unknown(words.into()));
            (way.answer_lost.map_or(reply, lost), way.delay)
        })
        .await
    }
}

fn is_throttled(world: &mut World, tokens: u32, now: Boot, of: fn(&mut Buckets) -> &mut Bucket) -> bool {
    let empty = world.buckets.as_mut().is_some_and(|buckets| of(buckets).take(tokens, now).is_err());
    if empty {
        world.draw.hit("bucket_empty");
    }
    empty || world.draw.befalls("throttled", world.faults.throttled)
}

impl World {
    /// What any call may be refused for.
    fn refuse(&mut self, region: &str) -> Result<(), CloudError> {
        if !self.offerings.iter().any(|offering| offering.scope.region == region) {
            return Err(no_region(region));
        }
        if self.draw.befalls("credentials", self.faults.credentials) {
            return Err(CloudError::Credentials("RequestExpired".into()));
        }
        Ok(())
    }

    /// A call about another account than the credentials' is refused: the adapter would see the wrong machines.
    fn refuse_scope(&mut self, scope: &Scope) -> Result<(), CloudError> {
        self.refuse(&scope.region)?;
        if scope.account != self.account {
            return Err(CloudError::Credentials(format!("these are keys of account {}", self.account)));
        }
        Ok(())
    }

    fn launch_call(&mut self, request: &LaunchRequest, now: Boot) -> Result<Machine, LaunchError> {
        let scripted = self.script.take(|script| match script {
            Script::FailLaunch(error) => Some(error.clone()),
            _ => None,
        });
        if let Some(error) = scripted {
            return Err(error);
        }
        if is_throttled(self, 1, now, |buckets| &mut buckets.launch) {
            return Err(LaunchError::Throttled("RequestLimitExceeded".into()));
        }
        self.refuse_scope(&request.scope).map_err(|error| match error {
            CloudError::Credentials(words) => LaunchError::Credentials(words),
            other => LaunchError::Invalid(other.to_string()),
        })?;
        let faults = self.faults.clone();
        if self.draw.befalls("denied", faults.denied) {
            return Err(LaunchError::Denied("UnauthorizedOperation".into()));
        }
        if self.draw.befalls("invalid", faults.invalid) {
            return Err(LaunchError::Invalid("InvalidAMIID.NotFound".into()));
        }
        if self.draw.befalls("mismatch", faults.mismatch) {
            return Err(LaunchError::Mismatch("IdempotentParameterMismatch".into()));
        }
        self.launch(request, now)
    }

    fn terminate_call(&mut self, scope: &Scope, ids: &[MachineId], now: Boot) -> Vec<Result<(), CloudError>> {
        let throttled = is_throttled(self, 1, now, |buckets| &mut buckets.terminate)
            || is_throttled(self, u32::try_from(ids.len()).unwrap_or(u32::MAX), now, |buckets| {
                &mut buckets.terminate_machines
            });
        if throttled {
            return vec![Err(CloudError::Throttled("RequestLimitExceeded".into())); ids.len()];
        }
        if let Err(error) = self.refuse_scope(scope) {
            return vec![Err(error); ids.len()];
        }
        ids.iter()
            .map(|id| {
                let is_here = self.machines.get(id).is_some_and(|machine| is_in(machine, scope));
                if is_here { self.terminate(id, now) } else { Err(CloudError::NotFound) }
            })
            .collect()
    }

    fn look_call(&mut self, scope: &Scope, log: LogId, known: &[Known], now: Boot) -> Result<Look, CloudError> {
        self.refuse_scope(scope)?;
        let is_shown = |machine: &&FakeMachine| is_in(machine, scope) && machine.is_shown(now);
        let mut shown: Vec<FakeMachine> = self.machines.values().filter(is_shown).cloned().collect();
        if planted::is(Bug::PageTwoIgnored) {
            shown.truncate(1);
        }
        let listed: Vec<&FakeMachine> = shown.iter().filter(|machine| machine.owner == Some(log)).collect();
        self.pages(listed.len(), now)?;
        let mut machines: Vec<Seen> = listed.iter().map(|machine| self.row(machine, now)).collect();
        let mut absent = Vec::new();
        for wanted in known {
            let fits = |machine: &&FakeMachine| {
                Some(&machine.id) == wanted.machine.as_ref() || machine.token.as_ref() == Some(&wanted.token)
            };
            match shown.iter().find(fits) {
                None => absent.push(Absence(wanted.token.clone())),
                Some(machine) => {
                    let row = self.row(machine, now);
                    match machines.iter_mut().find(|row| row.id == machine.id) {
                        // The look-up went by id or token, so it is known which launch this is.
                        Some(listed) => listed.token.clone_from(&machine.token),
                        None => machines.push(Seen { token: machine.token.clone(), ..row }),
                    }
                }
            }
        }
        if self.calls.get(&Api::Look).is_some_and(|calls| calls % 2 == 0) {
            machines.reverse();
        }
        Ok(Look { machines, absent })
    }

    /// Reads the pages of a listing of so many rows: each costs a call and may fail, and then all of it has.
    fn pages(&mut self, rows: usize, now: Boot) -> Result<(), CloudError> {
        let pages = u32::try_from(rows.div_ceil(self.page_size).max(1)).unwrap_or(u32::MAX);
        for page in 1..=pages {
            if is_throttled(self, 1, now, |buckets| &mut buckets.look) {
                return Err(CloudError::Throttled("RequestLimitExceeded".into()));
            }
            if self.strikes("page_fails", &Script::FailPage(page), self.faults.page_fails) {
                return Err(CloudError::Unknown(format!("page {page} of the listing did not come")));
            }
        }
        Ok(())
    }

    fn row(&mut self, machine: &FakeMachine, now: Boot) -> Seen {
        let is_stale = self.draw.befalls("row_stale", self.faults.row_stale);
        let drawn = if is_stale { self.draw.span(self.faults.stale_most) } else { Span::ZERO };
        let lag = drawn.max(self.stale).to_std();
        let state = machine.state_at(Boot(now.0.saturating_sub(lag)));
        let has_token = !self.draw.befalls("row_without_token", self.faults.row_without_token);
        let has_address = !self.draw.befalls("row_without_address", self.faults.row_without_address)
            && state != MachineState::Pending;
        Seen {
            id: machine.id.clone(),
            token: machine.token.clone().filter(|_| has_token),
            state,
            address: machine.address.clone().filter(|_| has_address),
            reason: machine.reason.clone(),
            is_taken_back: machine.is_taken_back(),
        }
    }
}

fn is_in(machine: &FakeMachine, scope: &Scope) -> bool {
    machine.scope.account == scope.account && machine.scope.region == scope.region
}

#[async_trait]
impl CloudProvider for FakeCloud {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        self.read((Api::Scope, "scope"), region, |world, _| {
            Ok(Scope { provider: world.name.clone(), account: world.account.clone(), region: region.to_owned() })
        })
        .await
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        self.read((Api::Catalogue, "catalogue"), region, |world, now| {
            if is_throttled(world, 1, now, |buckets| &mut buckets.look) {
                return Err(CloudError::Throttled("RequestLimitExceeded".into()));
            }
            let here = world.offerings.iter().filter(|offering| offering.scope.region == region);
            let (provider, account) = (&world.name, &world.account);
            Ok(here
                .map(|offering| {
                    let scope =
                        Scope { provider: provider.clone(), account: account.clone(), region: region.to_owned() };
                    Offering { scope, ..offering.clone() }
                })
                .collect())
        })
        .await
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        let lost = |words: &str| Err(LaunchError::Unknown(words.into()));
        self.call((Api::Launch, "launch"), request.token().0, |world, now| {
            let way = Way::changing(world);
            if let Some(words) = way.lost(world, &request.scope.region) {
                return (lost(words), way.delay);
            }
            if let Some(late) = way.late {
                world.plan(now.plus(late.to_std()), Due::LateLaunch(Box::new(request.clone())));
                return (lost(LOST), way.delay);
            }
            let mut reply = world.launch_call(request, now);
            if way.is_doubled && !matches!(reply, Err(LaunchError::Throttled(_) | LaunchError::Credentials(_))) {
                let was_refused = reply.is_err();
                reply = world.launch(request, now);
                if was_refused && reply.is_ok() {
                    world.draw.hit("refused_then_launched");
                }
            }
            (way.answer_lost.map_or(reply, lost), way.delay)
        })
        .await
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        let effect = |world: &mut World, now: Boot| world.look_call(scope, log, known, now);
        self.read((Api::Look, "look"), &scope.region, effect).await
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        let lost = |words: &str| vec![Err(CloudError::Unknown(words.into())); machines.len()];
        let subject = machines.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(" ");
        self.call((Api::Terminate, "terminate"), subject, |world, now| {
            let way = Way::changing(world);
            if let Some(words) = way.lost(world, &scope.region) {
                return (lost(words), way.delay);
            }
            if let Some(late) = way.late {
                world.plan(now.plus(late.to_std()), Due::LateTerminate(machines.to_vec()));
                return (lost(LOST), way.delay);
            }
            let mut reply = world.terminate_call(scope, machines, now);
            if way.is_doubled {
                reply = world.terminate_call(scope, machines, now);
            }
            if way.answer_lost.is_some() {
                world.draw.hit("terminate_answer_lost");
            }
            (way.answer_lost.map_or(reply, lost), way.delay)
        })
        .await
    }

    async fn notice(&self) -> Notice {
        let gate = self.gate();
        let point = |moment| GatePoint { call: "notice", subject: String::new(), moment };
        gate.pass(point(Moment::BeforeEffect)).await;
        let notice = self.next_notice().await;
        gate.pass(point(Moment::BeforeReply)).await;
        notice
    }
}
