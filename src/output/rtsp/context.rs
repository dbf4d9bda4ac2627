//! What all connections of RTSP have in common.

use super::{
    multicast::Groups, sessions::Sessions, shard::DatagramShards, table::RtspTable, tunnel::Tunnels, udp::UdpPair,
};
use crate::{
    access::Gate,
    config::Plain,
    net::tls::Tls,
    output::shard::pool::Shards,
    sys::{
        Shutdown,
        overload::{CurrentLoad, LoadLevel},
    },
    telemetry::{HttpStats, Refusal},
};
use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// Encryption, where it is configured, and who may do without.
pub type Encryption = Option<(Tls, Plain)>;

/// What all connections have in common.
#[derive(Debug)]
pub struct Context {
    /// Decides who may do what.
    pub gate: Gate,
    /// The streams.
    pub table: watch::Receiver<Arc<RtspTable>>,
    /// Encrypts.
    pub encryption: watch::Receiver<Encryption>,
    /// Runs tasks, and ends them.
    pub shutdown: Shutdown,
    /// Write to players over their connections.
    pub shards: Arc<Shards>,
    /// Send to players in datagrams.
    pub datagram_shards: DatagramShards,
    /// Sessions whose packets travel in datagrams.
    pub sessions: Sessions,
    /// Halves of connections through HTTP.
    pub tunnels: Tunnels,
    /// The statistics of all requests.
    pub http_stats: Arc<HttpStats>,
    /// Of the machine.
    pub load: CurrentLoad,
    /// The ports for datagrams, unless they are switched off.
    pub udp: Mutex<Option<Arc<UdpPair>>>,
    /// The groups that streams may be sent to, where they are configured.
    pub groups: Mutex<Option<Arc<Groups>>>,
}

impl Context {
    /// The ports for datagrams, unless they are switched off.
    pub fn udp(&self) -> Option<Arc<UdpPair>> {
        self.udp.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The groups that streams may be sent to, where they are configured.
    pub fn groups(&self) -> Option<Arc<Groups>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a client at this address may do without encryption.
    pub fn permits_plain(&self, peer: IpAddr) -> bool {
        self.encryption.borrow().as_ref().is_none_or(|(_, plain)| plain.permits(peer))
    }

    /// A name for a session that cannot be guessed.
    pub fn session_id(&self) -> String {
        let mut random = [0; 16];
        // Without random numbers there would be no gate either.
        let _ = rand::fill(&mut random);
        HEXLOWER.encode(&random)
    }

    /// Whether new viewers are refused, which is counted.
    pub fn is_overloaded(&self) -> bool {
        let is_overloaded = self.load.level() >= LoadLevel::Overloaded;
        if is_overloaded {
            self.http_stats.refused(Refusal::Viewer);
        }
        is_overloaded
    }
}
