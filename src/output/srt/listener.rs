//! A port: the side that the rest of the server uses.

use super::{
    context::{Deployed, Services, lock},
    datagrams::Datagrams,
    event_loop,
};
use crate::sys::service::Pulses;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    thread::JoinHandle,
};

/// A bound port, and the thread that serves it.
#[derive(Debug)]
pub struct SrtListener {
    address: SocketAddr,
    shared: Arc<event_loop::Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A bound port that is not served yet.
#[derive(Debug)]
pub struct Bound(Datagrams);

impl Bound {
    /// Binds a port.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        Datagrams::bind(address).map(Self)
    }
}

impl SrtListener {
    /// Serves a port, in a thread of its own that `pulses` monitors. To be called inside of the runtime.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(bound: Bound, deployed: Deployed, services: Services, pulses: &Pulses) -> io::Result<Self> {
        let address = bound.0.address()?;
        let name = format!("srt-{}", address.port());
        let (event_loop, shared) = event_loop::Loop::new(bound.0, deployed, services, pulses.add(name.clone()))?;
        let thread = std::thread::Builder::new().name(name).spawn(move || event_loop.run())?;
        tracing::info!(%address, protocol = "srt", "listening");
        Ok(Self { address, shared, thread: Mutex::new(Some(thread)) })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// This counts for new connections. With another passphrase all present ones end.
    pub fn apply(&self, deployed: Deployed) {
        let ends_all = {
            let mut current = self.shared.deployed();
            let ends_all = current.settings.passphrase != deployed.settings.passphrase;
            *current = Arc::new(deployed);
            ends_all
        };
        if ends_all {
            self.shared.withdraw.store(true, Ordering::Release);
            self.shared.wake();
        }
    }

    /// Ends all connections and waits, less than a second. Blocking.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}
