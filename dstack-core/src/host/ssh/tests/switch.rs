//! When a machine ends itself. All of it happens where no command can end this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::sealed::Sealed;
use crate::host::ssh::{UserData, user_data};
use crate::model::Span;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx4";
/// Makes an attempt that runs, as the processes of one look from outside.
const ATTEMPT: &str = r#"
dir=$HOME/.dstack/runner/attempts/a-0-1
mkdir -p "$dir"
sleep 600 & job=$!
read -r stat </proc/$job/stat
set -- ${stat##*) }
read -r boot </proc/sys/kernel/random/boot_id
echo "run 1 1 $job 1 1 $boot end" >"$dir/begun"
echo "$job ${20} end" >"$dir/sup"
"#;
/// A call of a controller.
const CONTACT: &str = r#"
contact() {
    read -r boot </proc/sys/kernel/random/boot_id
    read -r up rest </proc/uptime
    mkdir -p "$HOME/.dstack/runner"
    echo "${up%%.*} $boot" >"$HOME/.dstack/runner/contact"
}
"#;

fn data() -> UserData {
    let output = std::process::Command::new("id").arg("-un").output().expect("every system has it");
    let user = String::from_utf8(output.stdout).expect("it is text");
    let data = UserData::new(KEY, user.trim()).expect("both are good");
    data.with_contact_timeout(Span::from_secs(3)).with_result_hold(Span::from_secs(9))
}

fn run(test: &str, data: &UserData, fixture: &str) -> Option<Sealed> {
    Sealed::run(test, Some(&user_data(data)), fixture, "")
}

#[test]
fn a_first_look_finds_only_stand_ins_for_commands_that_end_machines() {
    // `run` itself proves it each time, before it runs anything else; here is nothing but the proof.
    let fixture = r#"for name in poweroff shutdown halt reboot; do "$name" now; done"#;
    let Some(mut sealed) = Sealed::run("the sealed place", None, fixture, "") else { return };
    for name in ["poweroff", "shutdown", "halt", "reboot"] {
        assert_eq!(sealed.event(), format!("{name} now"));
    }
}

#[test]
fn a_machine_that_nobody_calls_ends_itself_and_lets_the_key_in_before() {
    let Some(mut sealed) = run("the switch", &data(), "") else { return };
    let unit = sealed.event();
    assert!(unit.starts_with("systemd-run --unit=dstack-switch --collect --property=Restart=always"), "{unit}");
    assert_eq!(sealed.event(), "poweroff ");
    assert_eq!(sealed.event(), "poweroff ", "it is tried until it works");
    let keys = sealed.folder.path().join("home/.ssh/authorized_keys");
    assert_eq!(fs::read_to_string(&keys).expect("it was made"), format!("{KEY} dstack\n"));
    assert_eq!(fs::metadata(keys).expect("it was made").permissions().mode() & 0o777, 0o600);
}

#[test]
fn without_units_it_goes_on_in_the_background_and_without_poweroff_it_shuts_down() {
    let text = user_data(&data());
    let Some(mut sealed) = Sealed::run("the switch", Some(&text), "", "systemd-run poweroff") else { return };
    assert!(sealed.event().starts_with("systemd-run "));
    assert_eq!(sealed.event(), "poweroff ");
    assert_eq!(sealed.event(), "shutdown -P now");
}

#[test]
fn as_long_as_a_controller_calls_the_machine_stays() {
    let fixture =
        format!("{CONTACT}for n in 1 2 3 4 5 6 7 8 9 10 11 12; do contact; sleep 0.5; done; echo silent >$EVENTS");
    let Some(mut sealed) = run("the switch", &data(), &fixture) else { return };
    assert_eq!(sealed.event_but_units(), "silent");
    assert_eq!(sealed.event_but_units(), "poweroff ");
}

#[test]
fn as_long_as_an_attempt_runs_the_machine_stays() {
    let fixture = format!("{ATTEMPT}\nsleep 6; echo over >$EVENTS; kill $job");
    let Some(mut sealed) = run("the switch", &data(), &fixture) else { return };
    assert_eq!(sealed.event_but_units(), "over");
    assert_eq!(sealed.event_but_units(), "poweroff ");
}

#[test]
fn results_that_nobody_has_kept_hold_the_machine_for_a_while() {
    let fixture =
        format!("{ATTEMPT}\necho x >$dir/output; echo '0 exited 2 end' >$dir/exit; sleep 6; echo held >$EVENTS");
    let Some(mut sealed) = run("the switch", &data(), &fixture) else { return };
    assert_eq!(sealed.event_but_units(), "held");
    assert_eq!(sealed.event_but_units(), "poweroff ");
}

#[test]
fn results_that_were_released_hold_nothing() {
    let fixture = format!(
        "{ATTEMPT}\necho x >$dir/output; echo '0 exited 2 end' >$dir/exit; sleep 6; echo released >$EVENTS; rm $dir/output"
    );
    let data = data().with_result_hold(Span::from_mins(600));
    let Some(mut sealed) = run("the switch", &data, &fixture) else { return };
    assert_eq!(sealed.event_but_units(), "released");
    assert_eq!(sealed.event_but_units(), "poweroff ");
}

#[test]
fn at_its_longest_life_the_machine_ends_whatever_runs_and_whoever_calls() {
    let uptime = fs::read_to_string("/proc/uptime").expect("every system has it");
    let seconds: u64 = uptime.split('.').next().and_then(|text| text.parse().ok()).expect("it is a number");
    let fixture = format!("{ATTEMPT}{CONTACT}while :; do contact; sleep 0.5; done");
    let data = data().with_contact_timeout(Span::from_secs(100)).with_max_life(Span::from_secs(seconds + 6));
    let Some(mut sealed) = run("the switch", &data, &fixture) else { return };
    assert_eq!(sealed.event_but_units(), "poweroff ");
}

#[test]
fn what_a_user_writes_into_the_files_of_a_runner_is_never_read_as_shell_text() {
    let fixture = format!(
        "{ATTEMPT}\nread -r boot </proc/sys/kernel/random/boot_id\n\
         echo 'x[$(echo hacked >$EVENTS)] '$boot >$HOME/.dstack/runner/contact\n\
         echo 'run x[$(echo hacked >$EVENTS)] 1 1' >$dir/begun; echo '$(echo hacked >$EVENTS) 1 end' >$dir/sup"
    );
    let Some(mut sealed) = run("the switch", &data(), &fixture) else { return };
    assert_eq!(sealed.event_but_units(), "poweroff ");
}
