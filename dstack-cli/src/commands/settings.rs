//! `dstack autoscale set`, and what is set as `autoscale info` shows it.

use std::net::Ipv4Addr;

use dstack_core::model::{Command, LaunchOptions, Settings, Span};
use serde_json::{Value, json};

use crate::app::App;
use crate::background;
use crate::cli::{SetArgs, SshPort};
use crate::failure::{Failure, refused};
use crate::print;

/// What takes a setting back.
const DEFAULT: &str = "default";

/// No machine boots in less.
const BOOT_MIN: Span = Span::from_secs(10);
/// The longest that a runner lives: its own limit.
const LONGEST: Span = Span::from_mins(7 * 24 * 60);

pub(super) async fn set(app: &App, args: SetArgs) -> Result<(), Failure> {
    let (mut client, _) = app.write().await?;
    let settings = changed(client.state().settings().clone(), args)?;
    let records = client.command(Command::Set(settings)).await?;
    print::say(if records.is_empty() { "nothing has changed" } else { "settings are changed" });
    let head = client.refresh().await?;
    background::ensure(&app.home, client.state(), head.now)?;
    Ok(())
}

fn changed(mut settings: Settings, args: SetArgs) -> Result<Settings, Failure> {
    if let Some(span) = args.idle_timeout {
        settings.idle_timeout = within("--idle-timeout", span, Span::ZERO, LONGEST)?;
    }
    if let Some(span) = args.boot_timeout {
        settings.boot_timeout = within("--boot-timeout", span, BOOT_MIN, LONGEST)?;
    }
    if let Some(image) = args.image {
        settings.image = given(image).map(checked_image).transpose()?;
    }
    let launch = &mut settings.launch;
    if let Some(span) = args.result_hold {
        launch.result_hold = within("--result-hold", span, Span::ZERO, LONGEST)?;
    }
    if let Some(SshPort(port)) = args.ssh_port {
        launch.ssh_port = port;
    }
    if let Some(user) = args.ssh_user {
        launch.ssh_user = given(user).map(checked_user).transpose()?;
    }
    if let Some(block) = args.ssh_from {
        launch.ssh_from = given(block).map(|text| checked_block(&text)).transpose()?;
    }
    Ok(settings)
}

/// A length of time that makes sense there.
fn within(flag: &str, span: Span, least: Span, most: Span) -> Result<Span, Failure> {
    if span < least {
        return Err(Failure::Usage(format!("`{flag} {span}` would give every runner up: write {least} or more")));
    }
    if span > most {
        return Err(Failure::Usage(format!("`{flag} {span}` is longer than any runner lives: write {most} or less")));
    }
    Ok(span)
}

/// An image's id. Whether there is one of this id is known when a machine is launched.
fn checked_image(image: String) -> Result<String, Failure> {
    let is_hexadecimal = |digits: &str| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // The ids of 2016 and before are shorter.
    let is_id = |digits: &str| matches!(digits.len(), 8 | 17) && is_hexadecimal(digits);
    if image.strip_prefix("ami-").is_some_and(is_id) {
        return Ok(image);
    }
    Err(refused(format!("{image:?} is no image: write its id, such as ami-0123456789abcdef0, or `{DEFAULT}`")))
}

fn given(text: String) -> Option<String> {
    (text != DEFAULT).then_some(text)
}

fn checked_user(user: String) -> Result<String, Failure> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = !user.is_empty() && user.len() <= 32 && user.bytes().all(is_word);
    if is_name && !user.starts_with('-') {
        return Ok(user);
    }
    Err(refused(format!("{user:?} is no name of a user: write one such as ec2-user")))
}

/// A block of IPv4 addresses, or one of them. One that lets the whole world in is taken, and said loudly.
fn checked_block(text: &str) -> Result<String, Failure> {
    let wrong = || refused(format!("{text:?} is no block of IPv4 addresses: write 203.0.113.7/32, or `{DEFAULT}`"));
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|length| is_number && *length <= 32).ok_or_else(wrong)?;
    if length == 0 {
        print::warn("the SSH servers of runners can be reached from everywhere: only their key keeps others out");
    }
    Ok(format!("{address}/{length}"))
}

pub(super) fn document(settings: &Settings) -> Value {
    let LaunchOptions { result_hold, ssh_port, ssh_user, ssh_from } = &settings.launch;
    json!({
        "idle_timeout": settings.idle_timeout.to_string(),
        "boot_timeout": settings.boot_timeout.to_string(),
        "launch_timeout": settings.launch_timeout.to_string(),
        "stop_grace": settings.stop_grace.to_string(),
        "max_losses": settings.max_losses,
        "max_interruptions": settings.max_interruptions,
        "image": settings.image,
        "result_hold": result_hold.to_string(),
        "ssh_port": ssh_port,
        "ssh_user": ssh_user,
        "ssh_from": ssh_from,
    })
}

pub(super) fn lines(settings: &Settings) -> String {
    let Settings {
        idle_timeout,
        boot_timeout,
        launch_timeout,
        stop_grace,
        max_losses,
        max_interruptions,
        image,
        launch,
    } = settings;
    let LaunchOptions { result_hold, ssh_port, ssh_user, ssh_from } = launch;
    let or_default = |value: Option<String>| value.unwrap_or_else(|| DEFAULT.to_owned());
    let all = [
        ("idle timeout", idle_timeout.to_string()),
        ("boot timeout", boot_timeout.to_string()),
        ("launch timeout", launch_timeout.to_string()),
        ("stop grace", stop_grace.to_string()),
        ("losses at most", max_losses.to_string()),
        ("interruptions at most", max_interruptions.to_string()),
        ("image", or_default(image.clone())),
        ("result hold", result_hold.to_string()),
        ("ssh port", or_default(ssh_port.map(|port| port.to_string()))),
        ("ssh user", or_default(ssh_user.clone())),
        ("ssh from", or_default(ssh_from.clone())),
    ];
    all.iter().map(|(name, value)| format!("{name:<21}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_ipv4_addresses_and_single_ones_are_taken_and_nothing_else_is() {
        for (given, kept) in [
            ("203.0.113.7/32", "203.0.113.7/32"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.0/08", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(checked_block(given).expect("it is one"), kept);
        }
        for bad in [
            "::/0",
            "2001:db8::/64",
            "::1",
            "::ffff:10.0.0.1/32",
            "10.0.0.0/33",
            "10.0.0.0/",
            "/8",
            "10.0.0/8",
            "host/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/ 8",
            "10.0.0.0/8/8",
            "010.0.0.1/32",
            "",
        ] {
            assert!(checked_block(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn images_and_lengths_of_time_that_make_no_sense_are_refused() {
        for good in ["ami-0123456789abcdef0", "ami-0abcdef1"] {
            assert!(checked_image(good.to_owned()).is_ok(), "{good}");
        }
        for bad in
            ["", "foo", "ami-", "ami-0123456789ABCDEF0", "ami-0123", "i-0123456789abcdef0", "a b", "-x", "\n", "é"]
        {
            assert!(checked_image(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(within("--boot-timeout", Span::from_secs(9), BOOT_MIN, LONGEST).is_err());
        assert!(within("--boot-timeout", Span::from_secs(10), BOOT_MIN, LONGEST).is_ok());
        assert!(within("--idle-timeout", Span::from_mins(8 * 24 * 60), Span::ZERO, LONGEST).is_err());
    }

    #[test]
    fn users_that_could_be_an_option_or_a_command_are_refused() {
        assert_eq!(checked_user("ec2-user".to_owned()).expect("it is one"), "ec2-user");
        for bad in ["-oProxyCommand=x", "", "a b", "a;b", "a@b", "é"] {
            assert!(checked_user(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
