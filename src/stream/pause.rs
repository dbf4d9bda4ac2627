//! Switches that keep media from viewers while all that makes it runs.
//!
//! A switch is a value that the one writer of a stream looks at with each packet: viewers, and what serves them, know nothing of it.

use crate::sys::{Turn, Turns};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

/// One switch: of a feed, or of streams that are made together. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    is_on: AtomicBool,
    turns: Turns,
    since: Mutex<Option<SystemTime>>,
}

impl Pause {
    /// Pauses until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.set(true);
    }

    /// The same, for this time at most. To be called on a runtime.
    pub fn pause_for(&self, time: Duration) {
        let (turn, this) = (self.set(true), self.clone());
        self.0.turns.undo_after(time, turn, move || this.resume());
    }

    /// Media goes to viewers again, from the next keyframe on.
    pub fn resume(&self) {
        self.set(false);
    }

    /// Whether it is paused.
    pub fn is_on(&self) -> bool {
        // Packets are ordered by the lock of their writer; when exactly the switch is seen matters to nobody.
        self.0.is_on.load(Ordering::Relaxed)
    }

    fn set(&self, is_on: bool) -> Turn {
        let turn = self.0.turns.take();
        let mut since = self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = is_on.then(|| since.unwrap_or_else(SystemTime::now));
        self.0.is_on.store(is_on, Ordering::Relaxed);
        turn
    }

    fn since(&self) -> Option<SystemTime> {
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Pause {
    /// Whether both are the same switch.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// All switches that keep the media of one feed or stream from its viewers, its own first.
#[derive(Debug, Clone, Default)]
pub struct Pauses(Vec<Pause>);

impl Pauses {
    /// With this one of its own.
    pub fn of(own: Pause) -> Self {
        Self(vec![own])
    }

    /// Adds those of `others` that it lacks.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Pause>) {
        for other in others {
            if !self.0.contains(&other) {
                self.0.push(other);
            }
        }
    }

    /// Its own, which takes orders.
    pub fn own(&self) -> Option<&Pause> {
        self.0.first()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pause> {
        self.0.iter()
    }

    /// Whether any of them is on.
    pub fn is_paused(&self) -> bool {
        self.0.iter().any(Pause::is_on)
    }

    /// Since when it is paused, if it is.
    pub fn since(&self) -> Option<SystemTime> {
        self.0.iter().filter_map(Pause::since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_kept_back_while_any_switch_is_on() {
        let (own, feed) = (Pause::default(), Pause::default());
        let mut pauses = Pauses::of(own.clone());
        pauses.extend([feed.clone(), own.clone(), feed.clone()]);
        assert_eq!((pauses.iter().count(), pauses.is_paused(), pauses.since()), (2, false, None));
        feed.pause();
        own.pause();
        let since = pauses.since();
        assert!(since.is_some() && pauses.is_paused());
        own.pause();
        assert_eq!(pauses.since(), since, "it was paused before");
        feed.resume();
        assert!(pauses.is_paused());
        pauses.own().unwrap().resume();
        assert!(!pauses.is_paused() && pauses.since().is_none());
    }

    #[tokio::test]
    async fn a_pause_ends_by_itself_unless_there_is_a_newer_order() {
        let until_off = async |pause: &Pause| {
            while pause.is_on() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (pause, other) = (Pause::default(), Pause::default());
        pause.pause_for(Duration::from_millis(10));
        assert!(pause.is_on());
        until_off(&pause).await;
        pause.pause_for(Duration::from_millis(5));
        pause.pause();
        other.pause_for(Duration::from_millis(30));
        until_off(&other).await;
        assert!(pause.is_on());
    }
}
