//! Spare desks: a fixed pool of named machines that are lent and given back. Loans are kept in memory; a real provider
//! would ask whoever owns the machines.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use dstack_core::cloud::{
    Absence, CloudError, CloudProvider, Known, LaunchError, Look, Machine, MachineState, Notice, Seen,
};
use dstack_core::model::{
    Address, Bytes, LaunchRequest, LaunchTiming, LogId, MachineId, MicroUsd, MilliCpu, Offering, Purchase, Scope, Span,
    Token,
};

/// A desk that was lent for a launch. It is remembered for ever: its token never gets a second one.
struct Loan {
    request: LaunchRequest,
    desk: &'static str,
    machine: MachineId,
    is_over: bool,
}

/// Spare desks of one office. A machine is one loan of a desk, so that what has ended never lives again.
#[derive(Default)]
pub(crate) struct Desks {
    /// By token; nothing where a look has said for ever that there is no machine.
    loans: Mutex<BTreeMap<Token, Option<Loan>>>,
}

/// The desks of the office.
const NAMES: [&str; 8] = ["ada", "edsger", "grace", "john", "kathleen", "leslie", "margaret", "tony"];
/// The one region and zone.
pub(crate) const OFFICE: &str = "berlin";

fn office() -> Scope {
    Scope { provider: "desks".into(), account: "us".into(), region: OFFICE.into() }
}

fn check(scope: &Scope) -> Result<(), CloudError> {
    (*scope == office()).then_some(()).ok_or_else(|| CloudError::Invalid(format!("{scope} has no desks")))
}

#[async_trait]
impl CloudProvider for Desks {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        let scope = Scope { region: region.to_owned(), ..office() };
        check(&scope).map(|()| scope)
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        Ok(vec![Offering {
            scope: self.scope(region).await?,
            instance_type: "desk".into(),
            purchase: Purchase::OnDemand,
            cpu: MilliCpu(8_000),
            memory: Bytes::from_gib(32),
            disk: Bytes::from_gib(200),
            gpus: None,
            arch: "x86_64".into(),
            zones: vec![OFFICE.into()],
            price: Some(MicroUsd(0)),
            image: "as-it-stands".into(),
            details: BTreeMap::new(),
            quota: None,
            pooled: false,
            // What is in memory is never late: one look proves absence at once.
            timing: LaunchTiming { settle: Span::ZERO, looks_apart: Span::ZERO, ..LaunchTiming::CLOUD },
        }])
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        check(&request.scope).map_err(|error| LaunchError::Invalid(error.to_string()))?;
        let mut loans = self.loans.lock().expect("no call panics while it holds them");
        let loan = match loans.get(&request.token()) {
            Some(Some(loan)) if loan.request != *request => return Err(LaunchError::Mismatch(loan.desk.into())),
            Some(Some(loan)) if !loan.is_over => (loan.machine.clone(), loan.desk),
            Some(_) => return Err(LaunchError::Ended),
            None => {
                let is_lent = |desk: &str| loans.values().flatten().any(|loan| !loan.is_over && loan.desk == desk);
                let desk = NAMES.into_iter().find(|desk| !is_lent(desk));
                let none = || LaunchError::Capacity { why: "all are taken".into(), all_zones: true, permanent: false };
                let desk = desk.ok_or_else(none)?;
                let machine = MachineId(format!("{desk}-{}", loans.len()));
                let loan = Loan { request: request.clone(), desk, machine: machine.clone(), is_over: false };
                loans.insert(request.token(), Some(loan));
                (machine, desk)
            }
        };
        Ok(Machine { id: loan.0, address: Some(Address(loan.1.into())), purchase: Purchase::OnDemand })
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        check(scope)?;
        let mut loans = self.loans.lock().expect("no call panics while it holds them");
        let mut look = Look::default();
        for known in known {
            if known.is_final {
                // A launch that is still on its way comes too late.
                loans.entry(known.token.clone()).or_insert(None);
            }
            if !matches!(loans.get(&known.token), Some(Some(_))) {
                look.absent.push(Absence(known.token.clone()));
            }
        }
        let ours = loans.iter().filter_map(|(token, loan)| Some((token, loan.as_ref()?)));
        look.machines.extend(ours.filter(|(_, loan)| loan.request.log == log).map(|(token, loan)| Seen {
            id: loan.machine.clone(),
            token: Some(token.clone()),
            state: if loan.is_over { MachineState::Terminated } else { MachineState::Running },
            address: Some(Address(loan.desk.into())),
            reason: None,
            is_taken_back: false,
        }));
        Ok(look)
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        let mut loans = self.loans.lock().expect("no call panics while it holds them");
        let mut end = |machine: &MachineId| {
            check(scope)?;
            let loan =
                loans.values_mut().flatten().find(|loan| loan.machine == *machine).ok_or(CloudError::NotFound)?;
            loan.is_over = true;
            Ok(())
        };
        machines.iter().map(&mut end).collect()
    }

    async fn notice(&self) -> Notice {
        std::future::pending().await // Nobody takes a desk back.
    }
}
