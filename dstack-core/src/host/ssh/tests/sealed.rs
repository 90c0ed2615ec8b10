//! A place from which the machine itself cannot be ended: process, mount and network namespaces of their own, with stand-ins
//! for all commands that end machines first, and alone, on the search path.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::sshd::which;

/// Commands that end a machine, or could be made to.
const NAMES: [&str; 8] = ["poweroff", "shutdown", "halt", "reboot", "systemctl", "systemd-run", "init", "telinit"];
/// Tells what it was called as, with its arguments. `systemd-run` then does what it is for.
const STAND_IN: &str = r#"#!/bin/sh
name=${0##*/}
printf '%s\n' "$name $*" >"$EVENTS"
case " $FAILING " in *" $name "*) exit 1 ;; esac
if [ "$name" = systemd-run ]; then
    while case $1 in --*) true ;; *) false ;; esac do shift; done
    setsid "$@" </dev/null >/dev/null 2>&1 &
fi
"#;
/// Proves that nothing real can be called from here, then runs the user data and what the test wants besides.
const INIT: &str = r#"
mount -t tmpfs none /run || exit 1
for name in $NAMES; do
    found=$(command -v "$name")
    if [ "$found" != "$BIN/$name" ]; then
        echo "unsafe $name is $found" >"$EVENTS"
        exit 1
    fi
done
echo 'sealed' >"$EVENTS"
[ -z "$USER_DATA" ] || sh "$USER_DATA" || echo 'user data failed' >"$EVENTS"
. "$FIXTURE"
sleep 600
"#;

pub(super) struct Sealed {
    pub(super) folder: tempfile::TempDir,
    init: Child,
    events: Lines<BufReader<fs::File>>,
}

impl Sealed {
    /// Runs this user data, and then this fixture, which may write lines to `$EVENTS`. Commands in `failing` fail there.
    /// On a machine that cannot seal it off, the test says loudly that it was skipped.
    pub(super) fn run(test: &str, user_data: Option<&str>, fixture: &str, failing: &str) -> Option<Self> {
        let can_seal = rustix::process::geteuid().is_root()
            && Command::new("unshare")
                .args(["--mount", "--pid", "--net", "--fork", "--mount-proc", "true"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
        if !can_seal {
            let warning = format!("\nSKIPPED: {test}: namespaces cannot be made here, so it was NOT checked\n");
            let _ = std::io::stderr().lock().write_all(warning.as_bytes());
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = |name: &str| folder.path().join(name);
        for name in ["bin", "home"] {
            fs::create_dir(path(name)).expect("it is new");
        }
        // What the scripts need, and no other folder of the machine's.
        for name in [
            "sh", "id", "awk", "mkdir", "chmod", "cat", "cp", "setsid", "nohup", "grep", "mv", "sleep", "mount", "rm",
            "chown", "env", "unshare",
        ] {
            let program = which(name).expect("every system has it");
            std::os::unix::fs::symlink(program, path("bin").join(name)).expect("it is new");
        }
        for name in NAMES {
            let stand_in = path("bin").join(name);
            fs::write(&stand_in, STAND_IN).expect("it is new");
            fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        fs::write(path("fixture"), fixture).expect("it is new");
        fs::write(path("user-data"), user_data.unwrap_or("")).expect("it is new");
        let events = path("events");
        assert!(Command::new("mkfifo").arg(&events).status().expect("every system has it").success());
        // Opened for both, so that neither side waits for the other.
        let reader = fs::OpenOptions::new().read(true).write(true).open(&events).expect("it is a pipe");
        let init = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INIT])
            .env_clear()
            .env("PATH", path("bin"))
            .env("BIN", path("bin"))
            .env("HOME", path("home"))
            .env("NAMES", NAMES.join(" "))
            .env("FAILING", failing)
            .env("EVENTS", &events)
            .env("FIXTURE", path("fixture"))
            .env("USER_DATA", if user_data.is_some() { path("user-data") } else { PathBuf::new() })
            .stdin(Stdio::null())
            .spawn()
            .expect("it was there a moment ago");
        let mut sealed = Self { folder, init, events: BufReader::new(reader).lines() };
        assert_eq!(sealed.event(), "sealed");
        Some(sealed)
    }

    /// The next thing that happened.
    pub(super) fn event(&mut self) -> String {
        self.events.next().expect("we hold it open").expect("it is text")
    }

    /// The next thing that happened, besides the making of units.
    pub(super) fn event_but_units(&mut self) -> String {
        loop {
            let event = self.event();
            if !event.starts_with("systemd-run ") {
                return event;
            }
        }
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}
