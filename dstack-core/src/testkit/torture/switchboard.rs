//! Where calls of all processes wait until they may go on.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;

use crate::clock::{Boot, Clock, VirtualClock};
use crate::cloud::{Draw, Gate, GatePoint};

/// A call that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parked {
    /// Its number, in order of arrival.
    pub(super) number: u64,
    /// Which actor makes it.
    pub(super) actor: usize,
    /// Where it is.
    pub(super) point: GatePoint,
    /// Since when.
    pub(super) since: Boot,
}

struct Waiting {
    parked: Parked,
    is_open: bool,
    waker: Option<Waker>,
}

struct Board {
    current: usize,
    arrivals: u64,
    waiting: BTreeMap<u64, Waiting>,
    draw: Draw,
    quick: u16,
    /// The next call of this actor panics.
    panics: Option<usize>,
}

/// The gate of all fakes of a schedule.
pub(super) struct Switchboard {
    clock: Arc<VirtualClock>,
    board: Mutex<Board>,
}

/// What a task panics with when it is made to.
pub(super) struct Planned;

impl Switchboard {
    /// `quick` per mille of the calls go straight through.
    pub(super) fn new(clock: Arc<VirtualClock>, seed: u64, quick: u16) -> Self {
        let board =
            Board { current: 0, arrivals: 0, waiting: BTreeMap::new(), draw: Draw::new(seed), quick, panics: None };
        Self { clock, board: Mutex::new(board) }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whose calls arrive from now on.
    pub(super) fn enter(&self, actor: usize) {
        self.lock().current = actor;
    }

    /// The next call of this actor panics where it arrives.
    pub(super) fn panic_next(&self, actor: usize) {
        self.lock().panics = Some(actor);
    }

    /// No call is made to panic any more.
    pub(super) fn calm(&self) {
        self.lock().panics = None;
    }

    /// The calls that wait, of actors that this lets through, in order of arrival.
    pub(super) fn parked(&self, is_wanted: impl Fn(&Parked) -> bool) -> Vec<u64> {
        let board = self.lock();
        let waiting = board.waiting.iter().filter(|(_, waiting)| !waiting.is_open && is_wanted(&waiting.parked));
        waiting.map(|(number, _)| *number).collect()
    }

    /// One of the calls that wait.
    pub(super) fn get(&self, number: u64) -> Option<Parked> {
        self.lock().waiting.get(&number).map(|waiting| waiting.parked.clone())
    }

    /// Lets this call go on.
    pub(super) fn open(&self, number: u64) {
        let waker = self.lock().waiting.get_mut(&number).and_then(|waiting| {
            waiting.is_open = true;
            waiting.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn arrive(&self, point: GatePoint) -> Option<u64> {
        let mut board = self.lock();
        let actor = board.current;
        if board.panics == Some(actor) {
            board.panics = None;
            drop(board);
            std::panic::resume_unwind(Box::new(Planned));
        }
        let quick = board.quick;
        // A launch never goes straight through: when it takes effect is looked at.
        if point.call != "launch" && board.draw.chance(quick) {
            return None;
        }
        board.arrivals += 1;
        let number = board.arrivals;
        let parked = Parked { number, actor, point, since: self.clock.boot() };
        board.waiting.insert(number, Waiting { parked, is_open: false, waker: None });
        Some(number)
    }
}

/// Takes its call out of those that wait when it is dropped.
struct Ticket<'a> {
    board: &'a Switchboard,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.board.lock().waiting.remove(&self.number);
    }
}

#[async_trait]
impl Gate for Switchboard {
    async fn pass(&self, point: GatePoint) {
        let Some(number) = self.arrive(point) else { return };
        let ticket = Ticket { board: self, number };
        poll_fn(|context| {
            let mut board = self.lock();
            match board.waiting.get_mut(&ticket.number) {
                Some(waiting) if !waiting.is_open => {
                    waiting.waker = Some(context.waker().clone());
                    Poll::Pending
                }
                Some(_) | None => Poll::Ready(()),
            }
        })
        .await;
    }
}
