//! `dstack controller`: the loop, in the foreground or behind other commands.

use std::sync::Mutex;
use std::time::Duration;

use dstack_core::controller::{Controller, ControllerError};
use dstack_core::home::ControllerLock;

use crate::app::App;
use crate::background;
use crate::cli::ControllerArgs;
use crate::failure::{Failure, refused};
use crate::presence::Presence;
use crate::print;
use crate::view::Overview;

/// How often a controller that waits for another to leave tries the lock.
const TRY_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn run(app: &App, args: &ControllerArgs) -> Result<(), Failure> {
    if args.background {
        return background::step_back(&app.home);
    }
    if args.detached {
        background::leave_terminal();
        return behind(app).await;
    }
    let interrupt = interrupted();
    tokio::pin!(interrupt);
    let mut is_told = false;
    let before = Presence::of(&app.home);
    loop {
        before.check()?;
        let lock = match app.home.try_lock()? {
            Some(lock) => lock,
            None => {
                if !std::mem::replace(&mut is_told, true) {
                    print::say("another controller is live: this one waits until it leaves");
                }
                tokio::select! {
                    biased;
                    () = &mut interrupt => return Ok(()),
                    () = tokio::time::sleep(TRY_EVERY) => continue,
                }
            }
        };
        let mut controller = controller(app).await?;
        let presence = Presence::of_open(&app.home)?;
        if !std::mem::replace(&mut is_told, true) || !args.until_idle {
            print::say(&format!("controller of {}: Ctrl-C ends it, and no run", app.home.path().display()));
        }
        if !args.until_idle {
            let run = controller.run(interrupt.as_mut());
            return unless_lost(&presence, run).await?.map_err(failure);
        }
        let is_interrupted = {
            let run = unless_lost(&presence, controller.run_until_idle());
            tokio::pin!(run);
            tokio::select! {
                biased;
                () = &mut interrupt => true,
                outcome = &mut run => { outcome?.map_err(failure)?; false }
            }
        };
        if is_interrupted || leave(&mut controller, lock).await? {
            return Ok(());
        }
    }
}

async fn controller(app: &App) -> Result<Controller, Failure> {
    // What cannot be taken away takes space and nothing else.
    if let Err(error) = app.home.tidy() {
        tracing::warn!(%error, "what is left over stays");
    }
    let mut client = app.home.controller_client()?;
    client.refresh().await?;
    let ports = app.ports(client.state().log()).await?;
    Ok(Controller::new(client, ports, app.home.options()))
}

/// Lets go of the lock and then looks once more: what was appended before has found the lock taken. Where nothing was,
/// the controller has judged already, and it knows more than the log: a rule's provider may be missing in this program.
async fn leave(controller: &mut Controller, lock: ControllerLock) -> Result<bool, Failure> {
    let judged = controller.client().state().seq();
    drop(lock);
    let head = controller.client_mut().refresh().await?;
    Ok(head.seq == judged || !Overview::new(controller.client().state(), head.now).is_work_owed())
}

async fn behind(app: &App) -> Result<(), Failure> {
    let log = app.home.controller_log()?;
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).with_writer(Mutex::new(log)).init();
    loop {
        let Some(lock) = app.home.try_lock()? else { return Ok(()) };
        tracing::info!(pid = std::process::id(), "a controller begins");
        let mut controller = controller(app).await?;
        let presence = Presence::of_open(&app.home)?;
        let outcome = match unless_lost(&presence, controller.run_until_idle()).await {
            Ok(outcome) => outcome,
            Err(lost) => {
                tracing::error!(%lost, "the controller ends");
                return Err(lost);
            }
        };
        if let Err(error) = &outcome {
            tracing::error!(%error, "the controller gives up");
        }
        outcome.map_err(failure)?;
        if leave(&mut controller, lock).await? {
            tracing::info!("nothing is left to do");
            return Ok(());
        }
    }
}

/// What comes of the work, unless the home goes away meanwhile: whoever works on would make it anew.
async fn unless_lost<T>(presence: &Presence, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        failure = presence.lost() => Err(failure),
        outcome = work => Ok(outcome),
    }
}

fn failure(error: ControllerError) -> Failure {
    match error {
        ControllerError::Client(error) => error.into(),
        ControllerError::Store(error) => error.into(),
        other => refused(other.to_string()),
    }
}

/// Done when the user or the system asks for the end.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}
