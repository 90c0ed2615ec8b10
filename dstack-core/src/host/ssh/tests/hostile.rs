//! Any bytes arrive as they are, secrets stay where they belong, and jobs that do their worst are still told of rightly.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use super::jobs::{argv, attempt, follow, run, script, start};
use super::sshd::{Servers, block_on, processes_with};
use crate::archive;
use crate::host::test_archive::{pack, unpack};
use crate::host::{Begun, Contents, HostError, Progress, RunnerHost};
use crate::model::{Exit, ExitCause};
use crate::secret::Secret;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn any_text_as_argument_variable_secret_or_path_arrives_byte_for_byte_and_makes_no_other_file() {
    let Some(servers) = Servers::new("any text") else { return };
    let place = servers.start();
    let any = "([^\\x00]|['\"$`\\\\;&|<>*?~!#(){}\n\r\t =-]){0,24}";
    let path = "[^\\x00/]{1,24}";
    let name = "[A-Za-z_][A-Za-z0-9_.:-]{0,8}|IFS|PPID|UID|LINENO|name|value|line|dir|found|setsid|e1|PATH_";
    let strategy = (prop::collection::vec(any, 0..4), name, any, any, path, any);
    let mut number = 0;
    block_on(async {
        let host = servers.host();
        host.greet(&place).await.expect("it answers");
        let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
        let mut cases = TestRunner::new_with_rng(
            config,
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        for _ in 0..32 {
            number += 1;
            let (args, name, value, secret, path, content) =
                strategy.new_tree(&mut cases).expect("it makes one").current();
            if [".", ".."].contains(&path.as_str()) {
                continue;
            }
            let words = ["sh", "-c", "printf '%s|' \"$@\"; printf '%s|' \"$TOKEN\"; exec env -0", "sh"];
            let mut job = argv(&words);
            if let crate::model::Program::Argv(words) = &mut job.program {
                words.extend(args.iter().cloned());
            }
            job.env.insert(name.clone(), value.clone());
            let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new(secret.clone()))]);
            let files = BTreeMap::from([(path.clone(), content.clone().into_bytes())]);
            host.stage(&place, attempt(number), &Contents { archives: vec![pack(&files)] }).await.expect("it is good");
            let begun = host.start(&place, attempt(number), &job, &secrets).await;
            assert_eq!(begun, Ok(Begun::Started), "{job:?}");
            let (progress, output) = follow(&*host, &place, attempt(number), None).await;
            assert_eq!(progress, Progress::Exited(Exit::exited(0)), "{job:?} {}", String::from_utf8_lossy(&output));
            let args =
                if args.is_empty() { "|".to_owned() } else { args.iter().map(|arg| format!("{arg}|")).collect() };
            let expected = format!("{args}{secret}|");
            assert!(
                output.starts_with(expected.as_bytes()),
                "{:?} and not {expected:?}",
                String::from_utf8_lossy(&output)
            );
            if !["IFS", "PPID", "UID", "LINENO"].contains(&name.as_str()) {
                let variable = format!("{name}={value}\0").into_bytes();
                let rest = &output[expected.len()..];
                let is_there = rest.starts_with(&variable)
                    || rest.windows(variable.len() + 1).any(|window| window[0] == 0 && window[1..] == variable);
                // A shell in between may drop what it cannot name; ours is not the last one here.
                assert!(is_there || name.contains(['.', ':', '-']), "{name:?}: {}", String::from_utf8_lossy(rest));
            }
            let fetched = host.fetch(&place, attempt(number), &path).await.expect("it answers").archive;
            assert_eq!(unpack(&fetched.expect("it is there")), files);
            assert_eq!(names(&servers.attempt_folder(&place, attempt(number)).join("work")), [path]);
            host.release(&place, attempt(number)).await.expect("it answers");
        }
    });
    assert_eq!(names(&servers.home(&place)), [".dstack"]);
}

#[test]
fn a_zero_byte_is_refused_and_no_part_of_its_job_begins() {
    let Some(servers) = Servers::new("zero bytes") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        let refused = start(&*host, &place, attempt(1), &script("printf 'a\0b'")).await;
        assert!(matches!(refused, Err(HostError::Refused(_))), "{refused:?}");
        let polled = host.poll(&place, &[(attempt(1), 0)]).await.expect("it answers");
        assert_eq!(polled[0].progress, Progress::Staged);
    });
}

fn files_with(folder: &Path, canary: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_with(&path, canary, found);
        } else if path.is_file()
            && fs::read(&path).unwrap_or_default().windows(canary.len()).any(|w| w == canary.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
}

fn command_lines_with(canary: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("every system has it").flatten();
    let lines = entries.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
    lines
        .filter(|line| line.windows(canary.len()).any(|window| window == canary.as_bytes()))
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}

#[test]
fn a_secret_is_in_no_file_and_no_command_line() {
    let Some(servers) = Servers::new("secrets") else { return };
    let place = servers.start();
    // Put together here, so that this program's own text does not hold it.
    let canary = ["canary", "7f3a", "value"].join("-");
    let private = fs::read_to_string(servers.keys().folder().join("key")).expect("it is ours");
    let private = private.lines().nth(2).expect("a key has some lines").to_owned();
    block_on(async {
        let host = servers.host();
        let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new(canary.clone()))]);
        let job = script("printf '%s' \"${#TOKEN}\"; while [ ! -e go ]; do sleep 0.05; done; no-such-command");
        host.start(&place, attempt(1), &job, &secrets).await.expect("it answers");
        follow(&*host, &place, attempt(1), Some("17")).await;
        for is_over in [false, true] {
            assert_eq!(command_lines_with(&canary), Vec::<String>::new());
            assert_eq!(command_lines_with(&private), Vec::<String>::new());
            let mut found = Vec::new();
            files_with(servers.root.path(), &canary, &mut found);
            files_with(&servers.home(&place), &private, &mut found);
            assert_eq!(found, Vec::<String>::new());
            if !is_over {
                fs::write(servers.attempt_folder(&place, attempt(1)).join("work/go"), "").expect("it is there");
                let (progress, _) = follow(&*host, &place, attempt(1), None).await;
                assert_eq!(progress, Progress::Exited(Exit::exited(127)));
                // Its shells here and there forget it, too.
                assert_eq!(processes_with(&canary), Vec::<i32>::new());
            }
        }
        assert!(!format!("{host:?}").contains(&private));
    });
}

#[test]
fn a_job_that_takes_our_files_away_is_not_started_twice_and_its_exit_is_known() {
    let Some(servers) = Servers::new("a job that deletes") else { return };
    let place = servers.start();
    block_on(async {
        let (host, other) = (servers.host(), servers.host());
        let marks = servers.root.path().join("marks");
        let job = script(&format!(
            "echo x >> {}; rm -rf \"$HOME/.dstack/runner/attempts\"; while [ ! -e {}/go ]; do sleep 0.05; done; exit 6",
            marks.display(),
            servers.root.path().display(),
        ));
        assert_eq!(start(&*host, &place, attempt(1), &job).await, Ok(Begun::Started));
        while servers.attempt_folder(&place, attempt(1)).exists() {
            tokio::task::yield_now().await;
        }
        for host in [&host, &other] {
            let polled = host.poll(&place, &[(attempt(1), 0)]).await.expect("it answers");
            assert_eq!(polled[0].progress, Progress::Running);
            assert_eq!(host.start(&place, attempt(1), &job, &BTreeMap::new()).await, Ok(Begun::Started));
        }
        fs::write(servers.root.path().join("go"), "").expect("it is ours");
        assert_eq!(follow(&*host, &place, attempt(1), None).await.0, Progress::Exited(Exit::exited(6)));
        assert_eq!(follow(&*other, &place, attempt(1), None).await.0, Progress::Exited(Exit::exited(6)));
        assert_eq!(fs::read_to_string(marks).expect("it ran"), "x\n");
    });
}

#[test]
fn what_a_job_leaves_behind_in_its_group_ends_with_it_and_what_escaped_ends_when_it_is_given_up() {
    let Some(servers) = Servers::new("leftovers") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        let mark =
            |number| format!("DSTACK_ATTEMPT_FOLDER={}/", servers.attempt_folder(&place, attempt(number)).display());
        assert_eq!(run(&*host, &place, 1, &script("sleep 600 & exit 0")).await.0, Progress::Exited(Exit::exited(0)));
        assert_eq!(processes_with(&mark(1)), Vec::<i32>::new());
        let job = script("trap '' TERM; (setsid setsid sleep 600 &); sleep 601 & printf a; sleep 602");
        assert_eq!(start(&*host, &place, attempt(2), &job).await, Ok(Begun::Started));
        follow(&*host, &place, attempt(2), Some("a")).await;
        host.close(&place, attempt(2), crate::host::Closing::Lost).await.expect("it answers");
        assert_eq!(follow(&*host, &place, attempt(2), None).await.0, Progress::Lost);
        assert_eq!(processes_with(&mark(2)), Vec::<i32>::new());
    });
}

#[test]
fn jobs_that_are_odd_are_told_of_as_they_are() {
    let Some(servers) = Servers::new("odd jobs") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        let not_started = |code| Progress::Exited(Exit { code, cause: ExitCause::NotStarted });
        let over = run(&*host, &place, 1, &argv(&["no-such-tool", "--train"])).await;
        assert_eq!(over, (not_started(127), "dstack: no-such-tool: not found\n".to_owned()));
        assert_eq!(run(&*host, &place, 2, &argv(&["/etc/passwd"])).await.0, not_started(126));
        let mut job = script("exit 0");
        for (number, folder) in [(3, "missing"), (4, "../.."), (5, "/tmp")] {
            job.working_dir = Some(folder.to_owned());
            assert_eq!(run(&*host, &place, number, &job).await.0, not_started(126), "{folder}");
        }
        // It cuts its own output short.
        let job = script("printf 'some text\\n'; echo short > /dev/stdout; printf b");
        assert_eq!(run(&*host, &place, 6, &job).await, (Progress::Exited(Exit::exited(0)), "short\nb".to_owned()));
        // Interrupts are not ignored, as they would be by a shell's background.
        let job = script("sh -c 'kill -INT $$; sleep 1; echo ignored' || echo $?");
        assert_eq!(run(&*host, &place, 7, &job).await.1, "130\n");
        let job = script(
            "env | grep -v '^\\(HOME\\|PATH\\|USER\\|LOGNAME\\|SHELL\\|LANG\\|LC_[A-Z]*\\|TZ\\|PWD\\|SHLVL\\|OLDPWD\\|_\\|DSTACK_ATTEMPT_FOLDER\\)=' || true",
        );
        assert_eq!(
            run(&*host, &place, 8, &job).await.1,
            "",
            "nothing of ours or of the connection is in its environment"
        );
        assert_eq!(
            run(&*host, &place, 9, &script("umask; ulimit -c >/dev/null; ls -l /proc/self/fd | wc -l")).await.0,
            Progress::Exited(Exit::exited(0))
        );
    });
}

#[test]
fn links_and_odd_files_in_an_artifact_come_as_the_laws_of_archives_say() {
    let Some(servers) = Servers::new("odd artifacts") else { return };
    let place = servers.start();
    block_on(async {
        let host = servers.host();
        let job = script(
            "mkdir -p out/deep; echo 1 > out/f; ln out/f out/hard; ln -s f out/soft; ln -s \"$PWD/out/f\" out/absolute; \
             ln -s /etc/passwd out/away; ln -s nowhere out/dangling; mkfifo out/pipe; chmod 755 out/f; \
             ln -s out as; ln -s /etc away; printf x > -rf",
        );
        assert_eq!(run(&*host, &place, 1, &job).await.0, Progress::Exited(Exit::exited(0)));
        let fetched = host.fetch(&place, attempt(1), "out").await.expect("it answers");
        assert_eq!(fetched.left_behind, ["out/away", "out/dangling", "out/pipe"]);
        let archive = fetched.archive.expect("it is there");
        let entries = archive::list(archive.reader().expect("it is there")).expect("it was just packed");
        let kinds: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), &entry.kind)).collect();
        let link = archive::EntryKind::Link("f".to_owned());
        let file = archive::EntryKind::File { executable: true };
        let folder = archive::EntryKind::Folder;
        let expected = [
            ("out", &folder),
            ("out/absolute", &link),
            ("out/deep", &folder),
            ("out/f", &file),
            ("out/hard", &file),
            ("out/soft", &link),
        ];
        assert_eq!(kinds, expected);
        let through = host.fetch(&place, attempt(1), "as/f").await.expect("it answers").archive.expect("it is there");
        assert_eq!(unpack(&through), BTreeMap::from([("as/f".to_owned(), b"1\n".to_vec())]));
        let away = host.fetch(&place, attempt(1), "away/passwd").await.expect("it answers");
        assert!(away.archive.is_none());
        assert_eq!(away.left_behind, ["away/passwd"]);
        let dashed = host.fetch(&place, attempt(1), "-rf").await.expect("it answers").archive.expect("it is there");
        assert_eq!(unpack(&dashed), BTreeMap::from([("-rf".to_owned(), b"x".to_vec())]));
        for path in ["../begun", "/etc/passwd", "", "out/../.."] {
            let fetched = host.fetch(&place, attempt(1), path).await.expect("it is an answer");
            assert!(fetched.archive.is_none() && fetched.unreadable.is_some(), "{path:?}: {fetched:?}");
        }
    });
}
