//! Times as people read them. Programs get them in UTC from the model.

use chrono::{DateTime, Local, NaiveDateTime, SecondsFormat, TimeZone as _, Utc};
use dstack_core::model::{At, Span};
use dstack_core::project::sizes::parse_duration;

fn local(at: At) -> DateTime<Local> {
    DateTime::<Utc>::from_timestamp_micros(at.as_micros()).unwrap_or(DateTime::<Utc>::MAX_UTC).with_timezone(&Local)
}

/// The moment in the terminal's zone.
pub(crate) fn local_time(at: At) -> String {
    local(at).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time of day in the terminal's zone.
pub(super) fn clock_time(at: At) -> String {
    local(at).format("%H:%M:%S").to_string()
}

/// How long ago it was.
pub(crate) fn ago(at: At, now: At) -> String {
    let span = now.since(at);
    if span.as_secs() < 1 { "now".to_owned() } else { Span::from_secs(span.as_secs()).to_string().replace(".0s", "s") }
}

/// The moment that `--since` names: a length of time before `now`, or a time of its own. Also what to print back, where
/// the terminal's zone was assumed.
pub(crate) fn since(text: &str, now: At) -> Result<(At, Option<String>), String> {
    if let Ok(span) = parse_duration(text) {
        return Ok((At::from_micros(now.as_micros().saturating_sub(span.as_micros())), None));
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok((At::from_micros(moment.timestamp_micros()), None));
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let naive = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let moment = naive.and_then(|naive| Local.from_local_datetime(&naive).earliest());
    match moment {
        Some(moment) => {
            let said = moment.to_rfc3339_opts(SecondsFormat::Secs, false);
            Ok((At::from_micros(moment.timestamp_micros()), Some(said)))
        }
        None => Err(format!("`--since {text}` is no time: write `5m`, `2h` or 2026-05-01T12:00:00Z")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: At = At::from_micros(1_800_000_000_000_000);

    #[test]
    fn since_takes_lengths_and_moments() {
        assert_eq!(since("5m", NOW).map(|(at, _)| NOW.since(at)), Ok(Span::from_mins(5)));
        assert_eq!(since("2027-01-15T08:00:00Z", NOW), Ok((NOW, None)));
        let (at, said) = since("2027-01-15T08:00:00", NOW).expect("a time without a zone is local");
        let said = said.expect("the zone that was assumed is told");
        assert_eq!(since(&said, NOW), Ok((at, None)));
        assert!(since("yesterday", NOW).is_err());
    }

    #[test]
    fn nothing_is_ago_less_than_no_time() {
        assert_eq!(ago(NOW.plus(Span::from_secs(5)), NOW), "now");
        assert_eq!(ago(NOW, NOW.plus(Span::from_secs(5))), "5s");
        assert_eq!(ago(NOW, NOW.plus(Span::from_secs(65))), "1m 5s");
    }
}
