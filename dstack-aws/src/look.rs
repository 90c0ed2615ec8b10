//! A complete look: every page of the log's machines, and a look-up of each known one that is not among them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName};
use dstack_core::cloud::{Absence, Known, Look, MachineState, Seen};
use dstack_core::model::{Address, LogId, MachineId, Token};

use crate::api::Api;
use crate::failure::{Class, Failure};
use crate::session::Session;
use crate::tags::{self, Ssh};

/// Machines on a page.
const PAGE: i32 = 1_000;
/// Most pages of one listing.
const PAGES_MOST: usize = 1_000;
/// Most values of one filter.
const VALUES_MOST: usize = 200;

/// Everything that the listing and the look-ups found, as EC2 wrote it, and the look that it makes.
pub(crate) struct Found {
    pub(crate) instances: Vec<Instance>,
    pub(crate) look: Look,
}

/// Looks. Any error is an error of the whole.
pub(crate) async fn look(session: &Session, log: LogId, known: &[Known]) -> Result<Found, Failure> {
    let of_log = Filter::builder().name(format!("tag:{}", tags::LOG)).values(log.to_string()).build();
    let mut rows = Rows { log, by_id: BTreeMap::new() };
    rows.add(list(session, vec![of_log]).await?)?;
    let ids: Vec<&str> = known
        .iter()
        .filter_map(|known| Some(known.machine.as_ref()?.0.as_str()))
        .filter(|id| !rows.by_id.contains_key(*id))
        .collect();
    // By a filter: an id that EC2 does not know fails a call that names it.
    rows.look_up(session, "instance-id", &ids).await?;
    let seen = rows.tokens();
    let is_missing = |known: &&Known| {
        let has_machine = known.machine.as_ref().is_some_and(|id| rows.by_id.contains_key(&id.0));
        !has_machine && !seen.contains(&known.token)
    };
    let tokens: Vec<&str> = known.iter().filter(is_missing).map(|known| known.token.0.as_str()).collect();
    rows.look_up(session, "client-token", &tokens).await?;
    Ok(rows.into_found(known))
}

async fn list(session: &Session, filters: Vec<Filter>) -> Result<Vec<Instance>, Failure> {
    let mut instances = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MOST {
        let request = session.ec2.describe_instances().set_filters(Some(filters.clone())).max_results(PAGE);
        let answer = session.calls.make(Api::DescribeInstances, request.set_next_token(next.take()).send()).await?;
        let token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        let reservations = answer.reservations.unwrap_or_default();
        instances.extend(reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default()));
        if token.is_none() {
            return Ok(instances);
        }
        next = token;
    }
    Err(Failure::new(Class::Unknown, format!("the listing has more than {PAGES_MOST} pages")))
}

struct Rows {
    log: LogId,
    by_id: BTreeMap<String, Instance>,
}

impl Rows {
    fn add(&mut self, instances: Vec<Instance>) -> Result<(), Failure> {
        for instance in instances {
            let Some(id) = instance.instance_id().filter(|id| !id.is_empty()).map(str::to_owned) else {
                return Err(Failure::new(Class::Unknown, "a listed machine has no id"));
            };
            // Another log's tag on it: not ours, whatever asked for it.
            if tags::value(instance.tags(), tags::LOG).is_some_and(|log| log != self.log.to_string()) {
                continue;
            }
            self.by_id.insert(id, instance);
        }
        Ok(())
    }

    async fn look_up(&mut self, session: &Session, filter: &str, values: &[&str]) -> Result<(), Failure> {
        for values in values.chunks(VALUES_MOST) {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let filter = Filter::builder().name(filter).set_values(Some(values)).build();
            self.add(list(session, vec![filter]).await?)?;
        }
        Ok(())
    }

    fn tokens(&self) -> BTreeSet<Token> {
        self.by_id.values().filter_map(tags::token).collect()
    }

    fn into_found(self, known: &[Known]) -> Found {
        let by_machine: BTreeMap<&str, &Token> =
            known.iter().filter_map(|known| Some((known.machine.as_ref()?.0.as_str(), &known.token))).collect();
        let seen = |(id, instance): (&String, &Instance)| Seen {
            id: MachineId(id.clone()),
            // Tags and tokens fall off a machine that has ended; the log still knows whose it is.
            token: tags::token(instance).or_else(|| by_machine.get(id.as_str()).map(|token| (*token).clone())),
            state: state(instance).unwrap_or(MachineState::Pending),
            address: address(instance),
            reason: reason(instance),
            is_taken_back: is_taken_back(instance),
        };
        let machines: Vec<Seen> = self.by_id.iter().map(seen).collect();
        let tokens: BTreeSet<&Token> = machines.iter().filter_map(|seen| seen.token.as_ref()).collect();
        let is_absent = |known: &&Known| {
            let has_machine = known.machine.as_ref().is_some_and(|id| self.by_id.contains_key(&id.0));
            !has_machine && !tokens.contains(&known.token)
        };
        let absent = known.iter().filter(is_absent).map(|known| Absence(known.token.clone())).collect();
        Found { look: Look { machines, absent }, instances: self.by_id.into_values().collect() }
    }
}

/// What a machine is doing. Of the code only the low byte counts; a row without code and name says nothing.
pub(crate) fn state(instance: &Instance) -> Option<MachineState> {
    let state = instance.state()?;
    match state.code().map(|code| code & 0xff) {
        Some(0) => return Some(MachineState::Pending),
        Some(16) => return Some(MachineState::Running),
        Some(32) => return Some(MachineState::ShuttingDown),
        Some(48) => return Some(MachineState::Terminated),
        Some(64 | 80) => return Some(MachineState::Halted),
        _ => {}
    }
    match state.name()? {
        InstanceStateName::Pending => Some(MachineState::Pending),
        InstanceStateName::Running => Some(MachineState::Running),
        InstanceStateName::ShuttingDown => Some(MachineState::ShuttingDown),
        InstanceStateName::Terminated => Some(MachineState::Terminated),
        InstanceStateName::Stopping | InstanceStateName::Stopped => Some(MachineState::Halted),
        _ => None,
    }
}

/// `USER@ADDRESS:PORT`, once the machine has an address and its tags say the rest.
pub(crate) fn address(instance: &Instance) -> Option<Address> {
    let ip = instance.public_ip_address().filter(|ip| !ip.is_empty())?;
    let Ssh { user, port } = Ssh::parse(tags::value(instance.tags(), tags::SSH)?)?;
    Some(Address(format!("{user}@{ip}:{port}")))
}

/// Whether EC2 took a Spot instance back, by the codes of its reason.
fn is_taken_back(instance: &Instance) -> bool {
    let code = instance.state_reason().and_then(|reason| reason.code());
    matches!(code, Some("Server.SpotInstanceTermination" | "Server.SpotInstanceShutdown"))
}

/// Why a machine is as it is: the code of its reason, for those that no longer run.
fn reason(instance: &Instance) -> Option<String> {
    if matches!(state(instance), None | Some(MachineState::Pending | MachineState::Running)) {
        return None;
    }
    let code = instance.state_reason().and_then(|reason| reason.code());
    let words = code.or_else(|| instance.state_transition_reason())?;
    Some(words.to_owned()).filter(|words| !words.is_empty())
}
