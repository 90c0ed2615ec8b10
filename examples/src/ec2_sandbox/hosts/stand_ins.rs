//! Commands that would end the machine itself, and what an instance has in their place.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// All names that are found first on an instance's PATH, and not where the machine has them.
pub(super) const NAMES: [&str; 14] = [
    "poweroff",
    "shutdown",
    "halt",
    "reboot",
    "init",
    "telinit",
    "systemctl",
    "systemd-run",
    "loginctl",
    "sudo",
    "doas",
    "pkexec",
    "su",
    "runuser",
];

/// Names that the script for power has.
const POWER: [&str; 6] = ["poweroff", "shutdown", "halt", "reboot", "init", "telinit"];

/// Names that run their arguments as another user: here as the only one, with the same PATH.
const AS_OTHERS: [&str; 5] = ["sudo", "doas", "pkexec", "su", "runuser"];

/// Ends this one instance: says how, and ends the process that stands for its machine. The sandbox does the rest.
const POWER_SCRIPT: &str = r#"#!/bin/sh
# Stand-in of the EC2 sandbox: ends this one instance and nothing else.
root='@ROOT@'
name=${0##*/}
verb=poweroff
wait=0
case $name in
halt) verb=halt ;;
reboot) verb=reboot ;;
esac
for argument in "$@"; do
    case $name,$argument in
    *,-p | *,--poweroff | shutdown,-h | shutdown,-P) verb=poweroff ;;
    *,-H | *,--halt) verb=halt ;;
    *,-r | *,--reboot) verb=reboot ;;
    shutdown,-c)
        kill -9 "$(cat "$root/shutdown.pid")" 2>/dev/null
        exit 0
        ;;
    shutdown,+*) wait=$((${argument#+} * 60)) ;;
    init,0 | telinit,0) verb=poweroff ;;
    init,6 | telinit,6) verb=reboot ;;
    init,* | telinit,*) exit 0 ;;
    shutdown,[0-9]*:*)
        echo "shutdown: the sandbox's stand-in knows now and +MINUTES only" >&2
        exit 1
        ;;
    esac
done
[ $# -eq 0 ] && case $name in
shutdown) wait=60 ;;
init | telinit) exit 1 ;;
esac
if [ "$wait" -gt 0 ]; then
    setsid sh -c 'sleep "$1"; exec "$2"' shutdown "$wait" "$root/bin/$verb" </dev/null >/dev/null 2>&1 &
    echo $! >"$root/shutdown.pid"
    exit 0
fi
printf '%s\n' "$verb" >"$root/power"
pid=$(cat "$root/init.pid")
# Only while the number is still that of the process that stands for this machine.
grep -qs "$root/etc/init" "/proc/$pid/cmdline" && kill -TERM "$pid"
"#;

/// The verbs of systemctl that end a machine, and as much of units as `systemd-run` makes.
const SYSTEMCTL_SCRIPT: &str = r#"#!/bin/sh
# Stand-in of the EC2 sandbox: the verbs that end a machine end this one instance; units are those of systemd-run.
root='@ROOT@'
verb=
unit=
signal=TERM
while [ $# -gt 0 ]; do
    case $1 in
    --signal=*) signal=${1#--signal=} ;;
    -s | --signal) signal=$2; shift ;;
    -p | --property | -t | --type | -n | --lines | -o | --output) shift ;;
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$1; elif [ -z "$unit" ]; then unit=${1%.service}; fi ;;
    esac
    shift
done
unit=${unit%.timer}
pid=$(cat "$root/units/$unit" 2>/dev/null)
alive() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
case $verb in
poweroff | halt | reboot) exec "$root/bin/$verb" ;;
isolate | start)
    case $unit in
    poweroff.target) exec "$root/bin/poweroff" ;;
    reboot.target) exec "$root/bin/reboot" ;;
    halt.target) exec "$root/bin/halt" ;;
    esac
    ;;
stop)
    alive && kill -TERM "-$pid" 2>/dev/null
    rm -f "$root/units/$unit"
    ;;
kill) alive && kill "-${signal#SIG}" "-$pid" 2>/dev/null ;;
show)
    alive || pid=0
    echo "MainPID=$pid"
    ;;
is-active)
    if alive; then echo active; else echo inactive; exit 3; fi
    ;;
is-system-running) echo running ;;
esac
exit 0
"#;

/// Runs a command outside the caller's session, as a unit would be; `--on-active` waits before it.
const SYSTEMD_RUN_SCRIPT: &str = r#"#!/bin/sh
# Stand-in of the EC2 sandbox: runs the command in a session of its own.
root='@ROOT@'
unit=run-$$
wait=0
attached=
later() {
    case $1 in
    *min) wait=$((${1%min} * 60)) ;;
    *ms) wait=1 ;;
    *m) wait=$((${1%m} * 60)) ;;
    *h) wait=$((${1%h} * 3600)) ;;
    *d) wait=$((${1%d} * 86400)) ;;
    *sec) wait=${1%sec} ;;
    *s) wait=${1%s} ;;
    *) wait=$1 ;;
    esac
}
while [ $# -gt 0 ]; do
    case $1 in
    --unit=*) unit=${1#--unit=} ;;
    --unit | -u) unit=$2; shift ;;
    --on-active=* | --on-boot=* | --on-startup=*) later "${1#*=}" ;;
    --on-active | --on-boot | --on-startup) later "$2"; shift ;;
    --setenv=*) export "${1#--setenv=}" ;;
    -E | --setenv) export "$2"; shift ;;
    --working-directory=*) cd "${1#--working-directory=}" || exit 1 ;;
    -d | --same-dir) ;;
    --wait | --scope | --pipe | -P | -t | --pty) attached=yes ;;
    -p | --property | --description | --slice | --uid | --gid | --service-type | --timer-property) shift ;;
    --) shift; break ;;
    -*) ;;
    *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || { echo "systemd-run: no command" >&2; exit 1; }
unit=${unit%.service}
unit=${unit%.timer}
if [ -n "$attached" ]; then exec "$@"; fi
mkdir -p "$root/units"
setsid sh -c 'echo $$ >"$1"; [ "$2" -gt 0 ] && sleep "$2"; shift 2; exec "$@"' \
    unit "$root/units/$unit" "$wait" "$@" </dev/null >>"$root/log/units.log" 2>&1 &
exit 0
"#;

/// Runs a command that was meant for another user.
const AS_OTHER_SCRIPT: &str = r#"#!/bin/sh
# Stand-in of the EC2 sandbox: there is one user only, who may do everything that an instance may do.
case ${0##*/} in
su | runuser)
    while [ $# -gt 0 ]; do
        case $1 in
        -c | --command) shift; exec /bin/sh -c "$1" ;;
        --) shift; break ;;
        -u) shift ;;
        esac
        shift
    done
    ;;
*)
    while [ $# -gt 0 ]; do
        case $1 in
        -u | -g | --user | --group) shift ;;
        --) shift; break ;;
        -*) ;;
        *=*) export "$1" ;;
        *) break ;;
        esac
        shift
    done
    ;;
esac
[ $# -gt 0 ] || exec /bin/sh
exec "$@"
"#;

const LOGINCTL_SCRIPT: &str = r#"#!/bin/sh
# Stand-in of the EC2 sandbox.
case $1 in
poweroff | reboot | halt) exec '@ROOT@'/bin/"$1" ;;
esac
exit 0
"#;

/// Writes all stand-ins of an instance into its `bin`.
pub(super) fn write(root: &Path) -> io::Result<()> {
    let bin = root.join("bin");
    fs::create_dir_all(&bin)?;
    let place = root.to_string_lossy();
    let script = |name: &str, text: &str| -> io::Result<()> {
        let path = bin.join(name);
        fs::write(&path, text.replace("@ROOT@", &place))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    };
    script(POWER[0], POWER_SCRIPT)?;
    script(AS_OTHERS[0], AS_OTHER_SCRIPT)?;
    script("systemctl", SYSTEMCTL_SCRIPT)?;
    script("systemd-run", SYSTEMD_RUN_SCRIPT)?;
    script("loginctl", LOGINCTL_SCRIPT)?;
    for names in [&POWER[..], &AS_OTHERS[..]] {
        for name in &names[1..] {
            symlink(names[0], bin.join(name))?;
        }
    }
    Ok(())
}
