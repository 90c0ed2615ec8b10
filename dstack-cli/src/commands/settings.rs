//! `dstack autoscale set`, and what is set as `autoscale info` shows it.

use std::net::IpAddr;

use dstack_core::model::{Command, LaunchOptions, Settings, Span};
use serde_json::{Value, json};

use crate::app::App;
use crate::background;
use crate::cli::{SetArgs, SshPort};
use crate::failure::{Failure, refused};
use crate::print;

/// What takes a setting back.
const DEFAULT: &str = "default";

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
        settings.idle_timeout = span;
    }
    if let Some(span) = args.boot_timeout {
        if span == Span::ZERO {
            return Err(Failure::Usage("`--boot-timeout 0` would give every runner up: write `15m`".to_owned()));
        }
        settings.boot_timeout = span;
    }
    if let Some(image) = args.image {
        settings.image = given(image);
    }
    let launch = &mut settings.launch;
    if let Some(span) = args.result_hold {
        launch.result_hold = span;
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

/// A block of addresses in its usual form. One that lets the whole world in is taken, and said loudly.
fn checked_block(text: &str) -> Result<String, Failure> {
    let wrong = || refused(format!("{text:?} is no block of addresses: write 203.0.113.7/32, or `{DEFAULT}`"));
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length: u32 = length.parse().ok().filter(|length| *length <= bits).ok_or_else(wrong)?;
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
        "image": settings.image,
        "result_hold": result_hold.to_string(),
        "ssh_port": ssh_port,
        "ssh_user": ssh_user,
        "ssh_from": ssh_from,
    })
}

pub(super) fn lines(settings: &Settings) -> String {
    let image = settings.image.as_deref().unwrap_or(DEFAULT);
    let mut text =
        format!("idle timeout {}, boot timeout {}, image {image}\n", settings.idle_timeout, settings.boot_timeout);
    let launch = &settings.launch;
    if *launch != LaunchOptions::default() {
        let port = launch.ssh_port.map_or_else(|| DEFAULT.to_owned(), |port| port.to_string());
        let user = launch.ssh_user.as_deref().unwrap_or(DEFAULT);
        let from = launch.ssh_from.as_deref().unwrap_or(DEFAULT);
        text += &format!("result hold {}, ssh port {port}, user {user}, from {from}\n", launch.result_hold);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_addresses_are_taken_in_their_usual_form_and_nothing_else_is() {
        for good in ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/64", "0.0.0.0/0"] {
            assert_eq!(checked_block(good).expect("it is one"), good);
        }
        for bad in ["203.0.113.7", "10.0.0.0/33", "/8", "::1/129", "10.0.0/8", "host/8", "10.0.0.0/-1", "10.0.0.0/ 8"] {
            assert!(checked_block(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_that_could_be_an_option_or_a_command_are_refused() {
        assert_eq!(checked_user("ec2-user".to_owned()).expect("it is one"), "ec2-user");
        for bad in ["-oProxyCommand=x", "", "a b", "a;b", "a@b", "é"] {
            assert!(checked_user(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
