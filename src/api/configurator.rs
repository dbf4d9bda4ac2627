//! Changes of the configuration on their way to the one task that makes them, one after the other.

use crate::{
    config::{
        Diagnostic, Loaded,
        change::{ChangeError, ChangedFile},
        edit::Edit,
    },
    store::History,
};
use std::{fmt, net::IpAddr, sync::Arc};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Orders that may wait for the one that is being carried out. More are refused.
const WAITING: usize = 128;

/// Where changes are ordered. Clones lead to the same task.
#[derive(Debug, Clone)]
pub struct Configurator {
    current: watch::Receiver<Arc<Loaded>>,
    orders: mpsc::Sender<Order>,
    reload: Arc<Notify>,
    history: History,
}

/// What the task that makes the changes holds.
#[derive(Debug)]
pub struct Orders {
    /// The configuration that is in force.
    pub current: watch::Sender<Arc<Loaded>>,
    /// What to do.
    pub orders: mpsc::Receiver<Order>,
    /// The files are to be read again.
    pub reload: Arc<Notify>,
    /// What changes were made.
    pub history: History,
}

/// A change that someone wants.
pub struct Order {
    /// What is to be made of the configuration that is in force when it is its turn.
    pub plan: Plan,
    /// One word for the history.
    pub action: &'static str,
    /// Whether it may bring programs, pipelines, files and rules.
    pub may_exec: bool,
    /// Nothing is changed: the outcome says what would happen.
    pub dry_run: bool,
    /// Who wants it, for the log.
    pub by: String,
    /// The address of that.
    pub from: IpAddr,
    /// Receives the outcome.
    pub done: oneshot::Sender<Result<Outcome, Refusal>>,
}

/// See [`Order::plan`].
pub type Plan = Box<dyn FnOnce(&Loaded) -> Result<Proposal, Refusal> + Send>;

/// What someone wants to be made of the files.
#[derive(Debug)]
pub enum Proposal {
    /// Changes of values, wherever these are.
    Edits(Vec<Edit>),
    /// Other texts of files.
    Texts(Vec<ChangedFile>),
}

/// A change that was made, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The files that change, each as a unified diff.
    pub diff: String,
    /// What ends: `feed cam0`.
    pub ended: Vec<String>,
    /// What begins.
    pub begun: Vec<String>,
    /// Its number in the history, once it was made.
    pub version: Option<u64>,
}

/// Why a change is not made.
#[derive(Debug)]
pub enum Refusal {
    /// What there is now is not what the caller knows, or exists already. With the tag of what there is.
    Precondition(Option<String>),
    /// There is no such entry.
    Missing(String),
    /// The value refers to a secret that is not known there.
    SecretMoved(String),
    /// The caller may not bring this.
    NeedsExec(String),
    /// A file is another one than was loaded.
    ChangedOnDisk(String),
    /// Something was changed again since.
    Conflict(String),
    /// The edits cannot be made.
    Change(ChangeError),
    /// What the files would say is wrong.
    Diagnostics(Vec<Diagnostic>),
    /// The configuration is good, and cannot be had: a port is taken.
    NotApplied(String),
    /// The disk does not take it.
    NotWritten(String),
    /// Something of this machine failed.
    Failed(String),
}

impl Refusal {
    /// One word for the journal.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Precondition(_) => "precondition-failed",
            Self::Missing(_) => "not-found",
            Self::SecretMoved(_) => "secret-moved",
            Self::NeedsExec(_) => "forbidden",
            Self::ChangedOnDisk(_) => "changed-on-disk",
            Self::Conflict(_) => "conflict",
            Self::Change(_) => "cannot-edit-in-place",
            Self::Diagnostics(_) => "faults",
            Self::NotApplied(_) => "not-applied",
            Self::NotWritten(_) => "not-written",
            Self::Failed(_) => "internal",
        }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("by", &self.by).field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

/// Both ends, for a configuration that is in force.
pub fn configurator(loaded: Arc<Loaded>) -> (Configurator, Orders) {
    let (sender, current) = watch::channel(loaded);
    let (orders, coming) = mpsc::channel(WAITING);
    let (reload, history) = (Arc::new(Notify::new()), History::default());
    let configurator = Configurator { current, orders, reload: reload.clone(), history: history.clone() };
    (configurator, Orders { current: sender, orders: coming, reload, history })
}

impl Configurator {
    /// The configuration that is in force, as its files say it.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.borrow().clone()
    }

    /// What changes were made.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Has the files read again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Orders a change and waits for the outcome; `None` where no more are taken. Cancel-safe: an order that was given is carried out.
    pub async fn order(
        &self,
        (plan, action): (Plan, &'static str),
        may_exec: bool,
        dry_run: bool,
        (by, from): (String, IpAddr),
    ) -> Option<Result<Outcome, Refusal>> {
        let (done, outcome) = oneshot::channel();
        self.orders.try_send(Order { plan, action, may_exec, dry_run, by, from, done }).ok()?;
        outcome.await.ok()
    }
}
