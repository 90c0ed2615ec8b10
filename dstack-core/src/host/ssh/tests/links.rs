//! Who a runner is, and what becomes of attempts when it restarts or its processes are killed.

use std::collections::BTreeMap;
use std::fs;

use super::jobs::{attempt, follow, script, start};
use super::sshd::{Servers, block_on, kill, processes_with};
use crate::host::ssh::SshKeys;
use crate::host::{Begun, HostError, Progress, RunnerHost, SshHost};
use crate::model::{Exit, Identity, Place};

#[test]
fn the_first_contact_learns_the_host_key_and_another_one_is_refused_from_then_on() {
    let Some(servers) = Servers::new("host keys") else { return };
    servers.make_key("other-key");
    let place = servers.start();
    let key = fs::read_to_string(servers.root.path().join("host-key.pub")).expect("it was made");
    let key: Vec<&str> = key.split_whitespace().take(2).collect();
    block_on(async {
        let host = servers.host();
        let identity = host.greet(&place).await.expect("it answers").identity.expect("a server has a key");
        assert_eq!(identity, Identity(key.join(" ")));
        let pinned = Place { identity: Some(identity.clone()), ..place.clone() };
        assert_eq!(host.greet(&pinned).await.expect("it is the same").identity, Some(identity));
        let job = script("printf a; sleep 600");
        assert_eq!(start(&*host, &pinned, attempt(1), &job).await, Ok(Begun::Started));
        let waiting = async { while host.wait(&pinned).await.is_ok() {} };
        let changing = async { servers.restart(&place, "other-key") };
        futures::future::join(waiting, changing).await;
        for host in [&host, &servers.host()] {
            let changed =
                |result: Result<(), HostError>| assert!(matches!(result, Err(HostError::Changed(_))), "{result:?}");
            changed(host.greet(&pinned).await.map(drop));
            changed(host.poll(&pinned, &[]).await.map(drop));
            changed(start(&**host, &pinned, attempt(2), &job).await.map(drop));
            changed(host.fetch(&pinned, attempt(1), "x").await.map(drop));
            changed(host.wait(&pinned).await);
        }
        servers.restart(&place, "host-key");
        assert_eq!(follow(&*host, &pinned, attempt(1), Some("a")).await.0, Progress::Running);
    });
}

#[test]
fn whom_this_machine_has_met_is_remembered_until_the_log_has_it_and_no_longer() {
    let Some(servers) = Servers::new("first contacts") else { return };
    servers.make_key("other-key");
    let place = servers.start();
    let noted = || fs::read_dir(servers.root.path().join("ssh/known")).expect("it is there").count();
    block_on(async {
        let host = servers.host();
        let identity = host.greet(&place).await.expect("it answers").identity;
        servers.restart(&place, "other-key");
        for host in [&host, &servers.host()] {
            let greeted = host.greet(&place).await;
            assert!(matches!(greeted, Err(HostError::Changed(_))), "{greeted:?}");
        }
        assert_eq!(noted(), 1);
        servers.restart(&place, "host-key");
        let pinned = Place { identity, ..place.clone() };
        host.poll(&pinned, &[]).await.expect("it is the same");
        assert_eq!(noted(), 0, "the log has it");
        servers.host().poll(&pinned, &[]).await.expect("it is the same");
        let scratch = fs::read_dir(servers.root.path().join("ssh/scratch")).expect("it is there").count();
        assert_eq!((noted(), scratch), (0, 0), "a connection leaves no file behind");
    });
}

#[test]
fn a_pin_that_is_no_key_reaches_no_file() {
    let Some(servers) = Servers::new("pins") else { return };
    let place = servers.start();
    block_on(async {
        for text in ["", "ssh-ed25519", "ssh-ed25519 AAAA\n* ssh-ed25519 BBBB", "@cert-authority * ssh-ed25519 AAAA"] {
            let pinned = Place { identity: Some(Identity(text.to_owned())), ..place.clone() };
            assert!(matches!(servers.host().greet(&pinned).await, Err(HostError::Refused(_))), "{text:?}");
        }
    });
}

#[test]
fn after_a_restart_of_the_machine_what_had_begun_is_lost_and_what_had_ended_is_known() {
    let Some(servers) = Servers::new("restarts") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        super::jobs::run(&*host, &place, 1, &script("printf kept; exit 5")).await;
        assert_eq!(start(&*host, &place, attempt(2), &script("printf a; sleep 600")).await, Ok(Begun::Started));
        follow(&*host, &place, attempt(2), Some("a")).await;
        let boot = servers.root.path().join(format!("{}.boot", place.machine.0));
        fs::write(boot, "another-boot\n").expect("it is there");
        let over = follow(&*host, &place, attempt(2), None).await;
        assert_eq!(over, (Progress::Lost, b"a".to_vec()));
        let over = follow(&*host, &place, attempt(1), None).await;
        assert_eq!(over, (Progress::Exited(Exit::exited(5)), b"kept".to_vec()));
        assert_eq!(start(&*host, &place, attempt(2), &script("exit 0")).await, Ok(Begun::Started), "never twice");
        assert_eq!(follow(&*host, &place, attempt(2), None).await.0, Progress::Lost);
    });
}

/// The numbers of an attempt's processes: who waits for its command, the command, and who follows it.
fn processes(servers: &Servers, place: &Place, number: u64) -> (i32, i32, i32) {
    let folder = servers.attempt_folder(place, attempt(number));
    let word = |name: &str, index: usize| {
        let text = fs::read_to_string(folder.join(name)).expect("it has begun");
        text.split_whitespace().nth(index).and_then(|word| word.parse().ok()).expect("it is a number")
    };
    (word("begun", 5), word("begun", 3), word("sup", 0))
}

#[test]
fn with_those_killed_that_follow_it_an_attempt_is_lost_and_its_processes_are_gone() {
    let Some(servers) = Servers::new("killed supervisors") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        for (number, is_waiter) in [(1, true), (2, false), (3, true)] {
            let mut job = script("sleep 600 & setsid sleep 601 & printf a; sleep 602");
            job.timeout = (number == 3).then(|| crate::model::Span::from_secs(3));
            assert_eq!(start(&*host, &place, attempt(number), &job).await, Ok(Begun::Started));
            follow(&*host, &place, attempt(number), Some("a")).await;
            let (waiter, _, follower) = processes(&servers, &place, number);
            kill(if is_waiter { waiter } else { follower });
            let (progress, output) = follow(&*host, &place, attempt(number), None).await;
            assert_eq!((progress, &output[..]), (Progress::Lost, &b"a"[..]), "attempt {number}");
            let mark = format!("{}/", servers.attempt_folder(&place, attempt(number)).display());
            assert_eq!(processes_with(&mark), Vec::<i32>::new(), "attempt {number}");
            assert_eq!(start(&*host, &place, attempt(number), &job).await, Ok(Begun::Started), "never twice");
        }
    });
}

#[test]
fn an_incomplete_lock_or_exit_record_is_taken_for_neither_free_nor_an_exit() {
    let Some(servers) = Servers::new("incomplete files") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        super::jobs::run(&*host, &place, 1, &script("exit 0")).await;
        let folder = servers.attempt_folder(&place, attempt(1));
        let exit = fs::read_to_string(folder.join("exit")).expect("it is over");
        let begun = fs::read_to_string(folder.join("begun")).expect("it is over");
        for length in [0, 1, exit.len() - 2, exit.len() - 4] {
            fs::write(folder.join("exit"), &exit[..length]).expect("it is there");
            assert_eq!(follow(&*host, &place, attempt(1), None).await.0, Progress::Lost, "{length} bytes");
        }
        for text in ["", "r", &begun[..begun.len() - 4]] {
            fs::write(folder.join("begun"), text).expect("it is there");
            assert_eq!(start(&*host, &place, attempt(1), &script("exit 0")).await, Ok(Begun::Started), "{text:?}");
            assert_eq!(follow(&*host, &place, attempt(1), None).await.0, Progress::Lost, "{text:?}");
        }
    });
}

#[test]
fn another_controller_follows_what_the_first_one_began() {
    let Some(servers) = Servers::new("two controllers") else { return };
    let place = servers.start();
    block_on(async {
        let first = servers.host();
        let job = script("printf a; while [ ! -e go ]; do sleep 0.05; done; printf b; exit 3");
        first.start(&place, attempt(1), &job, &BTreeMap::new()).await.expect("it answers");
        follow(&*first, &place, attempt(1), Some("a")).await;
        drop(first);
        let second = servers.host();
        fs::write(servers.attempt_folder(&place, attempt(1)).join("work/go"), "").expect("it is there");
        let over = follow(&*second, &place, attempt(1), None).await;
        assert_eq!(over, (Progress::Exited(Exit::exited(3)), b"ab".to_vec()));
    });
}

#[test]
fn of_many_controllers_that_start_an_attempt_at_once_one_does() {
    let Some(servers) = Servers::new("many controllers") else { return };
    let place = servers.start();
    block_on(async {
        let hosts: Vec<_> = (0..6).map(|_| servers.host()).collect();
        futures::future::join_all(hosts.iter().map(|host| host.greet(&place))).await;
        for number in 0..12 {
            let marks = servers.root.path().join(format!("marks-{number}"));
            let job = script(&format!("echo x >> {}", marks.display()));
            let starts = hosts.iter().map(|host| start(&**host, &place, attempt(number), &job));
            let begun = futures::future::join_all(starts).await;
            assert!(begun.iter().all(|begun| *begun == Ok(Begun::Started)), "{begun:?}");
            assert_eq!(follow(&*hosts[0], &place, attempt(number), None).await.0, Progress::Exited(Exit::exited(0)));
            assert_eq!(fs::read_to_string(&marks).expect("it ran"), "x\n", "attempt {number}");
        }
    });
}

#[test]
fn a_home_with_a_long_path_of_odd_characters_is_as_good_as_any() {
    let Some(servers) = Servers::new("odd homes") else { return };
    let place = servers.start();
    let keys = servers.keys();
    let folder = servers.root.path().join(format!("a b%h${{HOME}}'\"~ {}", "long ".repeat(30)));
    let odd = SshKeys::open(&folder).expect("any name will do");
    for name in ["key", "key.pub"] {
        fs::copy(keys.folder().join(name), odd.folder().join(name)).expect("both are ours");
    }
    block_on(async {
        let host = SshHost::new(SshKeys::open(&folder).expect("it is there"));
        host.greet(&place).await.expect("it answers");
        let (progress, output) = super::jobs::run(&host, &place, 1, &script("printf a")).await;
        assert_eq!((progress, output.as_str()), (Progress::Exited(Exit::exited(0)), "a"));
    });
    assert_eq!(fs::read_dir(folder.join("known")).expect("it is there").count(), 1);
}
