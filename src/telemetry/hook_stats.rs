//! Statistics of hooks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What hooks do, by name. No clock in here.
#[derive(Debug, Default)]
pub struct HookStats(Mutex<BTreeMap<String, HookFigures>>);

/// What one hook does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookFigures {
    /// Events and heartbeats that were delivered, and starts of programs that run beside something.
    pub delivered: u64,
    /// Programs that run beside something now.
    pub running: usize,
    /// Tries that failed.
    pub failed: u64,
    /// Events that were given up: of programs that failed repeatedly, and those that the journal has no more.
    pub given_up: u64,
    /// The number of the last event that needs no delivery any more; `None` where the hook gets no events.
    pub position: Option<u64>,
    /// Why the last try failed, while it is tried again.
    pub error: Option<String>,
    /// The receiver wants no more.
    pub is_disabled: bool,
}

impl HookStats {
    /// Changes the figures of a hook.
    pub fn change(&self, hook: &str, change: impl FnOnce(&mut HookFigures)) {
        let mut all = self.all();
        if !all.contains_key(hook) {
            all.insert(hook.to_owned(), HookFigures::default());
        }
        if let Some(figures) = all.get_mut(hook) {
            change(figures);
        }
    }

    /// There are these hooks; what is known of others goes.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.all().retain(|name, _| is_there(name));
    }

    /// What is known, by name.
    pub fn read(&self) -> Vec<(String, HookFigures)> {
        self.all().iter().map(|(name, figures)| (name.clone(), figures.clone())).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, HookFigures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_that_are_gone_are_forgotten() {
        let stats = HookStats::default();
        stats.change("a", |figures| figures.delivered += 1);
        stats.change("a", |figures| figures.delivered += 1);
        stats.change("b", |figures| figures.failed += 1);
        stats.retain(|name| name == "a");
        let expect = HookFigures { delivered: 2, ..HookFigures::default() };
        assert_eq!(stats.read(), [("a".to_owned(), expect)]);
    }
}
