//! Streams in multicast groups: one sender for all viewers of a stream, as long as there is one.

use super::{
    datagrams::Datagrams,
    sessions::Listed,
    timeouts,
    udp::{Destination, UdpPair},
};
use crate::{
    config::Multicast,
    net::Interface,
    output::shard::{
        session::Account,
        subscription::{Next, Subscription},
        viewer_log::ViewerLog,
    },
    sys::monotonic,
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Interval of the checks.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The groups of a server, and the sockets that send to them.
#[derive(Debug)]
pub struct Groups {
    config: Multicast,
    sockets: Arc<UdpPair>,
    /// By the names of their streams.
    taken: Mutex<HashMap<String, Weak<Group>>>,
}

/// A group that a stream is sent to, until this is dropped.
#[derive(Debug)]
pub struct Group {
    address: IpAddr,
    port: u16,
    ttl: u8,
    sockets: Arc<UdpPair>,
    /// Somebody sends to it.
    is_running: AtomicBool,
    sent: Arc<Sent>,
    /// Nobody receives it any more.
    stop: CancellationToken,
    /// The stream has ended.
    ended: CancellationToken,
}

/// What the sender of a group has sent.
#[derive(Debug, Default)]
struct Sent {
    bytes: AtomicU64,
    /// Packets that it was too slow for, and how often.
    lost: AtomicU64,
}

/// Where the packets of a track are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupAddress {
    /// Of the group.
    pub address: IpAddr,
    /// For RTP; the next one is for RTCP.
    pub port: u16,
    /// Networks that a datagram passes.
    pub ttl: u8,
}

impl Groups {
    /// Opens the sockets.
    ///
    /// # Errors
    /// When there is no such interface, or no socket.
    pub fn bind(config: &Multicast) -> io::Result<Self> {
        let interface = config.interface.as_deref().map_or(Ok(Interface::ANY), Interface::find)?;
        let sockets = UdpPair::bind(Ipv4Addr::UNSPECIFIED.into(), 0)?;
        sockets.set_multicast(interface.address, config.ttl)?;
        Ok(Self { config: config.clone(), sockets: Arc::new(sockets), taken: Mutex::default() })
    }

    /// The group of a stream; `None` when all are taken.
    pub fn of(&self, stream: &str) -> Option<Arc<Group>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |group: &Weak<Group>| group.upgrade().filter(|group| !group.ended.is_cancelled());
        taken.retain(|_, group| alive(group).is_some());
        if let Some(group) = taken.get(stream).and_then(alive) {
            return Some(group);
        }
        let address = self.free(&taken)?;
        let group = Arc::new(Group {
            address,
            port: self.config.port,
            ttl: self.config.ttl,
            sockets: self.sockets.clone(),
            is_running: AtomicBool::new(false),
            sent: Arc::default(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        taken.insert(stream.to_owned(), Arc::downgrade(&group));
        Some(group)
    }

    /// The first address that no group has. There are no more groups than streams.
    fn free(&self, taken: &MutexGuard<'_, HashMap<String, Weak<Group>>>) -> Option<IpAddr> {
        let used: Vec<_> = taken.values().filter_map(Weak::upgrade).map(|group| group.address).collect();
        (0..).map_while(|number| self.config.groups.nth(number)).find(|address| !used.contains(address))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Group {
    /// Where a track is sent.
    pub fn track(&self, number: usize) -> Option<GroupAddress> {
        let port = u16::try_from(2 * number).ok().and_then(|further| self.port.checked_add(further))?;
        Some(GroupAddress { address: self.address, port, ttl: self.ttl })
    }

    /// Begins to send a stream with this many tracks, unless that is done already. Returns the sender, which is to be run.
    pub fn begin(
        &self,
        subscription: Subscription,
        first: Bytes,
        count: usize,
        stop: CancellationToken,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        if self.is_running.swap(true, Ordering::AcqRel) {
            return None;
        }
        let destinations = (0..count).filter_map(|number| {
            let GroupAddress { address, port, .. } = self.track(number)?;
            let (rtp, rtcp) = (SocketAddr::new(address, port), SocketAddr::new(address, port.checked_add(1)?));
            Some(Destination { track: number, rtp, rtcp })
        });
        let sender = Sender {
            subscription,
            account: GroupAccount { sent: self.sent.clone(), is_reduced: false, address: self.address },
            sockets: self.sockets.clone(),
            to: destinations.collect(),
        };
        let (own, ended) = (self.stop.clone(), self.ended.clone());
        Some(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                reason = sender.run(first, own) => tracing::debug!(reason, "multicast ended"),
            }
            ended.cancel();
        })
    }

    /// Counts a viewer of this group until it or the stream ends.
    pub async fn watch(self: Arc<Self>, mut log: ViewerLog, listed: Listed, stop: CancellationToken) {
        let mut check = interval(CHECK_PERIOD);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.sent.read();
        let reason = loop {
            tokio::select! {
                () = stop.cancelled() => break "server stopped",
                () = listed.end.cancelled() => break "client left",
                () = self.ended.cancelled() => break "stream ended",
                _ = check.tick() => {}
            }
            let now = self.sent.read();
            log.sent(now.0 - before.0, &|| "rtp");
            if now.1 > before.1 {
                log.lagged(now.1 - before.1);
            }
            before = now;
            log.report();
            if let Some(reason) = log.withdrawn() {
                break reason;
            }
            if let Some(reason) = timeouts::of_datagrams(listed.liveness.silence(monotonic())) {
                break reason;
            }
        };
        let now = self.sent.read();
        log.sent(now.0 - before.0, &|| "rtp");
        log.reason = reason;
    }
}

impl Sent {
    /// Bytes, and packets that were lost.
    fn read(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

/// Sends a stream to a group.
#[derive(Debug)]
struct Sender {
    subscription: Subscription,
    account: GroupAccount,
    sockets: Arc<UdpPair>,
    to: Vec<Destination>,
}

impl Sender {
    /// Sends from `first` on, until the stream ends or nobody receives it; returns which of them.
    async fn run(self, first: Bytes, stop: CancellationToken) -> &'static str {
        let Self { mut subscription, mut account, sockets, to } = self;
        let mut check = interval(CHECK_PERIOD);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next, mut senders, mut is_refused) = (Some(first), Vec::new(), false);
        let reason = loop {
            if let Some(bytes) = next.take() {
                let datagrams = Datagrams::of(bytes);
                datagrams.add_senders(&mut senders);
                let sent = sockets.send_all(&datagrams, &to).await;
                if sent == 0 && !is_refused {
                    is_refused = true;
                    let group = account.address;
                    tracing::warn!(%group, protocol = "rtsp", "multicast is not sent: there is no route for it, or no interface");
                }
                account.sent.bytes.fetch_add(sent as u64, Ordering::Relaxed);
            }
            tokio::select! {
                () = stop.cancelled() => break "no viewers",
                _ = check.tick() => subscription.tick(&mut account, Instant::now()),
                found = poll_fn(|context| subscription.poll_next(&mut account, context, Instant::now())) => match found {
                    Next::Packet(packet) => next = Some(packet.payload()),
                    Next::End(reason) => break reason,
                },
            }
        };
        sockets.say_goodbye(&to, &senders);
        reason
    }
}

/// What is counted for the viewers of a group.
#[derive(Debug)]
struct GroupAccount {
    sent: Arc<Sent>,
    is_reduced: bool,
    address: IpAddr,
}

impl Account for GroupAccount {
    fn withdrawn(&self) -> Option<&'static str> {
        None
    }

    fn sent(&mut self, bytes: u64, _: &dyn Fn() -> &'static str) {
        self.sent.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn lagged(&mut self, packets: u64) {
        self.sent.lost.fetch_add(packets, Ordering::Relaxed);
    }

    fn is_reduced(&self) -> bool {
        self.is_reduced
    }

    fn reduced(&mut self, is_reduced: bool) {
        self.is_reduced = is_reduced;
        let group = self.address;
        tracing::info!(%group, protocol = "rtsp", is_reduced, "multicast is too slow: keyframes only");
    }

    fn report(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(network: &str) -> Groups {
        let config =
            Multicast { groups: network.parse().unwrap(), port: 5004, ttl: 3, interface: Some("lo".to_owned()) };
        Groups::bind(&config).unwrap()
    }

    #[tokio::test]
    async fn each_stream_has_a_group_while_somebody_holds_it() {
        let groups = groups("239.255.42.0/31");
        let one = groups.of("one").unwrap();
        assert!(Arc::ptr_eq(&one, &groups.of("one").unwrap()));
        let two = groups.of("two").unwrap();
        let address =
            |group: &Group, number| group.track(number).map(|track| format!("{}:{}", track.address, track.port));
        assert_eq!(address(&one, 0).as_deref(), Some("239.255.42.0:5004"));
        assert_eq!(address(&two, 2).as_deref(), Some("239.255.42.1:5008"));
        assert_eq!(address(&one, 40_000), None);
        assert!(groups.of("three").is_none());
        let stop = one.stop.clone();
        drop(one);
        assert!(stop.is_cancelled());
        assert_eq!(address(&groups.of("three").unwrap(), 0).as_deref(), Some("239.255.42.0:5004"));
        // One whose stream has ended is no longer given away.
        two.ended.cancel();
        assert!(!Arc::ptr_eq(&two, &groups.of("two").unwrap()));
    }

    #[tokio::test]
    async fn an_interface_that_is_missing_is_an_error() {
        let config = Multicast {
            groups: "239.255.42.0/31".parse().unwrap(),
            port: 5004,
            ttl: 1,
            interface: Some("nosuch0".to_owned()),
        };
        assert_eq!(Groups::bind(&config).unwrap_err().to_string(), "there is no network interface `nosuch0`");
    }
}
