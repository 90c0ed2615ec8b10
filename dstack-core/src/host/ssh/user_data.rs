//! What a machine is told at its first boot: whom to let in, and when to end itself.

use super::address::is_user;
use super::keys::is_public_key;
use super::protocol::without_comments;
use crate::model::Span;

/// Ends a machine that nobody needs.
const SWITCH: &str = include_str!("switch.sh");
/// Arms the switch and lets the key in.
const ARM: &str = include_str!("arm.sh");
/// The line after the switch's text.
const SWITCH_END: &str = "#end-of-switch";

/// How long no controller need call while nothing runs.
const CONTACT_TIMEOUT: Span = Span::from_mins(15);
/// How long results that nobody has kept are held.
const RESULT_HOLD: Span = Span::from_mins(12 * 60);
/// The longest life of a machine.
const MAX_LIFE: Span = Span::from_mins(7 * 24 * 60);
/// The longest span that is told to a machine, in seconds.
const LONGEST_SECONDS: u64 = 1_000_000_000;
/// How often the switch looks at most and at least, in seconds.
const EVERY_SECONDS: (u64, u64) = (1, 30);

/// Why this cannot be told to a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserDataError {
    /// The key is not one line of type and base64.
    #[error("{0:?} is not a public key")]
    PublicKey(String),
    /// No user can have this name.
    #[error("{0:?} is not the name of a user to log in as")]
    User(String),
}

/// What differs between the machines that are told something. There is no secret in it, nor room for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    public_key: String,
    user: String,
    contact_timeout: Span,
    result_hold: Span,
    max_life: Span,
}

impl UserData {
    /// Lets this public key (its type and the key, as [`SshHost::public_key`](super::SshHost::public_key) gives it) in as
    /// this user. The machine ends itself when no controller called for 15 minutes while nothing ran, when results that
    /// nobody has kept are 12 hours old, or when it is 7 days old.
    ///
    /// # Errors
    /// When the key or the name is none.
    pub fn new(public_key: &str, user: &str) -> Result<Self, UserDataError> {
        if !is_public_key(public_key) {
            return Err(UserDataError::PublicKey(public_key.chars().take(100).collect()));
        }
        if !is_user(user) {
            return Err(UserDataError::User(user.chars().take(100).collect()));
        }
        Ok(Self {
            public_key: public_key.to_owned(),
            user: user.to_owned(),
            contact_timeout: CONTACT_TIMEOUT,
            result_hold: RESULT_HOLD,
            max_life: MAX_LIFE,
        })
    }

    /// With another time for which results that nobody has kept are held: a setting of the log.
    pub fn with_result_hold(self, result_hold: Span) -> Self {
        Self { result_hold, ..self }
    }

    /// With another time without calls, while nothing runs, after which the machine ends itself.
    pub fn with_contact_timeout(self, contact_timeout: Span) -> Self {
        Self { contact_timeout, ..self }
    }

    /// With another longest life.
    pub fn with_max_life(self, max_life: Span) -> Self {
        Self { max_life, ..self }
    }
}

/// The script that a machine runs at its first boot, as its owner or as the user himself. The same data give the same text,
/// which is below 16 KB.
///
/// Commands that end the machine or make units are called by their bare names.
pub fn user_data(data: &UserData) -> String {
    let seconds = |span: Span| span.to_std().as_secs().min(LONGEST_SECONDS);
    let contact_timeout = seconds(data.contact_timeout);
    let every = (contact_timeout / 20).clamp(EVERY_SECONDS.0, EVERY_SECONDS.1);
    // The values were checked when they were taken: none holds a quote.
    let values = format!(
        "#!/bin/sh\nuser='{}'\npublic_key='{} dstack'\ncontact_timeout={contact_timeout}\nresult_hold={}\nmax_life={}\n\
         every={every}\n",
        data.user,
        data.public_key,
        seconds(data.result_hold),
        seconds(data.max_life),
    );
    let arm = without_comments(ARM).replace(
        "chmod 700 \"$place\"\n",
        &format!(
            "chmod 700 \"$place\"\ncat >\"$place/switch\" <<'{SWITCH_END}'\n{}{SWITCH_END}\n",
            without_comments(SWITCH)
        ),
    );
    values + &arm
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx4";

    #[test]
    fn it_is_small_the_same_each_time_and_names_no_command_that_ends_a_machine_by_its_path() {
        let data = UserData::new(KEY, "ubuntu").expect("both are good");
        let text = user_data(&data);
        assert_eq!(text, user_data(&data));
        assert!(text.len() < 16 * 1024, "{} bytes", text.len());
        assert!(text.starts_with("#!/bin/sh\nuser='ubuntu'\n"), "{text}");
        assert_eq!(text.matches(SWITCH_END).count(), 2);
        for (number, line) in text.lines().enumerate() {
            for name in ["poweroff", "shutdown", "systemctl", "systemd-run", "halt", "reboot"] {
                assert!(!line.contains(&format!("/{name}")), "line {number}: {line}");
            }
        }
        let settings = data.with_result_hold(Span::from_secs(1)).with_max_life(Span::from_secs(2));
        assert!(user_data(&settings).contains("result_hold=1\nmax_life=2\n"));
    }

    #[test]
    fn a_key_or_name_with_shell_text_in_it_is_refused() {
        for key in ["", "ssh-ed25519 AAAA'; poweroff; '", "ssh-ed25519 A\nB", "ssh-ed25519 $(id)"] {
            assert!(matches!(UserData::new(key, "ubuntu"), Err(UserDataError::PublicKey(_))), "{key:?}");
        }
        for user in ["", "a b", "'", "$(id)", "-x", "a\nb"] {
            assert!(matches!(UserData::new(KEY, user), Err(UserDataError::User(_))), "{user:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_gets_out_of_its_quotes(key in "\\PC{0,60}", user in "\\PC{0,20}") {
            if let Ok(data) = UserData::new(&key, &user) {
                let plain = user_data(&UserData::new(KEY, "ubuntu").expect("both are good"));
                let text = user_data(&data);
                prop_assert_eq!(text.lines().count(), plain.lines().count());
                prop_assert_eq!(text.matches('\'').count(), plain.matches('\'').count());
            }
        }
    }
}
