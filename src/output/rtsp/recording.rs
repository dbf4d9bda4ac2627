//! A publisher: what it announced, and the way of its packets into the slot of a feed.

use super::{
    announce::Announced,
    sessions::{Datagram, Listed},
};
use crate::{
    media::{
        demux::Demuxed,
        rtp::{Description, Receiver},
    },
    output::publish::feeder::Feeder,
    sys::monotonic,
};
use bytes::Bytes;
use std::{net::SocketAddr, time::Duration};
use tokio::sync::mpsc;

/// Receiver reports are sent this often: publishers leave without them.
const REPORT_PERIOD: Duration = Duration::from_secs(5);

/// A publisher.
#[derive(Debug)]
pub struct Recording {
    /// The path that it publishes to.
    pub path: String,
    feeder: Feeder,
    /// As they were announced.
    pub tracks: Vec<Announced>,
    receiver: Receiver,
    /// For each track its place among those that are received.
    pub places: Vec<Option<usize>>,
    /// Of the tracks that were set up.
    pub routes: Vec<Route>,
    reported: Duration,
    /// Empty between two calls.
    found: Vec<Demuxed>,
    /// The datagrams of this publisher, while it sends some.
    pub datagrams: Option<(mpsc::Receiver<Datagram>, Listed)>,
}

/// Where packets come from.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The place of the track among those that are received.
    pub place: usize,
    /// Of its packets.
    pub way: Way,
}

/// The way of the packets of a track: RTP, and RTCP.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// Channels of the connection.
    Channels(u8, u8),
    /// Addresses of the publisher.
    Addresses(SocketAddr, SocketAddr),
}

/// Something to be done for the publisher.
#[derive(Debug)]
pub enum Due {
    /// Datagrams came.
    Datagram(Datagram),
    /// Packets were missing for too long.
    Tick,
    /// It has to end, for this reason.
    End(&'static str),
}

impl Recording {
    /// One that has announced these tracks, and takes the slot of a feed.
    pub fn new(path: String, feeder: Feeder, tracks: Vec<Announced>) -> Self {
        let descriptions: Vec<Description> = tracks.iter().filter_map(|track| track.description.clone()).collect();
        let mut next = 0;
        let places = tracks.iter().map(|track| {
            track.description.as_ref().map(|_| {
                next += 1;
                next - 1
            })
        });
        Self {
            path,
            feeder,
            places: places.collect(),
            tracks,
            receiver: Receiver::new(descriptions),
            routes: Vec::new(),
            reported: monotonic(),
            found: Vec::new(),
            datagrams: None,
        }
    }

    /// A packet came on a channel of the connection.
    pub fn packet(&mut self, channel: u8, bytes: Bytes) {
        let route = self.routes.iter().find_map(|route| match route.way {
            Way::Channels(rtp, rtcp) => match channel {
                channel if channel == rtp => Some((route.place, false)),
                channel if channel == rtcp => Some((route.place, true)),
                _ => None,
            },
            Way::Addresses(..) => None,
        });
        self.take(route, bytes);
    }

    /// A datagram came. One of an address that is none of this publisher has no effect.
    pub fn datagram(&mut self, Datagram { from, bytes }: Datagram) {
        let route = self.routes.iter().find_map(|route| match route.way {
            Way::Addresses(rtp, _) if rtp == from => Some((route.place, false)),
            Way::Addresses(_, rtcp) if rtcp == from => Some((route.place, true)),
            _ => None,
        });
        self.take(route, bytes);
    }

    fn take(&mut self, route: Option<(usize, bool)>, bytes: Bytes) {
        match route {
            Some((place, true)) => self.receiver.rtcp(place, &bytes, monotonic()),
            Some((place, false)) => self.receiver.rtp(place, bytes, monotonic(), &mut self.found),
            None => {}
        }
        self.feeder.take(self.found.drain(..), true);
    }

    /// Gives up packets that are missing for too long.
    pub fn tick(&mut self) {
        self.receiver.tick(monotonic(), &mut self.found);
        self.feeder.take(self.found.drain(..), true);
    }

    /// What is due next; waits for it. Cancel-safe.
    pub async fn due(&mut self) -> Due {
        let wait = self.receiver.deadline().map(|deadline| deadline.saturating_sub(monotonic()));
        let datagram = async {
            match &mut self.datagrams {
                Some((datagrams, _)) => datagrams.recv().await,
                None => std::future::pending().await,
            }
        };
        let tick = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = self.feeder.ended() => Due::End(reason),
            datagram = datagram => datagram.map_or(Due::Tick, Due::Datagram),
            () = tick => Due::Tick,
        }
    }

    /// Waits while its media is further ahead than that of a live source; the reason when it has to end meanwhile. Cancel-safe.
    pub async fn pace(&self) -> Option<&'static str> {
        tokio::select! {
            reason = self.feeder.ended() => Some(reason),
            () = self.feeder.pace() => None,
        }
    }

    /// Receiver reports, when they are due, and where they go.
    pub fn reports(&mut self) -> Vec<(ReportTo, Vec<u8>)> {
        let now = monotonic();
        if now.saturating_sub(self.reported) < REPORT_PERIOD {
            return Vec::new();
        }
        self.reported = now;
        let to = |place: usize| {
            self.routes.iter().find(|route| route.place == place).map(|route| match route.way {
                Way::Channels(_, rtcp) => ReportTo::Channel(rtcp),
                Way::Addresses(_, rtcp) => ReportTo::Address(rtcp),
            })
        };
        let reports = self.receiver.reports(now);
        reports.into_iter().filter_map(|(place, bytes)| Some((to(place)?, bytes))).collect()
    }

    /// Ends it for this reason, which the log and the metrics have.
    pub fn finish(mut self, reason: &'static str) {
        self.receiver.finish(&mut self.found);
        self.feeder.take(self.found.drain(..), true);
        let (packets, lost) = self.receiver.totals();
        tracing::debug!(path = self.path, packets, lost, protocol = "rtsp", "publisher ended");
        self.feeder.finish(reason);
    }
}

/// Where a report goes.
#[derive(Debug, Clone, Copy)]
pub enum ReportTo {
    /// To a channel of the connection.
    Channel(u8),
    /// In a datagram.
    Address(SocketAddr),
}
