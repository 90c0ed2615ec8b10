//! How a spot machine hears from EC2 itself that it is taken back.

use std::time::Duration;

use chrono::DateTime;
use dstack_core::host::Hearing;
use dstack_core::host::ssh::Ear;
use dstack_core::model::At;
use serde_json::Value;

/// For the [`SshHost`](dstack_core::host::SshHost) of EC2's machines: they ask their metadata service every five seconds, as
/// AWS advises, with `curl` or else GNU `wget`.
pub const EAR: Ear = Ear { script: include_str!("ear.sh"), period: Duration::from_secs(5), read };

/// `{"action": "terminate", "time": "2017-09-18T08:22:00Z"}`, whatever the action. Words that say no action announce nothing.
fn read(words: &str) -> Hearing {
    let announced: Value = serde_json::from_str(words).unwrap_or_default();
    if !announced["action"].is_string() {
        return Hearing::Listens;
    }
    let time = announced["time"].as_str().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    Hearing::Noticed { deadline: time.map(|time| At::from_micros(time.timestamp_micros())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_read_and_other_words_announce_nothing() {
        let noticed = |deadline: Option<i64>| Hearing::Noticed { deadline: deadline.map(At::from_micros) };
        for (words, hearing) in [
            (r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#, noticed(Some(1_505_722_920_000_000))),
            (r#" {"time":"2017-09-18T08:22:00Z", "action":"stop"} "#, noticed(Some(1_505_722_920_000_000))),
            (r#"{"action": "hibernate"}"#, noticed(None)),
            (r#"{"action": "terminate", "time": "soon"}"#, noticed(None)),
            (r#"{"action": null}"#, Hearing::Listens),
            (r#"{"noticeTime": "2020-10-26T20:58:06Z"}"#, Hearing::Listens),
            (r#"{"action": "terminate", "ti"#, Hearing::Listens),
            ("[1]", Hearing::Listens),
            ("\"action\"", Hearing::Listens),
            ("<html>not found</html>", Hearing::Listens),
            ("", Hearing::Listens),
        ] {
            assert_eq!(read(words), hearing, "{words}");
        }
    }
}
