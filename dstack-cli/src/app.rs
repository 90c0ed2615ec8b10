//! What every command works with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dstack_core::Client;
use dstack_core::blob::{BlobStore, OutputStore};
use dstack_core::controller::{Ports, Provider};
use dstack_core::home::Home;
use dstack_core::model::{At, LogId, Seq};
use rustix::termios::tcgetwinsize;
use tokio::sync::OnceCell;

use crate::cli::Cli;
use crate::failure::{Failure, refused};

/// Width that is assumed where there is none to ask for.
const WIDTH: usize = 80;
/// Nothing is laid out for less.
const WIDTH_MIN: usize = 20;

/// Where standard output and standard error lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Standard error is a terminal that can be drawn on.
    pub stderr: bool,
    /// Colours are wanted.
    pub color: bool,
    /// Characters in a line.
    pub width: usize,
    /// Standard output can be drawn on.
    pub can_draw: bool,
}

impl Terminal {
    fn find() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let stdout = std::io::stdout().is_terminal();
        Self {
            stdout,
            stderr: std::io::stderr().is_terminal() && !is_dumb,
            color: stdout && !is_dumb && !is_set("NO_COLOR"),
            width: width().unwrap_or(WIDTH).max(WIDTH_MIN),
            can_draw: stdout && !is_dumb,
        }
    }

    /// How wide a table on standard output may be, if that has a width.
    pub(crate) fn columns(&self) -> Option<usize> {
        self.stdout.then_some(self.width)
    }
}

/// The width that the terminal says it has. Some say 0, which means that they do not know.
fn width() -> Option<usize> {
    let size = tcgetwinsize(std::io::stdout()).or_else(|_| tcgetwinsize(std::io::stderr())).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Packed folders and artifacts, and what attempts printed.
pub(crate) type Stores = (Arc<dyn BlobStore>, Arc<dyn OutputStore>);

/// The stores, made once a command asks for them.
#[derive(Default)]
struct LazyStores(OnceCell<Stores>);

impl fmt::Debug for LazyStores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LazyStores").finish_non_exhaustive()
    }
}

/// What every command works with.
#[derive(Debug)]
pub(crate) struct App {
    pub home: Home,
    /// Where the command was started, or as if.
    pub folder: PathBuf,
    pub terminal: Terminal,
    /// How often `-v` was given.
    pub verbose: u8,
    stores: LazyStores,
}

impl App {
    pub(crate) fn new(cli: &Cli) -> Result<Self, Failure> {
        let here = std::env::current_dir()?;
        let folder = cli.folder.as_ref().map_or_else(|| here.clone(), |folder| here.join(folder));
        if !folder.is_dir() {
            return Err(refused(format!("{} is not a folder: `-C` names one that there is", folder.display())));
        }
        Ok(Self {
            home: Home::new(home(cli, &folder)?),
            folder,
            terminal: Terminal::find(),
            verbose: cli.verbose,
            stores: LazyStores::default(),
        })
    }

    /// The log for reading, read to its end, and the time there.
    pub(crate) async fn read(&self) -> Result<(Client, At), Failure> {
        let mut client = self.home.reader()?;
        let head = client.refresh().await?;
        self.tell(head.seq);
        Ok((client, head.now))
    }

    /// The log for appending, read to its end, and the time there.
    pub(crate) async fn write(&self) -> Result<(Client, At), Failure> {
        let mut client = self.home.client()?;
        let head = client.refresh().await?;
        self.tell(head.seq);
        Ok((client, head.now))
    }

    fn tell(&self, seq: Seq) {
        let controller = match self.home.is_controller_live() {
            Some(true) => "live",
            Some(false) => "none",
            None => "not known",
        };
        tracing::info!(home = %self.home.path().display(), records = seq.get(), controller, "the log is read");
    }

    /// This machine as a provider.
    pub(crate) fn local(&self) -> Result<Provider, Failure> {
        let supervisor = vec![own_program()?.into_os_string(), OsString::from("supervise")];
        Ok(self.home.local_provider(supervisor))
    }

    /// Providers by their names, as this log's runners use them. Clouds are reached only once something is asked of them.
    pub(crate) fn providers(&self, log: Option<LogId>) -> Result<BTreeMap<String, Provider>, Failure> {
        let here = [(LOCAL.to_owned(), self.local()?)];
        #[cfg(feature = "aws")]
        let clouds = log.map(|log| crate::account::Account::new(&self.home, log).provider());
        #[cfg(not(feature = "aws"))]
        let clouds = log.and(None);
        Ok(here.into_iter().chain(clouds).collect())
    }

    /// Everything that a controller of this log calls.
    pub(crate) async fn ports(&self, log: Option<LogId>) -> Result<Ports, Failure> {
        let mut ports = self.home.ports(self.providers(log)?);
        (ports.blobs, ports.outputs) = self.stores().await?;
        Ok(ports)
    }

    /// Where packed folders, artifacts and output are kept.
    pub(crate) async fn stores(&self) -> Result<Stores, Failure> {
        self.stores.0.get_or_try_init(|| self.make_stores()).await.cloned()
    }

    async fn make_stores(&self) -> Result<Stores, Failure> {
        #[cfg(feature = "aws")]
        let stores = crate::account::stores(&self.home).await?;
        #[cfg(not(feature = "aws"))]
        let stores: Stores =
            std::future::ready((Arc::new(self.home.blobs()) as _, Arc::new(self.home.outputs()) as _)).await;
        Ok(stores)
    }
}

/// The folder of everything that is kept: as the command line says, else the environment, else in the user's own. What is
/// relative is so to the folder in which the command acts.
fn home(cli: &Cli, here: &Path) -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
    let given = cli.home.clone().map(PathBuf::into_os_string).filter(|path| !path.is_empty());
    if let Some(path) = given.or_else(|| variable("DSTACK_HOME")) {
        return Ok(here.join(path));
    }
    match variable("HOME") {
        Some(home) => Ok(here.join(home).join(".dstack")),
        None => Err(refused("there is no HOME: `--home DIR` or DSTACK_HOME names a folder to use")),
    }
}

/// The provider that is this machine, its region and its instance type.
pub(crate) const LOCAL: &str = "local";

/// This program's file.
pub(crate) fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| refused(format!("this program's own file cannot be found: {error}")))
}

/// A path as people know it: below the folder they are in, if it is there.
pub(crate) fn shown(path: &Path, from: &Path) -> String {
    match path.strip_prefix(from) {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.display().to_string(),
        Ok(_) | Err(_) => path.display().to_string(),
    }
}
