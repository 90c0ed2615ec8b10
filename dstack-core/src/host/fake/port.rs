//! The fake host behind the port.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use futures::future;
use tokio::sync::futures::Notified;

use super::FakeHost;
use super::attempt::{Attempt, Files, Verdict};
use super::fake_host::Runners;
use super::files::{below, normal, pack, unpack};
use super::script::interpret;
use crate::blob::Payload;
use crate::clock::Boot;
use crate::cloud::{FakeCloud, GatePoint, Moment};
use crate::host::{Begun, Closing, Contents, Fetched, Hearing, HostError, Job, Polled, Progress, RunnerHost};
use crate::model::{AttemptId, Greeting, Identity, MachineId, Place};
use crate::planted::{self, Bug};
use crate::secret::Secret;

impl FakeHost {
    /// One call: the gate, its effect if the runner can be reached, what becomes of the answer, the gate again.
    async fn call<R: Send>(
        &self,
        call: &'static str,
        place: &Place,
        attempt: Option<AttemptId>,
        effect: impl FnOnce(&mut Runners, Boot) -> Result<R, HostError> + Send,
    ) -> Result<R, HostError> {
        let gate = self.with(|runners, _| Arc::clone(&runners.gate));
        let subject = attempt.map_or_else(|| place.machine.0.clone(), |id| format!("{} {id}", place.machine));
        gate.pass(GatePoint { call, subject: subject.clone(), moment: Moment::BeforeEffect }).await;
        let lost = |words: &str| HostError::Unreachable(words.to_owned());
        let reached = self.reach(place);
        let (reply, delay, now) = self.with(|runners, now| {
            let faults = runners.faults;
            let is_lost = spend(&mut runners.lose_calls) || runners.draw.befalls("unreachable", faults.unreachable);
            let is_answer_lost =
                spend(&mut runners.lose_answers) || runners.draw.befalls("answer_lost", faults.answer_lost);
            let is_late = runners.draw.befalls("answer_delayed", faults.answer_delayed);
            let delay = is_late.then(|| runners.draw.span(faults.delay_most));
            let reply = reached.and_then(|()| {
                if is_lost {
                    return Err(lost("no route to the runner"));
                }
                let reply = effect(runners, now);
                if is_answer_lost { Err(lost("the connection was lost")) } else { reply }
            });
            (reply, delay, now)
        });
        if !matches!(call, "greet" | "poll" | "fetch") {
            self.inner.changed.notify_waiters();
        }
        if let Some(delay) = delay {
            self.inner.clock.sleep_until(now.plus(delay.to_std())).await;
        }
        gate.pass(GatePoint { call, subject, moment: Moment::BeforeReply }).await;
        reply
    }

    /// Returns when a poll would say something new, or when the runner is lost.
    async fn until_news(&self, place: &Place) -> Result<(), HostError> {
        loop {
            let changed = self.inner.changed.notified();
            let cloud_changed = self.inner.cloud.as_ref().map(FakeCloud::changed);
            self.reach(place)?;
            let (has_news, next) = self.news(place);
            if has_news {
                return Ok(());
            }
            self.until_changed(changed, cloud_changed, next).await;
        }
    }

    /// Returns when the runner hears something else than this of its own end, or is lost.
    async fn until_heard(&self, place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError> {
        loop {
            let changed = self.inner.changed.notified();
            let cloud_changed = self.inner.cloud.as_ref().map(FakeCloud::changed);
            self.reach(place)?;
            let hearing = self.hearing(&place.machine);
            if Some(hearing) != last {
                return Ok(hearing);
            }
            self.until_changed(changed, cloud_changed, None).await;
        }
    }

    /// Returns when something was changed, here or in the cloud, or at this moment.
    async fn until_changed(&self, changed: Notified<'_>, in_cloud: Option<Notified<'_>>, next: Option<Boot>) {
        let cloud_next = self.inner.cloud.as_ref().and_then(FakeCloud::next_change);
        let sleep = async {
            match next.into_iter().chain(cloud_next).min() {
                Some(moment) => self.inner.clock.sleep_until(moment).await,
                None => future::pending().await,
            }
        };
        let in_cloud = async move {
            match in_cloud {
                Some(changed) => changed.await,
                None => future::pending().await,
            }
        };
        let (changed, sleep, in_cloud) = (Box::pin(changed), Box::pin(sleep), Box::pin(in_cloud));
        future::select(changed, future::select(sleep, in_cloud)).await;
    }

    /// Whether a poll would say something new, and when it will at the latest known.
    fn news(&self, place: &Place) -> (bool, Option<Boot>) {
        self.with(|runners, now| {
            let Some(runner) = runners.runners.get(&place.machine) else { return (false, None) };
            let (told, changes) = runner.told;
            let has = runner.changes != changes || runner.attempts.values().any(|attempt| attempt.has_news(told, now));
            let next = runner.attempts.values().filter_map(|attempt| attempt.next_news(now)).min();
            (has, next)
        })
    }
}

/// Uses one up, if there is one.
fn spend(count: &mut u32) -> bool {
    let had = *count > 0;
    *count = count.saturating_sub(1);
    had
}

/// What a machine in memory proves to be.
fn identity(machine: &MachineId) -> Identity {
    Identity(format!("key of {machine}"))
}

/// The files of all archives, the later ones over the earlier.
fn laid(contents: &Contents) -> Result<Files, HostError> {
    let mut files = Files::new();
    for archive in &contents.archives {
        let bytes = archive.bytes().map_err(|error| HostError::Refused(error.to_string()))?;
        files.extend(unpack(&bytes)?);
    }
    Ok(files)
}

#[async_trait]
impl RunnerHost for FakeHost {
    async fn greet(&self, place: &Place) -> Result<Greeting, HostError> {
        self.call("greet", place, None, |_, _| Ok(Greeting { identity: Some(identity(&place.machine)) })).await
    }

    async fn stage(&self, place: &Place, attempt: AttemptId, contents: &Contents) -> Result<(), HostError> {
        self.call("stage", place, Some(attempt), |runners, _| {
            let is_full = runners.draw.befalls("disk_full", runners.faults.disk_full);
            let runner = runners.runners.entry(place.machine.clone()).or_default();
            if is_full || runner.is_full {
                return Err(HostError::Refused("no space left on device".into()));
            }
            let files = laid(contents)?;
            runner.attempts.entry(attempt).or_default().stage(files);
            Ok(())
        })
        .await
    }

    async fn start(
        &self,
        place: &Place,
        attempt: AttemptId,
        job: &Job,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Begun, HostError> {
        self.call("start", place, Some(attempt), |runners, now| {
            let faults = runners.faults;
            let simulate = runners.simulate.clone();
            let known = runners.runners.get(&place.machine).and_then(|runner| runner.attempts.get(&attempt));
            let Some(known) = known else { return Err(HostError::UnknownAttempt(attempt)) };
            match known.verdict {
                Some(Verdict::Begun) if !planted::is(Bug::StartWithoutBegun) => {
                    runners.draw.hit("started_twice");
                    return Ok(Begun::Started);
                }
                Some(Verdict::Closed) if !planted::is(Bug::StartAfterClose) => {
                    runners.draw.hit("start_refused");
                    return Ok(Begun::Closed);
                }
                Some(Verdict::Begun | Verdict::Closed) | None => {}
            }
            let is_lost = runners.draw.befalls("process_lost", faults.process_lost);
            let lost_after = is_lost.then(|| runners.draw.span(faults.life_most));
            let runner = runners.runners.entry(place.machine.clone()).or_default();
            let Some(found) = runner.attempts.get_mut(&attempt) else {
                return Err(HostError::UnknownAttempt(attempt));
            };
            let plan = match simulate {
                Some(simulate) => simulate(attempt, job),
                None => {
                    let exposed = secrets.iter().map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
                    interpret(job, &exposed.collect(), found.files(now))
                }
            };
            found.begin(plan, job.timeout, lost_after, now);
            runner.changes += 1;
            runners.starts.push((attempt, place.machine.clone()));
            Ok(Begun::Started)
        })
        .await
    }

    async fn poll(&self, place: &Place, attempts: &[(AttemptId, u64)]) -> Result<Vec<Polled>, HostError> {
        self.call("poll", place, None, |runners, now| {
            let runner = runners.runners.entry(place.machine.clone()).or_default();
            if !attempts.is_empty() {
                runner.told = (now, runner.changes);
            }
            let answer = |(id, offset): &(AttemptId, u64)| {
                let found = runner.attempts.get(id);
                let printed = found.map_or(&[][..], |attempt| attempt.printed(now));
                let from = usize::try_from(*offset).unwrap_or(usize::MAX).min(printed.len());
                let until = printed.len().min(from.saturating_add(Polled::MAX_CHUNK));
                Polled {
                    attempt: *id,
                    progress: found.map_or(Progress::Staged, |attempt| attempt.progress(now)),
                    output: Buffer::copy_from_slice(&printed[from..until]),
                    has_more: until < printed.len(),
                }
            };
            Ok(attempts.iter().map(answer).collect())
        })
        .await
    }

    async fn close(&self, place: &Place, attempt: AttemptId, closing: Closing) -> Result<(), HostError> {
        self.call("close", place, Some(attempt), |runners, now| {
            let runner = runners.runners.entry(place.machine.clone()).or_default();
            runner.changes += 1;
            runner.attempts.entry(attempt).or_default().close(closing, now);
            Ok(())
        })
        .await
    }

    async fn fetch(&self, place: &Place, attempt: AttemptId, path: &str) -> Result<Fetched, HostError> {
        self.call("fetch", place, Some(attempt), |runners, now| {
            let found = runners.runners.get(&place.machine).and_then(|runner| runner.attempts.get(&attempt));
            // What was released or wiped is gone, and with it all knowledge of what was there.
            let is_there = |found: &&Attempt| found.verdict.is_some() && !found.is_gone();
            let found = found.filter(is_there).ok_or(HostError::UnknownAttempt(attempt))?;
            if let Some(why) = &found.unreadable {
                return Ok(Fetched { unreadable: Some(why.clone()), ..Fetched::default() });
            }
            let Some(path) = normal("", path) else {
                let why = Some(format!("{path} leads out of the folder"));
                return Ok(Fetched { unreadable: why, ..Fetched::default() });
            };
            let archive = below(&found.files(now), &path).map(|files| pack(&files)).transpose()?;
            Ok(Fetched { archive: archive.map(Payload::from), ..Fetched::default() })
        })
        .await
    }

    async fn release(&self, place: &Place, attempt: AttemptId) -> Result<(), HostError> {
        self.call("release", place, Some(attempt), |runners, _| {
            let runner = runners.runners.get_mut(&place.machine);
            if let Some(attempt) = runner.and_then(|runner| runner.attempts.get_mut(&attempt)) {
                attempt.release();
            }
            Ok(())
        })
        .await
    }

    async fn wait(&self, place: &Place) -> Result<(), HostError> {
        let gate = self.with(|runners, _| Arc::clone(&runners.gate));
        let point = |moment| GatePoint { call: "wait", subject: place.machine.0.clone(), moment };
        gate.pass(point(Moment::BeforeEffect)).await;
        let breaks = self.with(|runners, _| runners.draw.befalls("wait_breaks", runners.faults.wait_breaks));
        let reply =
            if breaks { Err(HostError::Unreachable("the link broke".into())) } else { self.until_news(place).await };
        gate.pass(point(Moment::BeforeReply)).await;
        reply
    }

    async fn listen(&self, place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError> {
        let gate = self.with(|runners, _| Arc::clone(&runners.gate));
        let point = |moment| GatePoint { call: "listen", subject: place.machine.0.clone(), moment };
        gate.pass(point(Moment::BeforeEffect)).await;
        let breaks = self.with(|runners, _| runners.draw.befalls("wait_breaks", runners.faults.wait_breaks));
        let reply = if breaks {
            Err(HostError::Unreachable("the link broke".into()))
        } else {
            self.until_heard(place, last).await
        };
        gate.pass(point(Moment::BeforeReply)).await;
        reply
    }
}
