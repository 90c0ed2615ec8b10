//! The link is cut at any moment, `ssh` is killed, the controller goes and another comes: nothing is lost or done twice.

use std::fs;
use std::sync::Arc;

use super::jobs::{attempt, script};
use super::proxy::Proxy;
use super::sshd::{Servers, block_on, kill};
use crate::host::{Begun, HostError, Progress, RunnerHost, SshHost};
use crate::model::{Address, Exit, Place};

/// How many cuts there are, unless `DSTACK_CUTS` says otherwise.
const CUTS: u64 = 20;
/// In each attempt.
const CUTS_EACH: u64 = 4;

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn kill_ssh(port: u16) {
    let entries = fs::read_dir("/proc").expect("every system has it").flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if words.first() == Some(&&b"ssh"[..]) && words.contains(&port.to_string().as_bytes()) {
            kill(pid);
        }
    }
}

async fn again<T>(mut call: impl AsyncFnMut() -> Result<T, HostError>) -> T {
    loop {
        match call().await {
            Ok(value) => return value,
            Err(HostError::Unreachable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

struct Trial {
    servers: Arc<Servers>,
    proxy: Proxy,
    place: Place,
    host: Arc<SshHost>,
    dice: Dice,
    done: u64,
    cuts_owed: u64,
}

impl Trial {
    /// The next misfortune: of the wire, of `ssh`, or of the controller.
    fn strike(&mut self) {
        match self.done % 4 {
            // A connection takes some 8 KB; what follows is requests and output.
            0 | 1 => self.proxy.cut_after(self.dice.below(40_000)),
            2 => kill_ssh(self.proxy.port),
            _ => self.host = self.servers.host(),
        }
        self.cuts_owed += u64::from(self.done % 4 < 2);
        self.done += 1;
    }

    /// Whether the last one has come to pass.
    fn is_struck(&self) -> bool {
        self.proxy.cuts() == self.cuts_owed
    }

    async fn one_attempt(&mut self, number: u64, strikes: u64) {
        let marks = self.servers.root.path().join(format!("marks-{number}"));
        let line = "0123456789abcdefghijklmnopqrstuvwxyz";
        let job = script(&format!(
            "echo started >> {}\ni=0\nwhile [ $i -lt 40 ]; do j=0; while [ $j -lt 25 ]; do echo \"$i $j {line}\"; \
             j=$((j+1)); done; sleep 0.02; i=$((i+1)); done\nexit {}",
            marks.display(),
            number % 200 + 1,
        ));
        let expected: String = (0..40).flat_map(|i| (0..25).map(move |j| format!("{i} {j} {line}\n"))).collect();
        let until = self.done + strikes;
        self.strike();
        let (place, id) = (self.place.clone(), attempt(number));
        let host = Arc::clone(&self.host);
        let begun = again(async || host.start(&place, id, &job, &Default::default()).await).await;
        assert_eq!(begun, Begun::Started);
        let mut output = Vec::new();
        let progress = loop {
            if self.done < until && self.is_struck() {
                self.strike();
            }
            let host = Arc::clone(&self.host);
            let offset = output.len() as u64;
            let polled = again(async || host.poll(&place, &[(id, offset)]).await).await.remove(0);
            output.extend_from_slice(&polled.output);
            match polled.progress {
                Progress::Staged => panic!("it was begun"),
                Progress::Running => {}
                _ if polled.has_more => {}
                over => break over,
            }
            if !polled.has_more {
                // Whether a wait hears of a cut or of news, a poll follows.
                let _ = host.wait(&place).await;
            }
            let host = Arc::clone(&self.host);
            let begun = again(async || host.start(&place, id, &job, &Default::default()).await).await;
            assert_eq!(begun, Begun::Started);
        };
        while self.done < until || !self.is_struck() {
            if self.is_struck() {
                self.strike();
            }
            let host = Arc::clone(&self.host);
            again(async || host.poll(&place, &[(id, 0)]).await).await;
        }
        assert_eq!(progress, Progress::Exited(Exit::exited(u8::try_from(number % 200 + 1).expect("it is small"))));
        assert!(output == expected.as_bytes(), "attempt {number}: {} of {} bytes", output.len(), expected.len());
        assert_eq!(fs::read_to_string(&marks).expect("it ran"), "started\n", "attempt {number}");
    }
}

#[test]
fn however_often_the_link_is_cut_no_attempt_starts_twice_and_no_byte_or_exit_is_lost() {
    let Some(servers) = Servers::new("cuts of the link") else { return };
    let cuts = std::env::var("DSTACK_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(CUTS);
    let place = servers.start();
    block_on(async {
        let proxy = Proxy::new(servers.port(&place)).await;
        let place = Place { address: servers.address(proxy.port), ..place };
        let host = servers.host();
        let mut trial = Trial { servers, proxy, place, host, dice: Dice(7), done: 0, cuts_owed: 0 };
        let mut number = 1;
        while trial.done < cuts {
            let strikes = CUTS_EACH.min(cuts - trial.done);
            trial.one_attempt(number, strikes).await;
            number += 1;
        }
        assert_eq!(trial.done, cuts);
    });
}

#[test]
fn a_wire_that_goes_silent_is_noticed_and_the_job_goes_on() {
    let Some(servers) = Servers::new("a silent wire") else { return };
    let place = servers.start();
    block_on(async {
        let proxy = Proxy::new(servers.port(&place)).await;
        let place = Place { address: servers.address(proxy.port), ..place };
        let host = servers.host();
        let job = script("printf a; while [ ! -e go ]; do sleep 0.05; done; printf b; exit 9");
        assert_eq!(host.start(&place, attempt(1), &job, &Default::default()).await, Ok(Begun::Started));
        super::jobs::follow(&*host, &place, attempt(1), Some("a")).await;
        proxy.go_silent();
        let asked = host.poll(&place, &[(attempt(1), 1)]).await;
        assert!(matches!(asked, Err(HostError::Unreachable(_))), "{asked:?}");
        fs::write(servers.attempt_folder(&place, attempt(1)).join("work/go"), "").expect("it is there");
        proxy.recover();
        let over = super::jobs::follow(&*host, &place, attempt(1), None).await;
        assert_eq!(over, (Progress::Exited(Exit::exited(9)), b"ab".to_vec()));
    });
}

#[test]
fn a_runner_that_is_not_there_is_unreachable_until_it_is() {
    let Some(servers) = Servers::new("a runner that is not there") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        let nobody = Place { address: servers.address(super::sshd::free_port()), ..place.clone() };
        assert!(matches!(host.greet(&nobody).await, Err(HostError::Unreachable(_))));
        assert!(matches!(host.wait(&nobody).await, Err(HostError::Unreachable(_))));
        let nonsense = Place { address: Address("-oProxyCommand=id".to_owned()), ..place.clone() };
        assert!(matches!(host.greet(&nonsense).await, Err(HostError::Refused(_))));
        host.greet(&place).await.expect("this one is there");
        servers.restart(&place, "host-key");
        host.poll(&place, &[]).await.expect("it is there again");
    });
}
