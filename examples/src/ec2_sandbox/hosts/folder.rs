//! An instance's folder: its home, its configuration, and what starts its processes.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::processes::{MARK, serves};
use super::stand_ins::{self, NAMES};
use super::tools::Tools;
use super::user_data::interpreter;

/// What an instance is made from.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) root: PathBuf,
    pub(super) address: Ipv4Addr,
    pub(super) ssh_port: u16,
    pub(super) user: String,
    pub(super) imds_port: u16,
    pub(super) user_data: Vec<u8>,
    pub(super) public_key: Option<String>,
}

/// The process that stands for the machine. Its stdin is the sandbox's: when that is gone, so is the instance.
const INIT_SCRIPT: &str = r#"#!/bin/sh
root='@ROOT@'
echo $$ >"$root/init.pid"
[ -e "$root/etc/host_key" ] || '@KEYGEN@' -q -t ed25519 -N '' -C '' -f "$root/etc/host_key" </dev/null
# Its security groups decide whether anybody reaches it: the sandbox makes this file when one lets us in.
(
    until [ -e "$root/open" ]; do sleep 0.1; done
    exec '@SSHD@' -D -e -f "$root/etc/sshd_config"
) </dev/null >>"$root/log/sshd.log" 2>&1 &
if [ -e "$root/etc/boot" ] && [ ! -e "$root/booted" ]; then
    : >"$root/booted"
    setsid /bin/sh "$root/etc/boot" </dev/null >>"$root/log/console.log" 2>&1 &
fi
read -r never
# The sandbox itself is gone: nothing of this instance stays. What starts others while it is killed is found the next time.
listener=$(cat "$root/sshd.pid")
[ -z "$listener" ] || kill -9 "$listener" $(cat "/proc/$listener/task/$listener/children")
found=yes
while [ -n "$found" ]; do
    found=
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        [ "$pid" != "$$" ] || continue
        grep -qs '@MARK@' "$process/environ" || grep -qs "^sshd: .*$root/etc/sshd_config" "$process/cmdline" || continue
        kill -9 "$pid" && found=yes
    done
done
rm -rf "$root"
"#;

/// Runs the user data once, having seen that no command of the machine itself can be meant.
const BOOT_SCRIPT: &str = r#"cd "$HOME" || exit 1
for name in @NAMES@; do
    found=$(command -v "$name")
    [ "$found" = '@ROOT@/bin/'"$name" ] || {
        echo "the sandbox does not run this user data: $name would be $found" >&2
        exit 97
    }
done
exec @COMMAND@
"#;

/// What a session over SSH begins with: the instance's own home, whatever the user's is.
const ENTER_SCRIPT: &str = r#"#!/bin/sh
cd "$HOME" || exit 1
command=${SSH_ORIGINAL_COMMAND-}
unset SSH_ORIGINAL_COMMAND
case $command in
'') exec /bin/sh ;;
internal-sftp*) exec '@SFTP@' ;;
*) exec /bin/sh -c "$command" ;;
esac
"#;

impl Plan {
    /// PATH of everything that runs on the instance.
    pub(super) fn path(&self) -> String {
        format!("{}/bin:/usr/bin:/bin", self.root.display())
    }

    /// The environment of everything that runs on the instance, all of it.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let root = self.root.display();
        vec![
            ("PATH", self.path()),
            ("HOME", format!("{root}/home")),
            ("TMPDIR", format!("{root}/tmp")),
            ("USER", self.user.clone()),
            ("LOGNAME", self.user.clone()),
            ("SHELL", "/bin/sh".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("DSTACK_SANDBOX_INSTANCE", self.id.clone()),
            (MARK, root.to_string()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}:{}", self.address, self.imds_port)),
        ]
    }

    /// Makes the folder and all that is in it.
    pub(super) fn make(&self, tools: &Tools) -> io::Result<()> {
        let root = &self.root;
        for folder in ["home/.ssh", "etc", "log", "tmp", "units"] {
            fs::create_dir_all(root.join(folder))?;
        }
        for folder in ["home", "home/.ssh", "tmp"] {
            fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o700))?;
        }
        stand_ins::write(root)?;
        // A login shell reads the machine's own profile, which sets another PATH; then it reads these.
        let profile = format!("PATH='{}'\nexport PATH\n", self.path());
        for name in [".profile", ".bash_profile", ".zprofile", ".zshenv"] {
            fs::write(root.join("home").join(name), &profile)?;
        }
        self.script("etc/init", INIT_SCRIPT, tools)?;
        self.script("etc/enter", ENTER_SCRIPT, tools)?;
        fs::write(root.join("etc/sshd_config"), self.sshd_config(tools))?;
        fs::write(root.join("etc/key_pair"), self.public_key.clone().unwrap_or_default() + "\n")?;
        fs::write(root.join("etc/user-data"), &self.user_data)?;
        if let Some(words) = interpreter(&self.user_data) {
            let command: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let command = format!("{} {}", command.join(" "), quoted(&root.join("etc/user-data").to_string_lossy()));
            let boot = BOOT_SCRIPT.replace("@NAMES@", &NAMES.join(" ")).replace("@COMMAND@", &command);
            self.script("etc/boot", &boot, tools)?;
        }
        Ok(())
    }

    fn script(&self, name: &str, text: &str, tools: &Tools) -> io::Result<()> {
        let shown = |path: Option<&Path>| path.map_or_else(|| "/bin/false".into(), |path| path.display().to_string());
        let text = text
            .replace("@ROOT@", &self.root.to_string_lossy())
            .replace("@KEYGEN@", &shown(Some(&tools.ssh_keygen)))
            .replace("@SSHD@", &shown(Some(&tools.sshd)))
            .replace("@SFTP@", &shown(tools.sftp_server.as_deref()))
            .replace("@MARK@", &format!("{MARK}={}", self.root.display()));
        let path = self.root.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    }

    fn sshd_config(&self, tools: &Tools) -> String {
        let root = self.root.display();
        let set: Vec<String> = self.environment().iter().map(|(name, value)| format!("\"{name}={value}\"")).collect();
        format!(
            "ListenAddress {}:{}\n\
             HostKey {root}/etc/host_key\n\
             PidFile {root}/sshd.pid\n\
             AuthorizedKeysFile {root}/home/.ssh/authorized_keys {root}/etc/key_pair\n\
             StrictModes no\n\
             UsePAM no\n\
             UseDNS no\n\
             LoginGraceTime 20\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\n\
             PermitUserRC no\n\
             X11Forwarding no\n\
             PrintMotd no\n\
             PrintLastLog no\n\
             MaxSessions 1000\n\
             MaxStartups 200:30:400\n\
             Subsystem sftp internal-sftp\n\
             ForceCommand {root}/etc/enter\n\
             SetEnv {}\n\
             {}",
            self.address,
            self.ssh_port,
            set.join(" "),
            tools.extra
        )
    }
}

/// Asks an instance to end in this way, as its stand-ins do. Whether there was one to ask.
pub(in super::super) fn ask(root: &Path, verb: &str) -> bool {
    let number = fs::read_to_string(root.join("init.pid")).ok().and_then(|text| text.trim().parse().ok());
    let Some(init) = number.and_then(Pid::from_raw).filter(|pid| serves(pid.as_raw_nonzero().get(), root)) else {
        return false;
    };
    fs::write(root.join("power"), verb).is_ok() && kill_process(init, Signal::TERM).is_ok()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
