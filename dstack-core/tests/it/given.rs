//! Given this log, when that is seen or the time has come, then these events.

use std::collections::BTreeMap;

use dstack_core::cloud::{Absence, LaunchError, Look, Machine, MachineState, Seen};
use dstack_core::controller::Evidence;
use dstack_core::model::event::*;
use dstack_core::model::plan::ScopeTick;
use dstack_core::model::reconcile::Sighting;
use dstack_core::model::*;
use dstack_core::testkit::history::Driver;
use dstack_core::testkit::samples;

/// A log that tests write by hand.
pub(crate) struct Given(pub(crate) Driver);

pub(crate) const ME: ControllerId = ControllerId::from_bytes([1; 16]);

pub(crate) fn runner(number: u64) -> RunnerId {
    RunnerId::from_bits(number)
}

pub(crate) fn workflow(index: u32) -> WorkflowId {
    WorkflowId { run: RunId::from_bits(1), index }
}

pub(crate) fn attempt(index: u32, number: u32) -> AttemptId {
    AttemptId { workflow: workflow(index), number }
}

pub(crate) fn machine(number: u64) -> Machine {
    Machine {
        id: MachineId(format!("m{number}")),
        address: Some(Address("here".to_owned())),
        purchase: Purchase::OnDemand,
    }
}

pub(crate) fn small() -> Offering {
    samples::offering("small", Purchase::OnDemand, 2)
}

impl Given {
    /// A log with a rule for at most that many small on-demand runners.
    pub(crate) fn with_max(max: u32) -> Self {
        let mut given = Self(Driver::new());
        given.has([RuleAllowed { max, min: 0, offering: small() }]);
        given
    }

    pub(crate) fn state(&self) -> &State {
        self.0.state()
    }

    /// Appends.
    pub(crate) fn has<E: Into<Event>>(&mut self, events: impl IntoIterator<Item = E>) -> &mut Self {
        let events: Vec<Event> = events.into_iter().map(Into::into).collect();
        self.0.append(&events);
        assert_eq!(self.state().faults().iter().collect::<Vec<_>>(), Vec::<&state::Fault>::new(), "the log is valid");
        self
    }

    pub(crate) fn secs(&mut self, secs: u64) -> &mut Self {
        self.0.act(&dstack_core::testkit::history::Act::Pass(Span::from_secs(secs)));
        self
    }

    pub(crate) fn submitted(&mut self, specs: Vec<WorkflowSpec>) -> &mut Self {
        let (run, name) = (RunId::from_bits(1), "run".parse().expect("it is a name"));
        let workflows = u32::try_from(specs.len()).expect("they are few");
        self.has([RunSubmitted { run, name, workflows, folder: None, secrets: Vec::new() }]);
        for (index, spec) in (0..).zip(specs) {
            self.has([WorkflowSubmitted { id: workflow(index), spec: std::sync::Arc::new(spec) }]);
        }
        self
    }

    pub(crate) fn wanted(&mut self, number: u64) -> &mut Self {
        let offering = small();
        let request = LaunchRequest::new(
            self.state().log().expect("it has its first record"),
            LaunchId::from_bits(number),
            &offering,
            "a".to_owned(),
        );
        let wanted = RunnerWanted { runner: runner(number), request: std::sync::Arc::new(request) };
        self.has::<Event>([wanted.into(), claim(number, 1).into()])
    }

    pub(crate) fn launched(&mut self, number: u64) -> &mut Self {
        let Machine { id, address, .. } = machine(number);
        self.wanted(number).has([RunnerLaunched { runner: runner(number), machine: id, address }])
    }

    pub(crate) fn ready(&mut self, number: u64) -> &mut Self {
        self.launched(number).has([RunnerReady { runner: runner(number), address: None, identity: None }])
    }

    pub(crate) fn assigned(&mut self, index: u32, number: u32, on: u64) -> &mut Self {
        self.has([AttemptAssigned { attempt: attempt(index, number), runner: runner(on) }])
    }

    pub(crate) fn sees(&self, observation: &Observation) -> Vec<Event> {
        reconcile(self.state(), observation)
    }

    pub(crate) fn answered(&self, number: u64, claim: u32, answer: Result<Machine, LaunchError>) -> Vec<Event> {
        self.sees(&Observation::LaunchAnswered {
            runner: runner(number),
            claim: ClaimNumber(claim),
            answer,
            greeting: None,
        })
    }

    /// A look of our scope, begun now, that misses this runner's machine.
    pub(crate) fn misses(&self, number: u64, sighting: Sighting) -> Vec<Event> {
        self.misses_in(small().scope, number, sighting)
    }

    pub(crate) fn misses_in(&self, scope: Scope, number: u64, sighting: Sighting) -> Vec<Event> {
        let token = self.token(number);
        let look = Look { machines: Vec::new(), absent: vec![Absence(token.clone())] };
        let sightings = BTreeMap::from([(token, sighting)]);
        self.sees(&Observation::Looked { scope, began: self.0.now(), look, sightings })
    }

    /// A look of our scope, begun now by a process with this evidence, that misses this runner's machine.
    pub(crate) fn misses_again(&self, evidence: &mut Evidence, number: u64) -> Vec<Event> {
        let scope = small().scope;
        let began = self.0.now();
        let look = Look { machines: Vec::new(), absent: vec![Absence(self.token(number))] };
        let (sightings, _) = evidence.note(self.state(), &scope, &look, began);
        self.sees(&Observation::Looked { scope, began, look, sightings })
    }

    /// A look of our scope that sees this.
    pub(crate) fn sees_machine(&self, id: &str, token_of: Option<u64>, state: MachineState) -> Vec<Event> {
        let token = token_of.map(|number| self.token(number));
        let address = Some(Address("here".to_owned()));
        let seen = Seen { id: MachineId(id.to_owned()), token, state, address, reason: None, is_taken_back: false };
        let look = Look { machines: vec![seen], absent: Vec::new() };
        self.sees(&Observation::Looked { scope: small().scope, began: self.0.now(), look, sightings: BTreeMap::new() })
    }

    fn token(&self, number: u64) -> Token {
        self.state().runners()[&runner(number)].token.clone()
    }

    /// The plan, when the newest look began so many seconds ago, or there was none.
    pub(crate) fn plan(&self, looked_secs_ago: Option<u64>) -> Plan {
        let at = self.0.now();
        let ago = |secs: u64| At::from_micros(at.as_micros() - i64::try_from(secs).expect("it is small") * 1_000_000);
        let known = ScopeTick { last_look: looked_secs_ago.map(ago), allowance: 9 };
        schedule(self.state(), &Tick { at, scopes: BTreeMap::from([(small().scope, known)]), ..Tick::default() })
    }
}

pub(crate) fn claim(number: u64, claim: u32) -> ClaimMade {
    ClaimMade { runner: runner(number), claim: ClaimNumber(claim), controller: ME }
}

pub(crate) fn closed(number: u64, claim: u32, end: ClaimEnd) -> ClaimClosed {
    ClaimClosed { runner: runner(number), claim: ClaimNumber(claim), end }
}

pub(crate) fn stopping(number: u64, reason: StopReason) -> RunnerStopping {
    RunnerStopping { runner: runner(number), reason }
}

pub(crate) fn stopped(number: u64, reason: StopReason, certificate: Certificate) -> RunnerStopped {
    RunnerStopped { runner: runner(number), reason, certificate }
}

/// Workflows without needs, one for each list of dependencies.
pub(crate) fn specs(depends_on: &[&[u32]]) -> Vec<WorkflowSpec> {
    let spec = |(index, depends_on): (usize, &&[u32])| WorkflowSpec {
        depends_on: depends_on.to_vec(),
        ..samples::workflow(&format!("w{index}"), Needs::default())
    };
    depends_on.iter().enumerate().map(spec).collect()
}
