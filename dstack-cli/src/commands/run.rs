//! `dstack run`: submit, and follow.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dstack_core::model::state::{Outcome, Phase, Run};
use dstack_core::model::{
    At, Command, Name, Needs, Offering, Rejection, RunId, State, Submission, Unfit, WorkflowSpec,
};
use dstack_core::{Client, ClientError};

use super::artifacts::left_behind;
use super::follow::{Follow, current_with};
use super::narrator::Narrator;
use super::submission::{Work, files, pack, work};
use crate::app::{App, LOCAL};
use crate::background::{self, Driver};
use crate::cli::RunArgs;
use crate::failure::{DETACHED, Failure, refused};
use crate::interrupt::interrupts;
use crate::presence::Presence;
use crate::print;
use crate::run_name;
use crate::view::needs_words;

/// A run with more workflows than this takes long enough to look at that it matters how often that is done.
const LARGE_RUN: usize = 200;
/// After each look at a large run, so many times as long as the look took nothing is looked at: showing a run of many thousand
/// workflows leaves the processor to them.
const BREATHER: u32 = 9;
/// How often output is looked for.
const PUMP_EVERY: Duration = Duration::from_millis(50);
/// How long a second Ctrl-C is waited for.
const SECOND_PRESS: Duration = Duration::from_millis(600);

pub(crate) async fn run(app: &App, args: RunArgs, variables: Vec<(String, String)>) -> Result<(), Failure> {
    let name: Option<Name> =
        args.name.as_deref().map(|name| name.parse().map_err(|error| refused(format!("{error}")))).transpose()?;
    let mut work = work(app, &args, variables)?;
    if args.local {
        for spec in &mut work.workflows {
            spec.needs.provider = Some(LOCAL.to_owned());
        }
    }
    let mut client = app.home.reader()?;
    client.refresh().await?;
    let new_rule = if args.local && !client.state().was_local_ruled() { local_offering(app).await? } else { None };
    if !args.queue {
        check_fit(app, client.state(), &work.workflows, new_rule.as_ref()).await?;
    }
    // What is refused has made no file by now.
    let files = files(app, &work)?;
    app.home.create()?;
    let folder = app.stores().await?.0.put(pack(app, &work, &files)?).await?;
    let mut client = app.home.client()?;
    client.refresh().await?;
    if let Some(offering) = new_rule.filter(|_| !client.state().was_local_ruled()) {
        client.command(Command::Allow { offering: Box::new(offering), max: 1, min: 0 }).await?;
        print::say("allowed: this machine (`local`), one runner at a time");
    }
    let name = match name {
        Some(name) => name,
        None => free_name(&client).await?,
    };
    let id = client.mint_run();
    submit(app, &args, &mut client, work, id, &name, folder).await?;
    let head = client.refresh().await?;
    if !client.state().is_enabled() {
        print::say("autoscaling is disabled: the run waits until `dstack autoscale enable`");
    }
    background::ensure(&app.home, client.state(), head.now)?;
    if args.detach {
        print::say(&format!("`dstack logs {name} -f` follows it, `dstack stop {name}` stops it"));
        return print::line(name.as_str());
    }
    Box::pin(Attached::new(app, client, id, args.raw).await?.follow()).await
}

async fn submit(
    app: &App,
    args: &RunArgs,
    client: &mut Client,
    work: Work,
    id: RunId,
    name: &Name,
    folder: dstack_core::model::BlobId,
) -> Result<(), Failure> {
    let count = work.workflows.len();
    let secrets = app.home.secrets().list()?.into_iter().collect();
    let needs: Vec<Needs> = work.workflows.iter().map(|spec| spec.needs.clone()).collect();
    let submission = Submission {
        run: id,
        name: name.clone(),
        folder: Some(folder),
        secrets,
        workflows: work.workflows,
        unfit: if args.queue { Unfit::Queue } else { Unfit::Refuse },
    };
    match client.command(Command::Submit(Box::new(submission))).await {
        Ok(_) => {
            let plural = if count == 1 { "workflow" } else { "workflows" };
            print::say(&format!("run {name}: {count} {plural}"));
            Ok(())
        }
        Err(ClientError::Rejected(Rejection::Unfit { workflow, .. })) => {
            // The rules have changed while the files were packed.
            let offerings = offerings(app).await?;
            let unfit = needs.into_iter().find(|needs| !fits_a_rule(client.state(), needs)).unwrap_or_default();
            Err(unfit_failure(client.state(), &workflow, &unfit, &offerings))
        }
        Err(error) => Err(error.into()),
    }
}

/// Two words and a number that no known run has.
async fn free_name(client: &Client) -> Result<Name, Failure> {
    let entropy = client.clock().entropy();
    let mut taken = BTreeSet::new();
    loop {
        let name = run_name::mint(entropy, |name| taken.contains(name));
        if client.store().runs(Some(&name), 1).await?.is_empty() {
            return Ok(name);
        }
        taken.insert(name);
    }
}

/// What could be allowed: this machine, and what an account offers, the cheapest first.
async fn offerings(app: &App) -> Result<Vec<Offering>, Failure> {
    let here = here(app).await?;
    #[cfg(feature = "aws")]
    let here = here.into_iter().chain(elsewhere(app).await?).collect();
    Ok(here)
}

/// What the account offers, the cheapest first; nothing where none is set up or it does not answer.
#[cfg(feature = "aws")]
async fn elsewhere(app: &App) -> Result<Vec<Offering>, Failure> {
    let Some(settings) = crate::account::settings(&app.home)? else { return Ok(Vec::new()) };
    match crate::account::catalogue(&app.home, &settings, None).await {
        Ok(mut offerings) => {
            offerings.retain(|offering| offering.price.is_some());
            offerings.sort_by_key(|offering| (offering.price, offering.cpu, offering.memory));
            Ok(offerings)
        }
        Err(error) => {
            print::warn(&format!("what AWS offers is not known: {error}"));
            Ok(Vec::new())
        }
    }
}

async fn here(app: &App) -> Result<Vec<Offering>, Failure> {
    let offerings = app.local()?.cloud.catalogue(LOCAL).await;
    offerings.map_err(|error| refused(format!("this machine cannot be looked at: {error}")))
}

async fn local_offering(app: &App) -> Result<Option<Offering>, Failure> {
    Ok(here(app).await?.into_iter().next())
}

fn fits_a_rule(state: &State, needs: &Needs) -> bool {
    state.rules().values().any(|rule| rule.max > 0 && needs.fit(&rule.offering))
}

/// Refuses what no rule could ever start, before anything is packed.
async fn check_fit(
    app: &App,
    state: &State,
    workflows: &[WorkflowSpec],
    new_rule: Option<&Offering>,
) -> Result<(), Failure> {
    let fits = |needs: &Needs| fits_a_rule(state, needs) || new_rule.is_some_and(|offering| needs.fit(offering));
    match workflows.iter().find(|spec| !fits(&spec.needs)) {
        Some(spec) => Err(unfit_failure(state, &spec.name, &spec.needs, &offerings(app).await?)),
        None => Ok(()),
    }
}

fn unfit_failure(state: &State, name: &Name, needs: &Needs, offerings: &[Offering]) -> Failure {
    let words = needs_words(needs);
    let fitting = offerings.iter().find(|offering| needs.fit(offering));
    if let Some(offering) = fitting {
        let rule = format!("dstack autoscale allow {} --max 1 --{}", offering.instance_type, offering.purchase);
        return refused(format!("no allowed instance type can run {name} (it needs {words}): `{rule}` would start it"));
    }
    let gpu = needs.gpu.as_ref().filter(|gpu| !gpu.names.is_empty());
    let known = state.rules().values().filter_map(|rule| rule.offering.gpus.as_ref().map(|gpus| gpus.name.as_str()));
    let known =
        known.chain(offerings.iter().filter_map(|offering| offering.gpus.as_ref().map(|gpus| gpus.name.as_str())));
    let near = gpu.and_then(|gpu| dstack_core::project::nearest(gpu.names.first()?, known));
    let hint = match (near, offerings.iter().find(|offering| offering.instance_type == LOCAL)) {
        (Some(near), _) => format!("did you mean the GPU {near}?"),
        (None, Some(here)) => format!(
            "this machine has {} CPU and {} memory; ask for less, or `--queue` lets it wait for a rule",
            here.cpu, here.memory
        ),
        (None, None) => "`--queue` lets it wait for a rule".to_owned(),
    };
    refused(format!("no instance type that is offered can run {name} (it needs {words}): {hint}"))
}

/// A run that a command stays with.
struct Attached<'a> {
    app: &'a App,
    client: Client,
    id: RunId,
    run: Run,
    now: At,
    follow: Follow,
    narrator: Narrator,
    presence: Presence,
    driver: Driver,
    is_stopping: bool,
}

impl<'a> Attached<'a> {
    async fn new(app: &'a App, client: Client, id: RunId, is_raw: bool) -> Result<Self, Failure> {
        let run = client.run(id).await?;
        let run =
            run.ok_or_else(|| refused("the log does not know the run: `dstack check` says whether it is whole"))?;
        let now = client.state().at();
        let follow = Follow::new(app, id, &run, None, is_raw).await?;
        let narrator = Narrator::default();
        let presence = Presence::of_open(&app.home)?;
        Ok(Self {
            app,
            client,
            id,
            run,
            now,
            follow,
            narrator,
            presence,
            driver: Driver::assured(),
            is_stopping: false,
        })
    }

    async fn follow(mut self) -> Result<(), Failure> {
        let mut interrupts = interrupts()?;
        loop {
            let began = Instant::now();
            let before = self.client.state().seq();
            self.presence.check()?;
            let Self { client, id, run, narrator, .. } = &mut self;
            self.now = current_with(client, *id, run, |record| narrator.note(*id, record)).await?;
            // What a workflow printed comes before the news of its end.
            match self.follow.pump(&self.run).await {
                Err(Failure::PipeClosed) => return Box::pin(self.unread()).await,
                pumped => pumped?,
            }
            if self.client.state().seq() != before || self.narrator.is_new() {
                self.narrate();
            }
            if self.run.is_over() {
                return Box::pin(self.end()).await;
            }
            self.draw();
            self.look_for_controller()?;
            let seq = self.client.state().seq();
            let is_large = self.run.workflows.len() > LARGE_RUN;
            let breather = if is_large { began.elapsed() * BREATHER } else { Duration::ZERO };
            tokio::select! {
                biased;
                _ = interrupts.recv() => self.interrupted(&mut interrupts).await?,
                () = async {
                    tokio::time::sleep(breather).await;
                    self.client.store().wait(seq).await;
                } => {}
                () = tokio::time::sleep(PUMP_EVERY.max(breather)) => {}
            }
        }
    }

    fn narrate(&mut self) {
        for line in self.narrator.look(self.client.state(), self.now, self.id, &self.run) {
            self.follow.live.say(&line);
        }
    }

    fn draw(&mut self) {
        let mut lines = self.follow.unfinished();
        lines.push(self.narrator.status(&self.run, self.now));
        self.follow.live.draw(lines);
    }

    /// Goes on with a controller of its own making where the one that was live has died.
    fn look_for_controller(&mut self) -> Result<(), Failure> {
        let live = &self.follow.live;
        self.driver.ensure(self.app, self.client.state(), self.now, |line| live.say(line))
    }

    /// Once leaves the run running; twice stops it.
    async fn interrupted(&mut self, interrupts: &mut tokio::signal::unix::Signal) -> Result<(), Failure> {
        let name = self.run.name.clone();
        self.follow.live.clear();
        if self.is_stopping {
            self.follow.live.say(&stops_on(&name));
            return Err(Failure::Code(DETACHED));
        }
        self.follow.live.say(&goes_on(&name, " (or Ctrl-C again, now)"));
        tokio::select! {
            biased;
            _ = interrupts.recv() => {}
            () = tokio::time::sleep(SECOND_PRESS) => return Err(Failure::Code(DETACHED)),
        }
        self.is_stopping = true;
        let stop = Command::Stop { run: self.id, workflow: None, abort: false };
        match self.client.command(stop).await {
            // It was faster.
            Ok(_) | Err(ClientError::Rejected(Rejection::AlreadyOver(_))) => {}
            Err(error) => return Err(error.into()),
        }
        self.follow.live.say(&format!("{name} is being stopped"));
        self.follow.live.revive(self.app.terminal.stderr);
        Ok(())
    }

    /// Nobody reads the output any more, which leaves the run running as Ctrl-C does.
    async fn unread(&mut self) -> Result<(), Failure> {
        if self.run.is_over() {
            return Box::pin(self.end()).await;
        }
        let name = &self.run.name;
        let line = if self.is_stopping { stops_on(name) } else { goes_on(name, "") };
        self.follow.live.say(&line);
        Err(Failure::Code(DETACHED))
    }

    async fn end(&mut self) -> Result<(), Failure> {
        self.follow.live.clear();
        if let Some(line) = Box::pin(left_behind(self.app, &self.run)).await {
            print::warn(&line);
        }
        if self.run.workflows.len() > 1 {
            let summary = self.narrator.summary(self.client.state(), self.now, &self.run);
            self.follow.live.say(&summary);
        }
        match exit_code(&self.run) {
            0 => Ok(()),
            code => Err(Failure::Code(code)),
        }
    }
}

/// The line for leaving a run that goes on; `or` is another way to stop it.
fn goes_on(name: &Name, or: &str) -> String {
    format!("{name} goes on: `dstack logs {name} -f` follows it, `dstack stop {name}`{or} stops it")
}

/// The line for leaving a run that is being stopped.
fn stops_on(name: &Name) -> String {
    format!("it goes on stopping: `dstack ps {name}` shows how far it is")
}

/// The exit code of the first workflow that did not succeed by itself; one that was only skipped has its root's.
fn exit_code(run: &Run) -> u8 {
    let own = |workflow: &&dstack_core::model::state::Workflow| match &workflow.phase {
        Phase::Over(Outcome::Failed { .. } | Outcome::Stopped | Outcome::Lost(_)) => true,
        Phase::Over(Outcome::Succeeded | Outcome::Skipped { .. }) => false,
        Phase::Waiting | Phase::Assigned(_) | Phase::Exited(..) => false,
    };
    let first = run.workflows.iter().filter(own).min_by_key(|workflow| workflow.since);
    first.and_then(dstack_core::model::state::Workflow::exit_code).unwrap_or(0)
}
