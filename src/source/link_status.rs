//! What came over the link of a feed, for pages and metrics.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What came over the link of a feed. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct LinkStatus(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    facts: LinkFacts,
    /// What the runs before this one add up to.
    before: LinkFacts,
}

/// What is known of a link. All numbers are sums since the start of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkFacts {
    /// Who sends now.
    pub peer: Option<SocketAddr>,
    /// Packets with media.
    pub received: u64,
    /// Packets that did not come.
    pub lost: u64,
    /// Packets that did not come and that error correction has recovered.
    pub recovered: u64,
    /// Packets of others, without media, or that no key decrypts.
    pub ignored: u64,
}

impl LinkStatus {
    /// What is known now.
    pub fn read(&self) -> LinkFacts {
        self.state().facts
    }

    /// A run begins, whose counts begin with 0.
    pub(super) fn began(&self) {
        let mut state = self.state();
        state.before = state.facts;
    }

    /// The run is over.
    pub(super) fn ended(&self) {
        self.state().facts.peer = None;
    }

    /// This one sends.
    pub(super) fn peer(&self, peer: SocketAddr) {
        self.state().facts.peer = Some(peer);
    }

    /// The counts of this run, of whichever peer.
    pub(super) fn count(&self, run: LinkFacts) {
        let mut state = self.state();
        let State { facts, before } = &mut *state;
        *facts = LinkFacts {
            peer: facts.peer,
            received: before.received + run.received,
            lost: before.lost + run.lost,
            recovered: before.recovered + run.recovered,
            ignored: before.ignored + run.ignored,
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_runs_add_up() {
        let status = LinkStatus::default();
        let peer = SocketAddr::from(([192, 0, 2, 1], 5000));
        status.began();
        status.peer(peer);
        let counts = |received, lost, recovered, ignored| LinkFacts { peer: None, received, lost, recovered, ignored };
        status.count(counts(10, 1, 0, 2));
        status.count(counts(20, 2, 3, 2));
        assert_eq!(status.read(), LinkFacts { peer: Some(peer), ..counts(20, 2, 3, 2) });
        status.ended();
        status.began();
        status.count(counts(5, 0, 1, 1));
        assert_eq!(status.read(), counts(25, 2, 4, 3));
    }
}
