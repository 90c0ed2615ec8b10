//! Keeps the processes of instances as FakeCloud says that the instances are.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use dstack_core::clock::Boot;
use dstack_core::cloud::{CloudProvider, MachineState};
use dstack_core::model::MachineId;
use futures::FutureExt;
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;

use super::super::account::{Account, Record};
use super::super::state::Shared;
use super::folder::Plan;
use super::imds::{Imds, notice_text};
use super::processes::{self, Marked};
use super::tools::Tools;

/// An instance that has processes.
struct Host {
    plan: Plan,
    /// Held open while the instance lives: its init reads it, and ends when the sandbox is gone.
    stdin: Option<ChildStdin>,
    init: Option<u32>,
    imds: Imds,
    /// Which of its starts this is; an init of an earlier one is not heard.
    starts: u64,
    has_notice: bool,
    is_open: bool,
}

/// What is to be done about the instances now.
#[derive(Default)]
struct Changes {
    end: BTreeSet<String>,
    start: Vec<(String, Record, Option<String>)>,
    notices: Vec<(String, i64)>,
    /// Instances that are let in to now.
    open: BTreeSet<String>,
    next: Option<Boot>,
}

/// The processes of all instances.
pub(in super::super) struct Hosting {
    shared: Arc<Shared>,
    tools: Option<Tools>,
    hosts: BTreeMap<String, Host>,
    /// Instances that are over, with nothing left of them.
    gone: BTreeSet<String>,
    /// Instances that could not be started, or halted themselves: on, and nobody answers.
    silent: BTreeSet<String>,
    tell: mpsc::UnboundedSender<(String, u64)>,
    told: mpsc::UnboundedReceiver<(String, u64)>,
    starts: u64,
}

impl Hosting {
    pub(in super::super) fn new(shared: Arc<Shared>, tools: Option<Tools>) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self {
            shared,
            tools,
            hosts: BTreeMap::new(),
            gone: BTreeSet::new(),
            silent: BTreeSet::new(),
            tell,
            told,
            starts: 0,
        }
    }

    /// Follows FakeCloud for ever.
    pub(in super::super) async fn follow(&mut self) -> Infallible {
        loop {
            let shared = Arc::clone(&self.shared);
            let woken = shared.wake.notified();
            let changes = self.changes();
            let next = changes.next;
            self.carry_out(changes).await;
            let due = async {
                match next {
                    Some(moment) => shared.options.clock.sleep_until(moment).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((id, starts)) = self.told.recv() => self.init_ended(&id, starts).await,
                () = woken => {}
                () = due => {}
            }
        }
    }

    /// Ends every instance.
    pub(in super::super) async fn end_all(&mut self) {
        let all = self.hosts.keys().cloned().collect();
        self.end(&all, true).await;
    }

    /// Compares what FakeCloud says with what there is.
    fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        let now = self.shared.now();
        let mut world = self.shared.world();
        let world = &mut *world;
        for account in world.accounts.values_mut() {
            // Asked first: what changes while the rest is read is due by then, and is read again at once.
            let next = account.cloud.next_change();
            changes.next = [changes.next, next].into_iter().flatten().min();
            note_announced(account);
            take_back(account, now, &mut changes);
            for machine in account.cloud.machines() {
                let id = &machine.id.0;
                let Some(record) = account.records.get(id).filter(|_| !self.gone.contains(id)) else { continue };
                let is_hosted = self.hosts.contains_key(id);
                match machine.state() {
                    MachineState::Pending => {}
                    MachineState::Running if machine.has_network => {
                        if !is_hosted && !self.silent.contains(id) {
                            let name = record.launch.key_name.clone().unwrap_or_default();
                            let key = account.keys.get(&(record.launch.region.clone(), name)).cloned();
                            changes.start.push((id.clone(), record.clone(), key));
                        }
                        let groups = &record.launch.groups;
                        if !self.shared.options.has_firewall || account.groups.let_in(groups, self.shared.ssh_port) {
                            changes.open.insert(id.clone());
                        }
                        changes.notices.extend(record.notice_micros.map(|micros| (id.clone(), micros)));
                    }
                    MachineState::Running | MachineState::Halted | MachineState::ShuttingDown => {
                        changes.end.extend(Some(id.clone()).filter(|_| is_hosted));
                    }
                    MachineState::Terminated => {
                        changes.end.insert(id.clone());
                    }
                }
            }
        }
        changes
    }

    async fn carry_out(&mut self, changes: Changes) {
        self.end(&changes.end, false).await;
        for (id, record, key) in changes.start {
            if let Err(error) = self.begin(&id, &record, key).await {
                self.silent.insert(id.clone());
                self.write_console(&id, &format!("the sandbox cannot start this instance: {error}\n"));
            }
        }
        for id in changes.open {
            if let Some(host) = self.hosts.get_mut(&id).filter(|host| !host.is_open) {
                host.is_open = fs::write(host.plan.root.join("open"), "").is_ok();
            }
        }
        for (id, micros) in changes.notices {
            if let Some(host) = self.hosts.get_mut(&id).filter(|host| !host.has_notice) {
                let path = host.plan.root.join("home/spot-instance-action");
                host.has_notice = fs::write(path, notice_text(micros) + "\n").is_ok();
            }
        }
    }

    fn root(&self, id: &str) -> PathBuf {
        self.shared.folder.join(id)
    }

    async fn begin(&mut self, id: &str, record: &Record, public_key: Option<String>) -> std::io::Result<()> {
        let Some(tools) = self.tools.clone() else { return Ok(()) };
        let imds = Imds::start(Arc::clone(&self.shared), id.to_owned(), record.address).await?;
        let plan = Plan {
            id: id.to_owned(),
            root: self.root(id),
            address: record.address,
            ssh_port: self.shared.ssh_port,
            user: self.shared.ssh_user.clone(),
            imds_port: imds.port,
            user_data: record.launch.user_data.clone(),
            public_key,
        };
        plan.make(&tools)?;
        let host = Host { plan, stdin: None, init: None, imds, starts: 0, has_notice: false, is_open: false };
        self.hosts.insert(id.to_owned(), host);
        self.boot(id)
    }

    /// Starts the process that stands for the machine.
    fn boot(&mut self, id: &str) -> std::io::Result<()> {
        self.starts += 1;
        let Some(host) = self.hosts.get_mut(id) else { return Ok(()) };
        let mut command = Command::new("/bin/sh");
        command.arg(host.plan.root.join("etc/init")).env_clear().envs(host.plan.environment());
        command.current_dir(&host.plan.root).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn()?;
        host.stdin = child.stdin.take();
        host.init = child.id();
        host.starts = self.starts;
        let (tell, id, starts) = (self.tell.clone(), id.to_owned(), self.starts);
        tokio::spawn(async move {
            let _status = child.wait().await;
            // Nobody listens when the sandbox ends.
            let _over = tell.send((id, starts));
        });
        Ok(())
    }

    /// Ends the processes of these instances; and where they are over for good, their folders and addresses too.
    async fn end(&mut self, ids: &BTreeSet<String>, is_forced: bool) {
        let marked: Vec<Marked> =
            ids.iter().filter_map(|id| self.hosts.get(id)).map(|host| Marked::of(host.init, &host.plan.root)).collect();
        if !marked.is_empty() {
            processes::end(&marked, &*self.shared.options.clock).await;
        }
        for id in ids {
            self.keep_console(id);
            let is_over = is_forced || self.is_terminated(id);
            if let Some(host) = self.hosts.remove(id) {
                drop(host.imds);
            }
            if is_over {
                // A folder that stays is removed with the sandbox's own.
                let _left = fs::remove_dir_all(self.root(id));
                self.give_back_address(id);
                self.gone.insert(id.clone());
            }
        }
    }

    fn is_terminated(&self, id: &str) -> bool {
        let world = self.shared.world();
        let machine = world.accounts.values().find_map(|account| account.cloud.machine(&MachineId(id.to_owned())));
        machine.is_none_or(|machine| machine.state() == MachineState::Terminated)
    }

    fn with_record(&self, id: &str, change: impl FnOnce(&mut Account)) {
        let mut world = self.shared.world();
        if let Some(account) = world.accounts.values_mut().find(|account| account.records.contains_key(id)) {
            change(account);
        }
    }

    fn give_back_address(&self, id: &str) {
        let mut world = self.shared.world();
        let record = world.accounts.values().find_map(|account| account.records.get(id));
        if let Some(address) = record.map(|record| record.address) {
            world.addresses.give_back(address);
        }
    }

    fn keep_console(&self, id: &str) {
        if let Ok(text) = fs::read_to_string(self.root(id).join("log/console.log")) {
            self.write_console(id, &text);
        }
    }

    fn write_console(&self, id: &str, text: &str) {
        self.with_record(id, |account| {
            if let Some(record) = account.records.get_mut(id) {
                text.clone_into(&mut record.console);
            }
        });
    }

    /// The process that stands for the machine has ended by itself: somebody switched the instance off.
    async fn init_ended(&mut self, id: &str, starts: u64) {
        let Some(host) = self.hosts.get(id).filter(|host| host.starts == starts) else { return };
        let root = host.plan.root.clone();
        let verb = fs::read_to_string(root.join("power")).unwrap_or_default();
        let _none = fs::remove_file(root.join("power"));
        let marked = Marked::of(host.init, &root);
        processes::end(&[marked], &*self.shared.options.clock).await;
        match verb.trim() {
            verb @ ("reboot" | "rekey") => {
                if verb == "rekey" {
                    let _none = fs::remove_file(root.join("etc/host_key"));
                    let _none = fs::remove_file(root.join("etc/host_key.pub"));
                }
                if let Err(error) = self.boot(id) {
                    self.write_console(id, &format!("the sandbox cannot start this instance again: {error}\n"));
                }
            }
            // The processor stands still, and EC2 knows nothing of it.
            "halt" => {
                self.silent.insert(id.to_owned());
                self.keep_console(id);
                self.hosts.remove(id);
            }
            _ => {
                let machine = MachineId(id.to_owned());
                self.with_record(id, |account| {
                    let Some(record) = account.records.get_mut(id) else { return };
                    let is_running =
                        account.cloud.machine(&machine).is_some_and(|one| one.state() == MachineState::Running);
                    if is_running {
                        record.reason = Some("Client.InstanceInitiatedShutdown");
                    }
                    if record.launch.ends_on_shutdown {
                        account.cloud.outsider_terminates(&machine);
                    } else {
                        account.cloud.outsider_halts(&machine);
                    }
                });
            }
        }
    }
}

/// Notes the notices that FakeCloud has given.
fn note_announced(account: &mut Account) {
    while let Some(notice) = account.cloud.notice().now_or_never() {
        let deadline = notice.deadline.map(dstack_core::model::At::as_micros);
        if let Some(record) = account.records.get_mut(&notice.machine.0) {
            record.notice_micros = deadline.or(record.notice_micros);
        }
    }
}

/// Takes back what a notice by hand has said, when its time has come.
fn take_back(account: &mut Account, now: Boot, changes: &mut Changes) {
    for (id, record) in &mut account.records {
        match record.taken_back {
            Some(moment) if moment <= now => {
                record.taken_back = None;
                account.cloud.interrupt_unannounced(&MachineId(id.clone()));
            }
            Some(moment) => changes.next = Some(changes.next.map_or(moment, |next| next.min(moment))),
            None => {}
        }
    }
}
