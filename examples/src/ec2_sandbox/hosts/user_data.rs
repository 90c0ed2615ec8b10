//! User data that the sandbox refuses to run.

use super::stand_ins::NAMES;

/// Names that reach past the stand-ins if they are called by a path.
const GUARDED: [&str; 3] = ["sysrq-trigger", "nsenter", "initctl"];

/// Why this user data is not run, if it is not: it names a command by its path that would end the machine itself.
pub(in super::super) fn user_data_fault(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    NAMES.iter().chain(&GUARDED).find(|name| names_by_path(&text, name)).map(|name| {
        format!(
            "The sandbox does not run user data that names {name} by its path: only the bare name is a stand-in here"
        )
    })
}

/// Whether `/NAME` stands in the text as the end of a path.
fn names_by_path(text: &str, name: &str) -> bool {
    let path = format!("/{name}");
    text.match_indices(&path).any(|(at, _)| {
        let next = text[at + path.len()..].chars().next();
        next.is_none_or(|next| !(next.is_alphanumeric() || ['_', '-', '.', '/'].contains(&next)))
    })
}

/// The interpreter's line of a script; `None` for user data that is none and is not run.
pub(super) fn interpreter(bytes: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.strip_prefix("#!")?.lines().next()?.trim();
    // As in the kernel: the program, and all the rest as one argument.
    let (program, argument) = line.split_once([' ', '\t']).map_or((line, ""), |(program, rest)| (program, rest.trim()));
    let words = [program, argument].into_iter().filter(|word| !word.is_empty()).map(str::to_owned);
    Some(words.collect::<Vec<_>>()).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_ends_the_machine_is_not_run_by_its_path() {
        for text in [
            "#!/bin/sh\n/sbin/poweroff",
            "exec /usr/sbin/shutdown -h now",
            "x=$(/usr/bin/systemctl poweroff)",
            "/bin/../sbin/halt;",
            "echo b > /proc/sysrq-trigger",
            "/usr/bin/sudo poweroff",
            "\"/sbin/reboot\"",
        ] {
            assert!(user_data_fault(text.as_bytes()).is_some(), "{text}");
        }
        for text in
            ["#!/bin/sh\npoweroff", "shutdown -P +15", "cat /etc/init.d/x", "ls /opt/shutdown-hooks", "/init_data"]
        {
            assert_eq!(user_data_fault(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_interpreter_is_read_as_the_kernel_reads_it() {
        assert_eq!(interpreter(b"#!/bin/bash -eu\nls"), Some(vec!["/bin/bash".into(), "-eu".into()]));
        assert_eq!(interpreter(b"#! /bin/sh\r\n"), Some(vec!["/bin/sh".into()]));
        assert_eq!(interpreter(b"#cloud-config\n"), None);
        assert_eq!(interpreter(b""), None);
    }
}
