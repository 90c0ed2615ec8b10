//! What it costs. Run with
//! `cargo test -p dstack-core --features testkit --lib host::ssh::tests::measure -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::jobs::{attempt, script};
use super::sshd::{Servers, block_on};
use crate::host::test_archive::pack;
use crate::host::{Contents, Progress, RunnerHost};
use crate::model::Place;

const JOBS: u64 = 200;

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

fn tell(what: &str, took: Duration, per: u64) {
    let each = took.as_secs_f64() * 1000.0 / per as f64;
    let _ = writeln!(std::io::stderr(), "{what}: {each:.2} ms each, {took:?} for {per}");
}

fn ssh_true(servers: &Servers, place: &Place, options: &[&str]) {
    let keys = servers.keys();
    let status = Command::new("ssh")
        .current_dir(keys.folder())
        .args([
            "-F",
            "none",
            "-T",
            "-n",
            "-i",
            "key",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"])
        .args(options)
        .args(["-p", &servers.port(place).to_string(), "127.0.0.1", "true"])
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("it is installed").success());
}

async fn to_the_end(host: &dyn RunnerHost, place: &Place, number: u64) -> u64 {
    let mut offset = 0;
    loop {
        let polled = host.poll(place, &[(attempt(number), offset)]).await.expect("it answers").remove(0);
        offset += polled.output.len() as u64;
        match polled.progress {
            Progress::Exited(_) if !polled.has_more => return offset,
            _ if polled.has_more => {}
            _ => host.wait(place).await.expect("it answers"),
        }
    }
}

#[test]
#[ignore = "it measures, and judges nothing"]
fn what_a_job_and_a_byte_cost() {
    let Some(servers) = Servers::new("measurements") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        let begin = now();
        host.greet(&place).await.expect("it answers");
        tell("first contact", begin.elapsed(), 1);
        let begin = now();
        host.wait(&place).await.expect("it answers");
        tell("channel for news", begin.elapsed(), 1);

        let none = BTreeMap::new();
        let begin = now();
        for number in 0..JOBS {
            host.start(&place, attempt(number), &script("exit 0"), &none).await.expect("it answers");
            to_the_end(&*host, &place, number).await;
        }
        tell("a job that does nothing, one after the other", begin.elapsed(), JOBS);
        let begin = now();
        for number in JOBS..2 * JOBS {
            host.start(&place, attempt(number), &script("exit 0"), &none).await.expect("it answers");
        }
        for number in JOBS..2 * JOBS {
            to_the_end(&*host, &place, number).await;
        }
        tell("a job that does nothing, many at once", begin.elapsed(), JOBS);
        let begin = now();
        for _ in 0..JOBS {
            host.poll(&place, &[(attempt(0), 0)]).await.expect("it answers");
        }
        tell("a poll", begin.elapsed(), JOBS);
        for (options, what) in
            [(&[][..], "plain ssh host true"), (&["-o", "ControlPath=sockets/m"][..], "over a master")]
        {
            if !options.is_empty() {
                ssh_true(
                    &servers,
                    &place,
                    &["-o", "ControlPath=sockets/m", "-o", "ControlMaster=auto", "-o", "ControlPersist=20"],
                );
            }
            let begin = now();
            for _ in 0..20 {
                ssh_true(&servers, &place, options);
            }
            tell(what, begin.elapsed(), 20);
        }

        let begin = now();
        let job = script("head -c 104857600 /dev/urandom");
        host.start(&place, attempt(9001), &job, &none).await.expect("it answers");
        let bytes = to_the_end(&*host, &place, 9001).await;
        tell("a MiB of output that cannot be compressed", begin.elapsed(), bytes >> 20);
        let begin = now();
        host.start(&place, attempt(9002), &script("yes | head -c 104857600"), &none).await.expect("it answers");
        let bytes = to_the_end(&*host, &place, 9002).await;
        tell("a MiB of output that can", begin.elapsed(), bytes >> 20);

        let mut content = Vec::with_capacity(100 << 20);
        let mut word = 1_u64;
        while content.len() < 100 << 20 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            content.extend_from_slice(&(word >> 16).to_le_bytes());
        }
        let contents = Contents { archives: vec![pack(&BTreeMap::from([("f".to_owned(), content)]))] };
        let begin = now();
        host.stage(&place, attempt(9003), &contents).await.expect("it answers");
        tell("a MiB staged", begin.elapsed(), 100);
        let begin = now();
        host.fetch(&place, attempt(9003), "f").await.expect("it answers");
        tell("a MiB fetched", begin.elapsed(), 100);
    });
}
