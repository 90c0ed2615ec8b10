//! `dstack events`: the log as it is.

use std::time::Duration;

use dstack_core::model::Seq;
use dstack_core::store::EventStore as _;

use crate::app::App;
use crate::cli::EventsArgs;
use crate::failure::{DETACHED, Failure};
use crate::interrupt::interrupts;
use crate::presence::Presence;
use crate::print;
use crate::view::{event_json, event_line};

const READ_LIMIT: usize = 1_000;
/// How often it is looked whether there is a log at all.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(app: &App, args: &EventsArgs) -> Result<(), Failure> {
    let mut place = Seq::new(args.after);
    let mut interrupts = interrupts()?;
    loop {
        // A log that is not there yet may come to be.
        let Some(store) = app.home.store_for_reading()? else {
            if !args.follow {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = interrupts.recv() => return Err(Failure::Code(DETACHED)),
                () = tokio::time::sleep(LOOK_EVERY) => continue,
            }
        };
        let presence = Presence::of(&app.home);
        loop {
            presence.check()?;
            let records = store.read(place, READ_LIMIT).await?;
            if records.is_empty() {
                if !args.follow {
                    return Ok(());
                }
                tokio::select! {
                    biased;
                    _ = interrupts.recv() => return Err(Failure::Code(DETACHED)),
                    failure = presence.lost() => return Err(failure),
                    () = store.wait(place) => {}
                }
                continue;
            }
            let mut text = String::new();
            for record in &records {
                text += &if args.json { event_json(record) } else { event_line(record) };
                text.push('\n');
                place = record.seq;
            }
            print::results(text.as_bytes())?;
        }
    }
}
