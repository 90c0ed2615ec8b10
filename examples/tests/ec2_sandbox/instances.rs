//! Instances that are processes: SSH, user data, and what must not be reached from them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use examples::ec2_sandbox::{Options, Sandbox};

use super::client::{Client, quick, skipped, started, state_of, until};

const NAMES: [&str; 12] = [
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
    "su",
    "runuser",
];

/// A sandbox with real instances, and a key that they let in; `None`, said loudly, where there is no SSH to try.
struct Real {
    sandbox: Sandbox,
    client: Client,
    folder: tempfile::TempDir,
}

impl Real {
    fn start() -> Option<Self> {
        let has_server =
            ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].iter().any(|path| Path::new(path).exists());
        if !has_server || Command::new("ssh").arg("-V").output().is_err() {
            skipped("this machine has no OpenSSH server and client, so instances were NOT tried.");
            return None;
        }
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let machines = folder.path().join("machines");
        fs::create_dir(&machines).expect("the folder is ours");
        let options = Options { machines: examples::ec2_sandbox::Machines::Sshd, folder: Some(machines), ..quick() };
        let (sandbox, client) = started(options);
        let real = Self { sandbox, client, folder };
        let key = real.key();
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.expect("it comes with ssh").success());
        let public = fs::read(key.with_extension("pub")).expect("it was just made");
        let imported =
            real.client.asked("ImportKeyPair", &[("KeyName", "key"), ("PublicKeyMaterial", &base64(&public))]);
        assert_eq!(imported.status, 200, "{}", imported.body);
        let group = [("GroupName", "default"), ("IpProtocol", "tcp"), ("FromPort", "22"), ("ToPort", "22")];
        let opened =
            real.client.asked("AuthorizeSecurityGroupIngress", &[&group[..], &[("CidrIp", "127.0.0.1/32")]].concat());
        assert_eq!(opened.status, 200, "{}", opened.body);
        Some(real)
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// A running instance: its id and address.
    fn instance(&self, user_data: &str, more: &[(&str, &str)]) -> (String, String) {
        let data = base64(user_data.as_bytes());
        let common =
            [("KeyName", "key"), ("UserData", data.as_str()), ("InstanceInitiatedShutdownBehavior", "terminate")];
        let id = self.client.launched(&[&common[..], more].concat());
        let address = until("its address", || self.client.seen(&id).1);
        (id, address)
    }

    fn ssh(&self, address: &str, command: &str) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ]);
        ssh.args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "-i"]).arg(self.key());
        ssh.args(["-p", &self.sandbox.ssh_port().to_string(), "-l", self.sandbox.ssh_user(), address, command]);
        ssh.output().expect("there is an ssh")
    }

    /// What a command prints, once the instance lets us in.
    fn printed(&self, address: &str, command: &str) -> String {
        let mut refusals = BTreeSet::new();
        for _ in 0..300 {
            let output = self.ssh(address, command);
            if output.status.code() != Some(255) {
                return String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
            refusals.insert(String::from_utf8_lossy(&output.stderr).into_owned());
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{address} lets nobody in: {refusals:?}, {:?}", self.sandbox.state());
    }

    fn console(&self, id: &str) -> String {
        let text = self.client.asked("GetConsoleOutput", &[("InstanceId", id)]).text("output").unwrap_or_default();
        let mut command = Command::new("base64");
        let child = command.arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("there is a base64");
        std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), text.as_bytes()).expect("it reads");
        String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).into_owned()
    }

    fn processes_of(&self, id: &str) -> Vec<String> {
        processes_in(self.folder.path(), id)
    }

    fn folder_of(&self, id: &str) -> Option<PathBuf> {
        let roots = fs::read_dir(self.folder.path().join("machines")).expect("the folder is ours");
        roots.flatten().map(|root| root.path().join(id)).find(|path| path.exists())
    }
}

fn base64(bytes: &[u8]) -> String {
    let path = tempfile::NamedTempFile::new().expect("there is room for a file");
    fs::write(path.path(), bytes).expect("the file is ours");
    let output = Command::new("base64").args(["-w", "0"]).arg(path.path()).output().expect("there is a base64");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Processes that are this instance's in our sandbox, by their environment or by their command line: another sandbox may have
/// one of the same id.
fn processes_in(folder: &Path, id: &str) -> Vec<String> {
    let text = |path: &Path, name| String::from_utf8_lossy(&fs::read(path.join(name)).unwrap_or_default()).into_owned();
    let is_of = |text: &str| text.contains(&*folder.to_string_lossy()) && text.contains(id);
    let all = fs::read_dir("/proc").expect("this is Linux").flatten().map(|entry| entry.path());
    let rows = all.map(|path| (text(&path, "environ"), text(&path, "cmdline")));
    rows.filter(|(environ, line)| !line.is_empty() && (is_of(environ) || is_of(line))).map(|(_, line)| line).collect()
}

#[test]
fn user_data_and_sessions_find_the_stand_ins_and_not_the_machines_own_commands() {
    let Some(real) = Real::start() else { return };
    let ask = format!("for name in {}; do command -v $name; done; pwd", NAMES.join(" "));
    let (id, address) = real.instance(&format!("#!/bin/sh\n{ask}\n"), &[]);
    let root = real.folder_of(&id).expect("it runs");
    let mut expected: Vec<String> =
        NAMES.iter().map(|name| root.join("bin").join(name).display().to_string()).collect();
    expected.push(root.join("home").display().to_string());
    let expected = expected.join("\n");
    assert_eq!(
        until("the console", || Some(real.console(&id)).filter(|text| text.lines().count() > NAMES.len())).trim(),
        expected
    );
    assert_eq!(real.printed(&address, &ask), expected);
    assert_eq!(real.printed(&address, &format!("bash -lc '{ask}'")), expected);
    assert_eq!(real.printed(&address, &format!("sudo -n sh -c '{ask}'")), expected);
}

#[test]
fn a_command_over_ssh_runs_in_the_instances_own_home_and_its_exit_code_comes_back() {
    let Some(real) = Real::start() else { return };
    let (id, address) = real.instance("#!/bin/sh\necho made > made-at-boot\n", &[]);
    until("the boot", || Some(real.printed(&address, "cat made-at-boot")).filter(|text| text == "made"));
    assert_eq!(real.ssh(&address, "exit 37").status.code(), Some(37));
    let home = real.folder_of(&id).expect("it runs").join("home");
    assert_eq!(real.printed(&address, "echo $HOME"), home.display().to_string());
    let (other, second) = real.instance("", &[]);
    assert_ne!((id, address), (other, second.clone()));
    assert_eq!(real.printed(&second, "ls made-at-boot 2>&1 | wc -l; ls"), "1");
}

#[test]
fn an_instance_that_no_group_lets_us_into_runs_and_answers_once_one_does() {
    let Some(real) = Real::start() else { return };
    let made = real.client.asked("CreateSecurityGroup", &[("GroupName", "closed"), ("GroupDescription", "d")]);
    let group = made.text("groupId").expect("it is made");
    let (id, address) = real.instance("#!/bin/sh\necho booted\n", &[("SecurityGroupId.1", &group)]);
    until("the boot", || Some(real.console(&id)).filter(|text| text.contains("booted")));
    assert_eq!(real.ssh(&address, "true").status.code(), Some(255));
    let rule = [("GroupId", group.as_str()), ("IpProtocol", "tcp"), ("FromPort", "22"), ("ToPort", "22")];
    real.client.asked("AuthorizeSecurityGroupIngress", &[&rule[..], &[("CidrIp", "127.0.0.1/32")]].concat());
    assert_eq!(real.printed(&address, "echo in"), "in");
}

#[test]
fn a_reboot_keeps_the_host_key_and_the_home_and_runs_no_user_data_again_and_a_rekey_changes_the_key() {
    let Some(real) = Real::start() else { return };
    let (id, address) = real.instance("#!/bin/sh\necho booted >>boots\n", &[]);
    let key = || fs::read_to_string(real.folder_of(&id)?.join("etc/host_key.pub")).ok();
    until("the boot", || Some(real.printed(&address, "cat boots")).filter(|text| text == "booted"));
    let first = key();
    real.printed(&address, "setsid sleep 600 </dev/null >/dev/null 2>&1 &");
    let count = || real.processes_of(&id).iter().filter(|line| line.starts_with("sleep\u{0}600")).count();
    until("the sleep", || (count() == 1).then_some(()));
    let _cut = real.ssh(&address, "reboot");
    until("the end of what ran", || (count() == 0).then_some(()));
    assert_eq!((real.printed(&address, "cat boots"), key()), ("booted".into(), first.clone()));
    let told = real.client.http("POST", &format!("/sandbox/rekey?instance={id}"), "").expect("it is answered");
    assert_eq!(told.status, 200, "{}", told.body);
    until("another key", || key().filter(|key| Some(key) != first.as_ref()));
    assert_eq!(real.printed(&address, "echo in"), "in");
    assert_eq!(state_of(&real.sandbox.state(), &id), "running");
}

#[test]
fn what_systemd_run_starts_outlives_its_session_and_systemctl_knows_it() {
    let Some(real) = Real::start() else { return };
    let (id, address) = real.instance("", &[]);
    real.printed(&address, "systemd-run --unit=job --collect -p KillMode=mixed -- sh -c 'sleep 600; true'");
    let is_active = || real.printed(&address, "systemctl is-active job.service");
    until("its start", || (is_active() == "active").then_some(()));
    let pid = real.printed(&address, "systemctl show -p MainPID job");
    assert!(pid.strip_prefix("MainPID=").is_some_and(|pid| Path::new("/proc").join(pid).exists()), "{pid}");
    assert_eq!(real.printed(&address, "systemd-run --wait --pipe echo waited"), "waited");
    real.printed(&address, "systemctl stop job");
    assert_eq!(is_active(), "inactive");
    real.printed(&address, "shutdown -P +10; shutdown -c; shutdown -P +20");
    assert_eq!(state_of(&real.sandbox.state(), &id), "running");
}

#[test]
fn an_instance_that_is_ended_while_it_comes_up_leaves_no_process_either() {
    for _ in 0..8 {
        let Some(real) = Real::start() else { return };
        let id = real.client.launched(&[("KeyName", "key")]);
        until("its first process", || (!real.processes_of(&id).is_empty()).then_some(()));
        let Real { sandbox, folder, .. } = real;
        sandbox.stop();
        assert_eq!(processes_in(folder.path(), &id), Vec::<String>::new());
    }
}

#[test]
fn two_sandboxes_that_give_the_same_ids_leave_each_others_instances_alone() {
    let (Some(real), Some(other)) = (Real::start(), Real::start()) else { return };
    let (id, address) = real.instance("", &[]);
    let (same, _) = other.instance("#!/bin/sh\nexec sleep 600\n", &[]);
    assert_eq!(id, same, "both have the same seed");
    until("the boot", || (other.processes_of(&same).len() >= 2).then_some(()));
    real.printed(&address, "true");
    real.client.asked("TerminateInstances", &[("InstanceId.1", &id)]);
    until("its end", || real.processes_of(&id).is_empty().then_some(()));
    assert!(other.processes_of(&same).iter().any(|line| line.contains("sleep")));
}

#[test]
fn termination_ends_every_process_and_takes_the_folder_away() {
    let Some(real) = Real::start() else { return };
    let (id, address) =
        real.instance("#!/bin/sh\nsetsid sleep 600 &\nnohup sh -c 'trap \"\" TERM; sleep 601' &\nwait\n", &[]);
    real.printed(&address, "setsid nohup sleep 602 >/dev/null 2>&1 </dev/null & echo started");
    until("its processes", || {
        (real.processes_of(&id).iter().filter(|line| line.contains("sleep")).count() >= 3).then_some(())
    });
    real.client.asked("TerminateInstances", &[("InstanceId.1", &id)]);
    until("its end", || (real.processes_of(&id).is_empty() && real.folder_of(&id).is_none()).then_some(()));
    assert_eq!(real.ssh(&address, "true").status.code(), Some(255));
}

#[test]
fn poweroff_ends_the_one_instance_as_ec2_tells_of_it() {
    let Some(real) = Real::start() else { return };
    for command in
        ["poweroff", "sudo shutdown -P now", "systemctl poweroff", "systemd-run --on-active=1s poweroff", "init 0"]
    {
        let (id, address) = real.instance("", &[]);
        let (other, _) = real.instance("", &[]);
        real.printed(&address, "true");
        // The session may end with its instance before it has said anything.
        let _cut = real.ssh(&address, command);
        until(command, || (state_of(&real.sandbox.state(), &id) == "terminated").then_some(()));
        let answer = real.client.asked("DescribeInstances", &[("InstanceId.1", &id)]);
        assert!(
            answer.texts("code").contains(&"Client.InstanceInitiatedShutdown".to_owned()),
            "{command}: {}",
            answer.body
        );
        assert_eq!(state_of(&real.sandbox.state(), &other), "running", "{command}");
        until("its processes", || real.processes_of(&id).is_empty().then_some(()));
        real.client.asked("TerminateInstances", &[("InstanceId.1", &other)]);
    }
}

#[test]
fn poweroff_only_stops_an_instance_that_was_launched_so_and_halt_does_not_even_that() {
    let Some(real) = Real::start() else { return };
    let stops = [("InstanceInitiatedShutdownBehavior", "stop")];
    let data = base64(b"#!/bin/sh\npoweroff\n");
    let id = real.client.launched(&[&stops[..], &[("UserData", &data)]].concat());
    until("the stop", || (state_of(&real.sandbox.state(), &id) == "stopped").then_some(()));
    let (halted, _) = real.instance("#!/bin/sh\nhalt\n", &[]);
    until("the halt", || real.processes_of(&halted).is_empty().then_some(()));
    assert_eq!(state_of(&real.sandbox.state(), &halted), "running");
}

#[test]
fn user_data_that_names_a_real_command_by_its_path_is_refused_before_anything_starts() {
    let Some(real) = Real::start() else { return };
    let data = base64(b"#!/bin/sh\nexec /usr/sbin/poweroff\n");
    let answer = real.client.launch(&[("UserData", &data)]).expect("the call is answered");
    assert_eq!(answer.refusal(), (400, "InvalidUserData.Malformed".into()));
    assert!(real.sandbox.state().instances.is_empty());
}

#[test]
fn a_spot_notice_is_seen_on_the_instance_and_kept() {
    let Some(real) = Real::start() else { return };
    let (id, address) = real.instance("", &[("InstanceMarketOptions.MarketType", "spot")]);
    let curl = "e=$AWS_EC2_METADATA_SERVICE_ENDPOINT; \
         t=$(curl -s --noproxy '*' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $e/latest/api/token); \
         curl -s --noproxy '*' -H \"X-aws-ec2-metadata-token: $t\" $e/latest/meta-data/spot/instance-action; \
         curl -s --noproxy '*' -o /dev/null -w ' %{http_code}' $e/latest/meta-data/spot/instance-action";
    let has_curl = Command::new("curl").arg("-V").output().is_ok();
    if has_curl {
        assert_eq!(real.printed(&address, curl), "401");
    }
    let told =
        real.client.http("POST", &format!("/sandbox/interrupt?instance={id}&notice=3"), "").expect("it is answered");
    assert_eq!(told.status, 200, "{}", told.body);
    let file =
        until("the file", || Some(real.printed(&address, "cat spot-instance-action")).filter(|text| !text.is_empty()));
    assert!(file.starts_with("{\"action\": \"terminate\", \"time\": \"20"), "{file}");
    if has_curl {
        assert_eq!(real.printed(&address, curl), format!("{file} 401"));
    }
    until("its end", || (state_of(&real.sandbox.state(), &id) == "terminated").then_some(()));
    let (other, _) = real.instance("", &[("InstanceMarketOptions.MarketType", "spot")]);
    real.sandbox.interrupt(&other, None).expect("it is spot, and lives");
    until("its end", || (state_of(&real.sandbox.state(), &other) == "terminated").then_some(()));
    assert!(real.sandbox.interrupt(&other, None).is_err());
}

#[test]
fn a_sandbox_that_is_stopped_leaves_nothing_behind() {
    let Some(real) = Real::start() else { return };
    let (id, address) = real.instance("#!/bin/sh\nsleep 600\n", &[]);
    real.printed(&address, "true");
    assert!(!real.processes_of(&id).is_empty());
    let Real { sandbox, folder, .. } = real;
    sandbox.stop();
    assert_eq!(processes_in(folder.path(), &id), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder.path().join("machines")).expect("the folder is ours").count(), 0);
}
