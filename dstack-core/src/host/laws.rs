//! What every [`RunnerHost`] holds to: one function per law, and [`host_laws!`](crate::host_laws) makes a test of each.
//!
//! # The language of the laws' jobs
//! Their commands are real shell. A host without processes understands them by these forms, one a line, and no others:
//!
//! | form | meaning |
//! |---|---|
//! | `printf 'TEXT'` | prints TEXT; in it `\NNN` (three octal digits) is that byte, `\n` a line's end, `\\` a backslash |
//! | `printf '%s' "$NAME"` | prints the variable's value, or the argument's where NAME is a number from 1 |
//! | `cat FILE` | prints a file, by a path below the folder in which the job runs; fails with code 1 if it is not there |
//! | `mkdir -p D` | makes a folder, and those above it |
//! | `echo TEXT > FILE` | writes TEXT (one word) and a line's end to a file, in place of what it held |
//! | `sleep S` | takes S whole seconds |
//! | `exit N` | ends with code N |
//! | `kill -N $$` | ends by signal N |
//! | `trap '' TERM` | from here on it does not end when it is asked to |
//!
//! A script ends at its first line that fails. Laws never wait for a clock: they only await the host.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, join, join_all, select};

use super::{Begun, Closing, Contents, Fetched, HostError, Job, Polled, Progress, RunnerHost};
use crate::model::{AttemptId, Exit, ExitCause, Place, Program, RunId, Shell, Span, WorkflowId};
use crate::secret::Secret;

pub use super::subject::{Law, Subject};

/// The first attempt of the workflow with this number.
fn attempt(number: u64) -> AttemptId {
    AttemptId { workflow: WorkflowId { run: RunId::from_bits(number), index: 0 }, number: 1 }
}

fn script(lines: &[&str]) -> Job {
    Job {
        program: Program::Commands(lines.iter().map(|line| (*line).to_owned()).collect()),
        shell: Shell::Sh,
        args: Vec::new(),
        env: BTreeMap::new(),
        working_dir: None,
        timeout: None,
    }
}

fn files(list: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    list.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect()
}

async fn poll_one(host: &dyn RunnerHost, place: &Place, attempt: AttemptId, offset: u64) -> Polled {
    let mut polled = host.poll(place, &[(attempt, offset)]).await.expect("the runner is alive");
    assert_eq!(polled.len(), 1, "one answer for one question");
    let polled = polled.remove(0);
    assert_eq!(polled.attempt, attempt);
    assert!(polled.output.len() <= Polled::MAX_CHUNK, "a chunk has a bound");
    polled
}

/// Stages without files and starts.
async fn start(host: &dyn RunnerHost, place: &Place, attempt: AttemptId, job: &Job) -> Begun {
    host.stage(place, attempt, &Contents::default()).await.expect("staging nothing works");
    host.start(place, attempt, job, &BTreeMap::new()).await.expect("the runner is alive")
}

/// Follows an attempt to where nothing changes any more: its progress there and everything it printed.
async fn settle(host: &dyn RunnerHost, place: &Place, attempt: AttemptId) -> (Progress, Vec<u8>) {
    let mut output = Vec::new();
    loop {
        let polled = poll_one(host, place, attempt, output.len() as u64).await;
        output.extend_from_slice(&polled.output);
        if polled.has_more {
            continue;
        }
        match polled.progress {
            Progress::Staged | Progress::Running => host.wait(place).await.expect("the runner is alive"),
            over @ (Progress::Exited(_) | Progress::NeverBegun | Progress::Lost) => return (over, output),
        }
    }
}

/// Follows an attempt until it has printed this.
async fn until_printed(host: &dyn RunnerHost, place: &Place, attempt: AttemptId, text: &str) {
    loop {
        let polled = poll_one(host, place, attempt, 0).await;
        if polled.output == text.as_bytes() {
            return;
        }
        assert_eq!(polled.progress, Progress::Running, "it ended before it printed {text:?}");
        host.wait(place).await.expect("the runner is alive");
    }
}

async fn run(subject: &dyn Subject, job: &Job) -> (Progress, Vec<u8>) {
    let (host, place) = (subject.host(), subject.place().await);
    run_there(&*host, &place, job).await
}

async fn run_there(host: &dyn RunnerHost, place: &Place, job: &Job) -> (Progress, Vec<u8>) {
    assert_eq!(start(host, place, attempt(1), job).await, Begun::Started);
    settle(host, place, attempt(1)).await
}

/// With nothing to ask about, a poll answers with nothing.
pub async fn a_poll_without_attempts_tells_that_the_runner_answers(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    assert_eq!(host.poll(&place, &[]).await.expect("the runner is alive"), Vec::new());
}

/// However long it is, a script runs from its first line to its last, and ends where a line fails.
pub async fn a_long_script_runs_as_a_short_one_does(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let comment = format!("# {}", "x".repeat(150 * 1024));
    for (number, middle) in [(1, "# short"), (2, comment.as_str())] {
        let job = script(&["printf 'a'", middle, "printf 'b'", "false", "printf 'never'"]);
        assert_eq!(start(&*host, &place, attempt(number), &job).await, Begun::Started);
        let (progress, output) = settle(&*host, &place, attempt(number)).await;
        assert_eq!((progress, output), (Progress::Exited(Exit::exited(1)), b"ab".to_vec()), "{} bytes", middle.len());
    }
}

/// Whoever starts it and however often, at once or later: the command runs once.
pub async fn an_attempt_is_started_at_most_once(subject: &dyn Subject) {
    let (one, two, place) = (subject.host(), subject.host(), subject.place().await);
    let job = script(&["printf 'x'"]);
    let starts = (0..20).map(|turn| {
        let host = if turn % 2 == 0 { &one } else { &two };
        start(&**host, &place, attempt(1), &job)
    });
    assert!(join_all(starts).await.iter().all(|begun| *begun == Begun::Started), "each is told that it was started");
    assert_eq!(settle(&*one, &place, attempt(1)).await, (Progress::Exited(Exit::exited(0)), b"x".to_vec()));
    assert_eq!(start(&*two, &place, attempt(1), &job).await, Begun::Started);
    assert_eq!(settle(&*two, &place, attempt(1)).await, (Progress::Exited(Exit::exited(0)), b"x".to_vec()));
}

/// A verdict before the start forbids it, staged or not.
pub async fn closed_before_its_start_it_never_starts(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let stop = Closing::Stop { grace: Span::from_secs(600) };
    for (number, closing, is_staged) in
        [(1, stop, true), (2, stop, false), (3, Closing::Lost, true), (4, Closing::Lost, false)]
    {
        if is_staged {
            host.stage(&place, attempt(number), &Contents::default()).await.expect("staging nothing works");
            assert_eq!(poll_one(&*host, &place, attempt(number), 0).await.progress, Progress::Staged);
        }
        host.close(&place, attempt(number), closing).await.expect("the runner is alive");
        assert_eq!(start(&*host, &place, attempt(number), &script(&["printf 'x'"])).await, Begun::Closed);
        assert_eq!(settle(&*host, &place, attempt(number)).await, (Progress::NeverBegun, Vec::new()));
    }
}

/// What was decided first stays, whatever is asked later and by whom.
pub async fn a_verdict_is_for_ever(subject: &dyn Subject) {
    let (one, two, place) = (subject.host(), subject.host(), subject.place().await);
    one.close(&place, attempt(1), Closing::Stop { grace: Span::ZERO }).await.expect("the runner is alive");
    assert_eq!(start(&*one, &place, attempt(2), &script(&["exit 0"])).await, Begun::Started);
    settle(&*one, &place, attempt(2)).await;
    for host in [&two, &one, &two] {
        for closing in [Closing::Lost, Closing::Stop { grace: Span::ZERO }] {
            assert_eq!(start(&**host, &place, attempt(1), &script(&["printf 'x'"])).await, Begun::Closed);
            assert_eq!(start(&**host, &place, attempt(2), &script(&["exit 9"])).await, Begun::Started);
            host.close(&place, attempt(1), closing).await.expect("closing again is harmless");
            host.close(&place, attempt(2), closing).await.expect("closing what is over is harmless");
            assert_eq!(settle(&**host, &place, attempt(1)).await, (Progress::NeverBegun, Vec::new()));
            assert_eq!(settle(&**host, &place, attempt(2)).await, (Progress::Exited(Exit::exited(0)), Vec::new()));
        }
    }
}

/// Where a start and a verdict meet, both callers and all polls say the same.
pub async fn start_and_close_at_once_agree_on_one_verdict(subject: &dyn Subject) {
    let (one, two, place) = (subject.host(), subject.host(), subject.place().await);
    let job = script(&["sleep 600"]);
    for number in 1..=10 {
        let starting = start(&*one, &place, attempt(number), &job);
        let closing = two.close(&place, attempt(number), Closing::Lost);
        let begun = if number % 2 == 0 {
            let (begun, closed) = join(starting, closing).await;
            closed.expect("the runner is alive");
            begun
        } else {
            let (closed, begun) = join(closing, starting).await;
            closed.expect("the runner is alive");
            begun
        };
        let (progress, _) = settle(&*two, &place, attempt(number)).await;
        match begun {
            Begun::Closed => assert_eq!(progress, Progress::NeverBegun),
            Begun::Started => assert_eq!(progress, Progress::Lost),
        }
    }
}

/// Reading from any offset gives the rest of the same bytes, text or not.
pub async fn output_is_the_same_bytes_from_any_offset(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let job = script(&["printf '\\342\\202'", "printf '\\254 done\\n'", "printf '\\200\\n\\000\\\\'"]);
    assert_eq!(start(&*host, &place, attempt(1), &job).await, Begun::Started);
    let (_, output) = settle(&*host, &place, attempt(1)).await;
    assert_eq!(output, b"\xe2\x82\xac done\n\x80\n\0\\");
    for offset in 0..=output.len() {
        let polled = poll_one(&*host, &place, attempt(1), offset as u64).await;
        assert_eq!(polled.output, output[offset..], "from offset {offset}");
        assert!(!polled.has_more);
    }
    let beyond = poll_one(&*host, &place, attempt(1), output.len() as u64 + 1000).await;
    assert!(beyond.output.is_empty() && !beyond.has_more, "beyond its end there is nothing");
}

/// More output than one poll may carry comes in several, and nothing is lost or doubled between them.
pub async fn output_larger_than_a_chunk_comes_whole(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let content: Vec<u8> = (0..Polled::MAX_CHUNK as u32).map(|place| (place % 251) as u8).collect();
    let archives = vec![subject.pack(&files(&[("big", &content)]))];
    host.stage(&place, attempt(1), &Contents { archives }).await.expect("the archive is good");
    host.start(&place, attempt(1), &script(&["cat big", "printf 'x'", "cat big"]), &BTreeMap::new())
        .await
        .expect("the runner is alive");
    let (progress, output) = settle(&*host, &place, attempt(1)).await;
    assert_eq!(progress, Progress::Exited(Exit::exited(0)));
    assert!(output == [&content[..], b"x", &content].concat(), "the bytes differ");
    let first = poll_one(&*host, &place, attempt(1), 0).await;
    assert!(first.has_more && !first.output.is_empty(), "a full chunk says that there is more");
}

/// When a poll says that it exited, all output is there, and every later poll says the same.
pub async fn an_exit_comes_with_all_output_and_never_changes(subject: &dyn Subject) {
    let (one, two, place) = (subject.host(), subject.host(), subject.place().await);
    let job = script(&["printf 'a\\n'", "printf 'b\\n'", "exit 7"]);
    assert_eq!(start(&*one, &place, attempt(1), &job).await, Begun::Started);
    let over = settle(&*one, &place, attempt(1)).await;
    assert_eq!(over, (Progress::Exited(Exit::exited(7)), b"a\nb\n".to_vec()));
    for host in [&one, &two, &one] {
        assert_eq!(settle(&**host, &place, attempt(1)).await, over);
        host.close(&place, attempt(1), Closing::Lost).await.expect("closing what is over is harmless");
    }
}

/// Whatever code a command exits with is the one that is reported.
pub async fn exit_codes_arrive_as_they_are(subject: &dyn Subject) {
    for code in [0, 1, 2, 124, 126, 127, 128, 130, 255] {
        let (progress, _) = run(subject, &script(&[&format!("exit {code}")])).await;
        assert_eq!(progress, Progress::Exited(Exit::exited(code)));
    }
}

/// Death by a signal and an exit with the same number are different things.
pub async fn signals_and_codes_are_told_apart(subject: &dyn Subject) {
    for (line, exit) in [
        ("kill -9 $$", Exit { code: 137, cause: ExitCause::Signal(9) }),
        ("exit 137", Exit { code: 137, cause: ExitCause::Exited }),
        ("kill -15 $$", Exit { code: 143, cause: ExitCause::Signal(15) }),
        ("exit 143", Exit { code: 143, cause: ExitCause::Exited }),
    ] {
        assert_eq!(run(subject, &script(&[line])).await.0, Progress::Exited(exit), "{line}");
    }
}

/// What stands after a line that failed is not run.
pub async fn a_script_ends_at_its_first_failure(subject: &dyn Subject) {
    let (progress, output) = run(subject, &script(&["printf 'a'", "exit 3", "printf 'b'"])).await;
    assert_eq!((progress, output), (Progress::Exited(Exit::exited(3)), b"a".to_vec()));
    let (progress, output) = run(subject, &script(&["mkdir -p d", "cat d/missing", "printf 'b'"])).await;
    assert_eq!(progress, Progress::Exited(Exit::exited(1)));
    assert!(!output.ends_with(b"b"));
}

/// A job that runs longer than it may is ended, and its exit says why.
pub async fn a_timeout_ends_a_job(subject: &dyn Subject) {
    let mut job = script(&["printf 'a'", "sleep 600", "printf 'b'"]);
    job.timeout = Some(Span::from_secs(1));
    let over = (Progress::Exited(Exit { code: 124, cause: ExitCause::Timeout }), b"a".to_vec());
    assert_eq!(run(subject, &job).await, over);
    job.timeout = Some(Span::from_secs(600));
    job.program = Program::Commands(vec!["exit 0".to_owned()]);
    assert_eq!(run(subject, &job).await.0, Progress::Exited(Exit::exited(0)));
}

/// A job ends when it is asked to, long before its grace is over; one that finishes in its grace keeps what it printed.
pub async fn a_stopped_job_is_asked_first(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let stopped = Progress::Exited(Exit { code: 130, cause: ExitCause::Stopped });
    assert_eq!(start(&*host, &place, attempt(1), &script(&["printf 'a'", "sleep 600"])).await, Begun::Started);
    until_printed(&*host, &place, attempt(1), "a").await;
    let stop = Closing::Stop { grace: Span::from_secs(300) };
    host.close(&place, attempt(1), stop).await.expect("the runner is alive");
    assert_eq!(settle(&*host, &place, attempt(1)).await, (stopped.clone(), b"a".to_vec()));

    let job = script(&["trap '' TERM", "printf 'a'", "sleep 1", "printf 'b'"]);
    assert_eq!(start(&*host, &place, attempt(2), &job).await, Begun::Started);
    until_printed(&*host, &place, attempt(2), "a").await;
    host.close(&place, attempt(2), stop).await.expect("the runner is alive");
    assert_eq!(settle(&*host, &place, attempt(2)).await, (stopped, b"ab".to_vec()));
}

/// After its grace, a job that ignores the request is killed.
pub async fn a_stopped_job_that_does_not_listen_is_killed(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let job = script(&["trap '' TERM", "printf 'a'", "sleep 600", "printf 'b'"]);
    assert_eq!(start(&*host, &place, attempt(1), &job).await, Begun::Started);
    until_printed(&*host, &place, attempt(1), "a").await;
    host.close(&place, attempt(1), Closing::Stop { grace: Span::from_secs(1) }).await.expect("the runner is alive");
    let over = (Progress::Exited(Exit { code: 130, cause: ExitCause::Stopped }), b"a".to_vec());
    assert_eq!(settle(&*host, &place, attempt(1)).await, over);
}

/// A running job that is given up is killed at once and leaves no exit, also one that is being stopped.
pub async fn a_job_given_up_is_lost(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let job = script(&["trap '' TERM", "printf 'a'", "sleep 600"]);
    for number in [1, 2] {
        assert_eq!(start(&*host, &place, attempt(number), &job).await, Begun::Started);
        until_printed(&*host, &place, attempt(number), "a").await;
        if number == 2 {
            let stop = Closing::Stop { grace: Span::from_secs(300) };
            host.close(&place, attempt(number), stop).await.expect("the runner is alive");
        }
        host.close(&place, attempt(number), Closing::Lost).await.expect("the runner is alive");
        assert_eq!(settle(&*host, &place, attempt(number)).await.0, Progress::Lost);
        assert_eq!(start(&*host, &place, attempt(number), &job).await, Begun::Started);
        assert_eq!(settle(&*host, &place, attempt(number)).await.0, Progress::Lost);
    }
}

/// A job finds all staged archives laid over each other, in the folder that it names.
pub async fn staged_files_are_there(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let every_byte: Vec<u8> = (0..=255).collect();
    let project = subject.pack(&files(&[("sub/name with 'quotes'.txt", b"q"), ("sub/all", &every_byte)]));
    let artifacts = subject.pack(&files(&[("sub/out/model", b"m"), ("other", b"o")]));
    let contents = Contents { archives: vec![project, artifacts] };
    host.stage(&place, attempt(1), &contents).await.expect("the archives are good");
    let mut job = script(&["cat all", "cat out/model", "cat ../other"]);
    job.working_dir = Some("sub".to_owned());
    host.start(&place, attempt(1), &job, &BTreeMap::new()).await.expect("the runner is alive");
    let (progress, output) = settle(&*host, &place, attempt(1)).await;
    assert_eq!((progress, output), (Progress::Exited(Exit::exited(0)), [&every_byte[..], b"mo"].concat()));
}

/// Staging twice, also at once, or after the job wrote its own files, leaves what is there.
pub async fn staging_again_changes_nothing(subject: &dyn Subject) {
    let (one, two, place) = (subject.host(), subject.host(), subject.place().await);
    let contents = Contents { archives: vec![subject.pack(&files(&[("f", b"staged")]))] };
    let (first, second) =
        join(one.stage(&place, attempt(1), &contents), two.stage(&place, attempt(1), &contents)).await;
    first.expect("the archive is good");
    second.expect("staging again is harmless");
    let job = script(&["cat f", "echo changed > f"]);
    one.start(&place, attempt(1), &job, &BTreeMap::new()).await.expect("the runner is alive");
    assert_eq!(settle(&*one, &place, attempt(1)).await.1, b"staged");
    two.stage(&place, attempt(1), &contents).await.expect("staging again is harmless");
    let archive = two.fetch(&place, attempt(1), "f").await.expect("the runner is alive").archive;
    assert_eq!(subject.unpack(&archive.expect("it is there")), files(&[("f", b"changed\n")]));
}

/// Declared paths are fetched with everything below them; one that is not there is absent, not an error.
pub async fn artifacts_come_home(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let job = script(&["mkdir -p out/deep", "echo one > out/f", "echo two > out/deep/f", "echo no > other", "exit 3"]);
    assert_eq!(start(&*host, &place, attempt(1), &job).await, Begun::Started);
    settle(&*host, &place, attempt(1)).await;
    for (path, expected) in [
        ("out", Some(files(&[("out/f", b"one\n"), ("out/deep/f", b"two\n")]))),
        ("out/deep", Some(files(&[("out/deep/f", b"two\n")]))),
        ("other", Some(files(&[("other", b"no\n")]))),
        ("missing", None),
        ("out/missing/f", None),
    ] {
        let Fetched { archive, left_behind, .. } =
            host.fetch(&place, attempt(1), path).await.expect("the runner is alive");
        assert_eq!(archive.map(|archive| subject.unpack(&archive)), expected, "{path}");
        assert_eq!(left_behind, Vec::<String>::new());
    }
}

/// Of an attempt that it does not have, or has no more, a runner says that, and not that it left nothing behind.
pub async fn what_is_not_there_is_no_missing_artifact(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let fetched = host.fetch(&place, attempt(9), "out").await.expect_err("there is no such attempt");
    assert_eq!(fetched, HostError::UnknownAttempt(attempt(9)));
}

/// No character of a value means anything on its way.
pub async fn arguments_environment_and_secrets_arrive_byte_for_byte(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let values = [
        "",
        " ",
        "-n",
        "%s\\n",
        "say \"hi\" \\ it's $HOME `id`\nsecond ; line\n",
        "$(exit 1) ${x} && || > < * ? [a] ~ # !",
        "\r\n\t\u{1}\u{7f}\u{1b}[31m",
        "äöü € 🚀 \u{202e}",
        "0.00002",
        "=a=b",
    ];
    let job =
        script(&["printf '%s' \"$VALUE\"", "printf '|'", "printf '%s' \"$1\"", "printf '|'", "printf '%s' \"$TOKEN\""]);
    for (number, value) in (1..).zip(values) {
        let mut job = job.clone();
        job.env.insert("VALUE".to_owned(), value.to_owned());
        job.args = vec![value.to_owned(), "unused".to_owned()];
        let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new(value.to_owned()))]);
        host.stage(&place, attempt(number), &Contents::default()).await.expect("staging nothing works");
        host.start(&place, attempt(number), &job, &secrets).await.expect("the runner is alive");
        let over = settle(&*host, &place, attempt(number)).await;
        let expected = format!("{value}|{value}|{value}").into_bytes();
        assert_eq!(over, (Progress::Exited(Exit::exited(0)), expected), "{value:?}");
    }
}

/// With every handle gone, a job goes on; a new handle finds all of it.
pub async fn a_job_outlives_its_callers(subject: &dyn Subject) {
    let place = subject.place().await;
    let host = subject.host();
    let job = script(&["printf 'a'", "sleep 1", "printf 'b'"]);
    assert_eq!(start(&*host, &place, attempt(1), &job).await, Begun::Started);
    drop(host);
    let host = subject.host();
    assert_eq!(settle(&*host, &place, attempt(1)).await, (Progress::Exited(Exit::exited(0)), b"ab".to_vec()));
}

/// Calls that are dropped on their way may have happened or not; the next ones work, and no change is missed.
pub async fn a_dropped_call_harms_nothing(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let job = script(&["printf 'a'", "sleep 1", "printf 'b'"]);
    let secrets = BTreeMap::new();
    host.stage(&place, attempt(1), &Contents::default()).now_or_never();
    host.start(&place, attempt(1), &job, &secrets).now_or_never();
    assert_eq!(start(&*host, &place, attempt(1), &job).await, Begun::Started);
    host.poll(&place, &[(attempt(1), 0)]).now_or_never();
    host.wait(&place).now_or_never();
    host.wait(&place).now_or_never();
    assert_eq!(settle(&*host, &place, attempt(1)).await, (Progress::Exited(Exit::exited(0)), b"ab".to_vec()));
    host.close(&place, attempt(2), Closing::Lost).now_or_never();
    host.close(&place, attempt(2), Closing::Lost).await.expect("the runner is alive");
    assert_eq!(start(&*host, &place, attempt(2), &job).await, Begun::Closed);
}

/// Releasing may take files away, never what was decided; and it starts nothing anew.
pub async fn release_keeps_the_verdict(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    let job = script(&["printf 'x'", "exit 4"]);
    assert_eq!(start(&*host, &place, attempt(1), &job).await, Begun::Started);
    settle(&*host, &place, attempt(1)).await;
    host.close(&place, attempt(2), Closing::Lost).await.expect("the runner is alive");
    for _ in 0..2 {
        for (number, begun, progress) in
            [(1, Begun::Started, Progress::Exited(Exit::exited(4))), (2, Begun::Closed, Progress::NeverBegun)]
        {
            host.release(&place, attempt(number)).await.expect("the runner is alive");
            assert_eq!(poll_one(&*host, &place, attempt(number), 0).await.progress, progress);
            assert_eq!(start(&*host, &place, attempt(number), &job).await, begun);
            assert_eq!(settle(&*host, &place, attempt(number)).await.0, progress);
        }
    }
}

/// Attempts on one runner know nothing of each other's end, and one poll answers for all of them in the order asked.
pub async fn one_failure_disturbs_no_other_attempt(subject: &dyn Subject) {
    let (host, place) = (subject.host(), subject.place().await);
    assert_eq!(start(&*host, &place, attempt(1), &script(&["sleep 1", "printf 'a'"])).await, Begun::Started);
    assert_eq!(start(&*host, &place, attempt(2), &script(&["kill -9 $$"])).await, Begun::Started);
    assert_eq!(start(&*host, &place, attempt(3), &script(&["sleep 600"])).await, Begun::Started);
    host.close(&place, attempt(3), Closing::Lost).await.expect("the runner is alive");
    assert_eq!(settle(&*host, &place, attempt(3)).await.0, Progress::Lost);
    assert_eq!(settle(&*host, &place, attempt(2)).await.0, Progress::Exited(Exit::signal(9)));
    assert_eq!(settle(&*host, &place, attempt(1)).await, (Progress::Exited(Exit::exited(0)), b"a".to_vec()));
    let asked = [(attempt(3), 0), (attempt(1), 0), (attempt(4), 0), (attempt(2), 0)];
    let polled = host.poll(&place, &asked).await.expect("the runner is alive");
    let progress: Vec<_> = polled.into_iter().map(|polled| (polled.attempt, polled.progress)).collect();
    assert_eq!(
        progress,
        [
            (attempt(3), Progress::Lost),
            (attempt(1), Progress::Exited(Exit::exited(0))),
            (attempt(4), Progress::Staged),
            (attempt(2), Progress::Exited(Exit::signal(9))),
        ]
    );
}

/// Whoever asks what a runner hears of its own end is answered, and hears nothing more while nothing is new.
pub async fn what_a_runner_hears_is_told_once(subject: &dyn Subject) {
    let (one, two, place) = (subject.host(), subject.host(), subject.place().await);
    let first = one.listen(&place, None).await.expect("the runner is alive");
    assert_eq!(two.listen(&place, None).await, Ok(first));
    let job = script(&["sleep 1", "printf 'a'"]);
    match select(pin!(one.listen(&place, Some(first))), pin!(run_there(&*two, &place, &job))).await {
        Either::Left((again, _)) => panic!("it is told again: {again:?}"),
        Either::Right((over, _)) => assert_eq!(over, (Progress::Exited(Exit::exited(0)), b"a".to_vec())),
    }
    assert_eq!(one.listen(&place, None).await, Ok(first), "dropping it loses nothing");
}
