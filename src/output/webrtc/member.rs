//! Who has a session in a shard: a viewer or a publisher.

use super::{
    ingest::Ingest,
    session::{Out, Session},
    viewer::Viewer,
};
use std::{net::SocketAddr, time::Instant};

/// Most addresses of a session that are remembered.
const MAX_ADDRESSES: usize = 16;

/// Who has a session.
#[derive(Debug)]
pub enum Member {
    /// Who is sent a stream.
    Viewer(Box<Viewer>),
    /// Who sends one.
    Publisher(Box<Ingest>),
}

impl Member {
    /// Its connection.
    pub fn session(&mut self) -> &mut Session {
        match self {
            Self::Viewer(viewer) => &mut viewer.session,
            Self::Publisher(ingest) => &mut ingest.session,
        }
    }

    /// The viewer, if it is one.
    pub fn viewer(&mut self) -> Option<&mut Viewer> {
        match self {
            Self::Viewer(viewer) => Some(viewer),
            Self::Publisher(_) => None,
        }
    }

    /// When the shard looks at it next.
    pub fn scheduled(&mut self) -> &mut Option<Instant> {
        match self {
            Self::Viewer(viewer) => &mut viewer.scheduled,
            Self::Publisher(ingest) => &mut ingest.scheduled,
        }
    }

    /// From where it has sent.
    pub fn addresses(&mut self) -> &mut Vec<SocketAddr> {
        match self {
            Self::Viewer(viewer) => &mut viewer.addresses,
            Self::Publisher(ingest) => &mut ingest.addresses,
        }
    }

    /// Why it leaves.
    pub fn reason(&mut self) -> &mut &'static str {
        match self {
            Self::Viewer(viewer) => &mut viewer.reason,
            Self::Publisher(ingest) => &mut ingest.reason,
        }
    }

    /// When there is something to do for it.
    pub fn due(&self) -> Instant {
        match self {
            Self::Viewer(viewer) => viewer.due(),
            Self::Publisher(ingest) => ingest.due(),
        }
    }

    /// Does what time demands.
    pub fn pump(&mut self, now: Instant, out: &mut Out) {
        match self {
            Self::Viewer(viewer) => viewer.pump(None, now, out),
            Self::Publisher(ingest) => ingest.pump(now, out),
        }
    }

    /// Why it has to leave, if it has.
    pub fn check(&mut self, now: Instant) -> Option<&'static str> {
        match self {
            Self::Viewer(viewer) => viewer.check(now),
            Self::Publisher(ingest) => ingest.check(now),
        }
    }

    /// It has sent from here.
    pub fn seen(&mut self, source: SocketAddr) {
        let addresses = self.addresses();
        if !addresses.contains(&source) && addresses.len() < MAX_ADDRESSES {
            addresses.push(source);
        }
    }
}
