//! What a port needs of the rest of the server.

use crate::{
    access::Gate,
    config,
    engine::registry::Registry,
    net::ConnectionLimiter,
    sys::{Shutdown, overload::CurrentLoad},
    telemetry::SrtStats,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What of a configuration counts for new connections.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The section of this protocol.
    pub settings: config::Srt,
    /// The streams.
    pub registry: Registry,
}

/// What a port needs of the server.
#[derive(Debug, Clone)]
pub struct Services {
    /// Decides who may have what.
    pub gate: Gate,
    /// Permits connections.
    pub limiter: ConnectionLimiter,
    /// Whether the machine keeps up.
    pub load: CurrentLoad,
    /// Counts.
    pub stats: Arc<SrtStats>,
    /// Runs tasks.
    pub shutdown: Shutdown,
}

/// Locks, whatever happened to who held it before.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
