//! A wire that can be cut, or go silent, between a host and its runner.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Forwards connections to a server's port.
pub(super) struct Proxy {
    pub(super) port: u16,
    wire: Arc<Wire>,
}

struct Wire {
    /// Bytes, of both directions together, that still pass before the next cut.
    budget: AtomicU64,
    cuts: AtomicU64,
    is_silent: AtomicBool,
    cut: Notify,
}

impl Proxy {
    pub(super) async fn new(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let wire = Arc::new(Wire {
            budget: AtomicU64::new(u64::MAX),
            cuts: AtomicU64::new(0),
            is_silent: AtomicBool::new(false),
            cut: Notify::new(),
        });
        let shared = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, server, Arc::clone(&shared)));
            }
        });
        Self { port, wire }
    }

    /// Cuts all connections once so many more bytes have passed.
    pub(super) fn cut_after(&self, bytes: u64) {
        self.wire.budget.store(bytes, Ordering::SeqCst);
    }

    pub(super) fn cuts(&self) -> u64 {
        self.wire.cuts.load(Ordering::SeqCst)
    }

    /// From here on nothing passes any more, and nobody is told.
    pub(super) fn go_silent(&self) {
        self.wire.is_silent.store(true, Ordering::SeqCst);
    }

    pub(super) fn recover(&self) {
        self.wire.is_silent.store(false, Ordering::SeqCst);
        self.wire.cut.notify_waiters();
    }
}

async fn carry(mut near: TcpStream, server: u16, wire: Arc<Wire>) {
    let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        let passed = tokio::select! {
            () = wire.cut.notified() => return,
            read = near.read(&mut up) => pass(read, &up, &mut far, &wire).await,
            read = far.read(&mut down) => pass(read, &down, &mut near, &wire).await,
        };
        if !passed {
            return;
        }
    }
}

async fn pass(read: std::io::Result<usize>, bytes: &[u8], to: &mut TcpStream, wire: &Wire) -> bool {
    let Ok(count @ 1..) = read else { return false };
    if wire.is_silent.load(Ordering::SeqCst) {
        return true;
    }
    let budget = wire.budget.load(Ordering::SeqCst);
    let passing = usize::try_from(budget).unwrap_or(usize::MAX).min(count);
    if budget != u64::MAX {
        wire.budget.store(budget - passing as u64, Ordering::SeqCst);
    }
    let written = to.write_all(&bytes[..passing]).await.is_ok();
    if passing < count {
        wire.budget.store(u64::MAX, Ordering::SeqCst);
        wire.cuts.fetch_add(1, Ordering::SeqCst);
        wire.cut.notify_waiters();
        return false;
    }
    written
}
