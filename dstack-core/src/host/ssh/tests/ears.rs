//! What a runner hears of its own end comes over the channel that is open anyway, as data, and only where it is asked for.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::jobs::{run, script};
use super::sshd::{Servers, block_on, kill, processes_with, which};
use crate::host::ssh::protocol::{Mode, opening};
use crate::host::ssh::{Ear, SshHost};
use crate::host::{Hearing, HostError, Progress, RunnerHost as _};
use crate::model::{At, Exit, Place};

/// A cloud that is a folder: nobody answers where it is not there, and the file in it is the announcement.
const EAR: Ear = Ear {
    script: r#"
can_hear() { [ ! -e "$HOME/nothing-to-ask-with" ]; }
hear() {
    echo asked >>"$HOME/asked"
    [ -d "$HOME/cloud" ] || return 1
    [ ! -e "$HOME/cloud/words" ] || cat "$HOME/cloud/words"
}
"#,
    period: Duration::from_millis(20),
    read: |words| match words.strip_prefix("at ").map(str::parse) {
        Some(Ok(micros)) => Hearing::Noticed { deadline: Some(At::from_micros(micros)) },
        Some(Err(_)) => Hearing::Noticed { deadline: None },
        None => Hearing::Listens,
    },
};

/// Whole at once, so that nobody reads half of it.
fn announce(home: &Path, words: &[u8]) {
    fs::create_dir_all(home.join("cloud")).expect("it can be made");
    fs::write(home.join("new"), words).expect("it can be written");
    fs::rename(home.join("new"), home.join("cloud/words")).expect("it is beside it");
}

fn with_ear(servers: &Servers) -> SshHost {
    SshHost::new(servers.keys()).with_ear(EAR)
}

fn noticed(micros: i64) -> Hearing {
    Hearing::Noticed { deadline: Some(At::from_micros(micros)) }
}

#[test]
fn what_a_runner_is_told_is_heard_over_the_open_channel() {
    let Some(servers) = Servers::new("ears") else { return };
    let place = servers.start();
    let home = servers.home(&place);
    fs::create_dir(home.join("cloud")).expect("it is new");
    let (one, two) = (with_ear(&servers), with_ear(&servers));
    block_on(async {
        assert_eq!(one.listen(&place, None).await, Ok(Hearing::Listens));
        let later = async { announce(&home, b"at 7\n") };
        let (heard, ()) = futures::future::join(one.listen(&place, Some(Hearing::Listens)), later).await;
        assert_eq!(heard, Ok(noticed(7)));
        assert_eq!(two.listen(&place, None).await, Ok(noticed(7)), "another controller hears it, too");
        announce(&home, b"at 8\n");
        assert_eq!(one.listen(&place, Some(noticed(7))).await, Ok(noticed(8)));
        let (progress, output) = run(&one, &place, 1, &script("printf 'a'; sleep 0.3; printf 'b'")).await;
        assert_eq!((progress, output.as_str()), (Progress::Exited(Exit::exited(0)), "ab"), "news come as before");
    });
}

#[test]
fn a_connection_that_is_lost_hears_nothing_and_the_next_one_does() {
    let Some(servers) = Servers::new("ears that are cut off") else { return };
    let place = servers.start();
    let home = servers.home(&place);
    fs::create_dir(home.join("cloud")).expect("it is new");
    let host = with_ear(&servers);
    block_on(async {
        assert_eq!(host.listen(&place, None).await, Ok(Hearing::Listens));
        let cut = async { servers.restart(&place, "host-key") };
        let (heard, ()) = futures::future::join(host.listen(&place, Some(Hearing::Listens)), cut).await;
        assert!(matches!(heard, Err(HostError::Unreachable(_))), "{heard:?}");
        assert_eq!(host.listen(&place, None).await, Ok(Hearing::Listens));
        announce(&home, b"at 9\n");
        assert_eq!(host.listen(&place, Some(Hearing::Listens)).await, Ok(noticed(9)));
    });
}

#[test]
fn a_runner_that_is_not_listened_to_asks_nobody() {
    let Some(servers) = Servers::new("ears that nobody uses") else { return };
    let place = servers.start();
    let home = servers.home(&place);
    fs::create_dir(home.join("cloud")).expect("it is new");
    let (with, without) = (with_ear(&servers), servers.host());
    block_on(async {
        for (number, host) in [(1, &with), (2, &*without)] {
            let (progress, _) = run(host, &place, number, &script("sleep 0.3")).await;
            assert_eq!(progress, Progress::Exited(Exit::exited(0)));
        }
        assert_eq!(without.listen(&place, None).await, Ok(Hearing::Deaf), "it has no ear");
    });
    assert!(!home.join("asked").exists());
}

/// The runner's side in one of the shells, with its own home and without SSH.
struct Side {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    home: tempfile::TempDir,
}

impl Side {
    /// In each shell that is installed; the names of those that are not are told.
    fn in_each_shell(prepare: impl Fn(&Path), mut test: impl FnMut(&mut Self)) {
        for words in [&["dash"][..], &["bash"], &["bash", "--posix"], &["busybox", "sh"]] {
            if which(words[0]).is_none() {
                let warning = format!("\nSKIPPED: {} is not installed, so it was NOT tried\n", words[0]);
                let _ = std::io::stderr().lock().write_all(warning.as_bytes());
                continue;
            }
            let home = tempfile::tempdir().expect("a temporary folder can be made");
            prepare(home.path());
            let sent = String::from_utf8(opening(Mode::Watch(Some(EAR)), "nonce")).expect("it is text");
            let (text, mode) = sent.split_once("#end\n").expect("it has an end");
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).args(["-c", text]).env("HOME", home.path()).current_dir(home.path());
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was there a moment ago");
            let mut stdin = child.stdin.take().expect("it is piped");
            stdin.write_all(mode.as_bytes()).expect("it reads");
            let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
            let mut side = Self { child, stdin: Some(stdin), stdout, home };
            assert_eq!(side.line(), b"nonce ready", "{words:?}");
            side.stdin.as_mut().expect("it is open").write_all(b"listen\nlisten\n").expect("it reads");
            test(&mut side);
        }
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stdout.read_until(b'\n', &mut line).expect("it prints");
        assert_eq!(line.pop(), Some(b'\n'), "it went away");
        line
    }

    /// Returns when nothing of it runs any more.
    fn until_gone(&self) {
        let mark = format!("HOME={}\0", self.home.path().display());
        while !processes_with(&mark).is_empty() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in processes_with(&format!("HOME={}\0", self.home.path().display())) {
            kill(pid);
        }
    }
}

fn with_cloud(home: &Path) {
    fs::create_dir(home.join("cloud")).expect("it is new");
}

#[test]
fn in_every_shell_the_words_are_data_on_one_line() {
    Side::in_each_shell(with_cloud, |side| {
        assert_eq!(side.line(), b"ear hears");
        let home = side.home.path().to_owned();
        let evil: &[u8] =
            b"$(touch pwned) `touch pwned`; touch pwned\n' \" * ~ \\n %s \\033[31m\nn\n\x1b]0;\xff\x07 last";
        announce(&home, evil);
        let one_line: Vec<u8> = evil.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
        let told = side.line();
        let shown = std::ffi::OsString::from_vec(told.clone());
        assert!(told == [b"ear said ", &one_line[..]].concat(), "{shown:?}");
        announce(&home, b"-n\n");
        assert_eq!(side.line(), b"ear said -n");
        fs::remove_file(home.join("cloud/words")).expect("it is there");
        assert_eq!(side.line(), b"ear hears");
        assert!(!home.join("pwned").exists());
    });
}

#[test]
fn in_every_shell_a_silent_cloud_is_told_and_heard_again() {
    Side::in_each_shell(
        |_| {},
        |side| {
            assert_eq!(side.line(), b"ear deaf");
            let asked = fs::read_to_string(side.home.path().join("asked")).expect("it has asked");
            assert!(asked.lines().count() >= 3, "one missed answer is no silence");
            with_cloud(side.home.path());
            assert_eq!(side.line(), b"ear hears");
        },
    );
}

#[test]
fn in_every_shell_who_cannot_ask_says_so_and_asks_nobody() {
    let prepare = |home: &Path| {
        with_cloud(home);
        fs::write(home.join("nothing-to-ask-with"), "").expect("it can be written");
    };
    Side::in_each_shell(prepare, |side| {
        assert_eq!(side.line(), b"ear deaf");
        side.stdin = None;
        side.until_gone();
        assert!(!side.home.path().join("asked").exists());
    });
}

#[test]
fn in_every_shell_listening_ends_with_its_channel_however_that_ends() {
    for is_killed in [false, true] {
        Side::in_each_shell(with_cloud, |side| {
            assert_eq!(side.line(), b"ear hears");
            if is_killed {
                side.child.kill().expect("it runs");
                side.child.wait().expect("it is a child");
            }
            side.stdin = None;
            let _ = side.child.wait();
            side.until_gone();
        });
    }
}

#[test]
fn whatever_a_runner_tells_is_understood_or_left_aside() {
    for (told, hearing) in [
        ("deaf", Some(Hearing::Deaf)),
        ("hears", Some(Hearing::Listens)),
        ("said at 5", Some(noticed(5))),
        ("said at x", Some(Hearing::Noticed { deadline: None })),
        ("said", Some(Hearing::Listens)),
        ("said <html>", Some(Hearing::Listens)),
        ("", None),
        ("Deaf", None),
        ("deafness", None),
    ] {
        assert_eq!(EAR.understand(told), hearing, "{told:?}");
    }
}

/// As `place`, for the laws: every law of hosts holds with an ear as without.
#[test]
fn the_law_of_hearing_holds_with_an_ear() {
    let Some(servers) = Servers::new("the law of hearing") else { return };
    block_on(crate::host::laws::what_a_runner_hears_is_told_once(&WithEar(servers)));
}

struct WithEar(std::sync::Arc<Servers>);

#[async_trait::async_trait]
impl crate::host::laws::Subject for WithEar {
    async fn place(&self) -> Place {
        let place = self.0.start();
        with_cloud(&self.0.home(&place));
        place
    }

    fn host(&self) -> std::sync::Arc<dyn crate::host::RunnerHost> {
        std::sync::Arc::new(with_ear(&self.0))
    }

    fn pack(&self, files: &std::collections::BTreeMap<String, Vec<u8>>) -> crate::blob::Payload {
        crate::host::test_archive::pack(files)
    }

    fn unpack(&self, archive: &crate::blob::Payload) -> std::collections::BTreeMap<String, Vec<u8>> {
        crate::host::test_archive::unpack(archive)
    }
}
