//! The UDP port of all sessions: bound once, received from by one thread, sent to by all shards.

use super::{
    bridge::Bridges,
    candidates::{advertised, doubt},
    directory::{Directory, Full, Place},
    event_loop::Loop,
    mux::{SessionId, Source, is_application_data, is_media},
    send::{Connections, SendPath},
    session::{Identity, Session},
    shard::{Datagram, Shard},
};
use crate::{
    config,
    net::{ReceivedDatagrams, interface_addresses},
    sys::service::Pulses,
    telemetry::{Dropped, WebRtcStats},
};
use socket2::SockRef;
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use str0m::{Candidate, net::TcpType};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What the kernel keeps for us, in each direction.
const SOCKET_BUFFER: usize = 4 << 20;
/// How long the receiver waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(250);
/// Most datagrams of one call that the receiver handles itself: where more come in the time that it takes for these, the shards have to
/// share the work.
const FEW: usize = 4;
/// Interval of the look-ups of names.
const RESOLVE: Duration = Duration::from_secs(60);
/// Offers that are answered at a time: each costs a core for 2 ms. And those that may wait for it.
const ANSWERS: usize = 2;
const WAITING: usize = 64;

/// The sessions of a server, and the port that they share. Clones are the same.
#[derive(Debug, Clone)]
pub struct WebRtc(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Mutex<config::WebRtc>,
    /// The address of HTTP.
    listen: SocketAddr,
    port: u16,
    identity: Identity,
    /// The advertised addresses, and whether the log has them.
    addresses: Mutex<(Vec<IpAddr>, bool)>,
    directory: Arc<Directory>,
    shards: Vec<Arc<Shard>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    answers: Semaphore,
    waiting: Semaphore,
    stats: Arc<WebRtcStats>,
    connections: Arc<Connections>,
    bridges: Bridges,
    stop: CancellationToken,
}

impl WebRtc {
    /// Binds the port, and starts `shards` threads that serve it. `listen` is the address of HTTP: its number is that of the port
    /// where the configuration has none. `is_any`: the system chose that number, and may choose another one.
    ///
    /// # Errors
    /// When the port is taken, or the system has no thread left.
    pub fn start(
        config: &config::WebRtc,
        listen: SocketAddr,
        is_any: bool,
        shards: usize,
        (pulses, stats): (&Pulses, &Arc<WebRtcStats>),
    ) -> io::Result<Self> {
        let wanted = SocketAddr::new(listen.ip(), config.udp.unwrap_or(listen.port()));
        let socket = match bind(wanted) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_any && config.udp.is_none() => {
                bind(SocketAddr::new(listen.ip(), 0))?
            }
            bound => bound?,
        };
        let port = socket.local_addr()?.port();
        let identity = Identity::generate().ok_or_else(|| io::Error::other("cannot make a certificate for DTLS"))?;
        let socket = Arc::new(socket);
        let directory = Arc::new(Directory::default());
        let connections = Arc::new(Connections::default());
        let path = SendPath::new(socket.clone(), listen.is_ipv6(), connections.clone(), stats.clone());
        let (mut started, mut loops, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..shards.max(1) {
            let (shard, name) = (Arc::new(Shard::default()), format!("webrtc-{number}"));
            let event_loop =
                Loop::new(shard.clone(), directory.clone(), path.clone(), (pulses.add(name.clone()), stats.clone()));
            let event_loop = Arc::new(Mutex::new(event_loop));
            loops.push(event_loop.clone());
            threads.push(std::thread::Builder::new().name(name).spawn(move || Loop::run(&event_loop))?);
            started.push(shard);
        }
        let inner = Inner {
            config: Mutex::new(config.clone()),
            listen,
            port,
            identity,
            // What needs no look-up is known to the first client.
            addresses: Mutex::new((advertised(&literal(config), listen.ip(), &interface_addresses()), false)),
            directory,
            shards: started,
            threads: Mutex::default(),
            answers: Semaphore::new(ANSWERS),
            waiting: Semaphore::new(ANSWERS + WAITING),
            stats: stats.clone(),
            connections,
            bridges: Bridges::default(),
            stop: CancellationToken::new(),
        };
        let this = Self(Arc::new(inner));
        let receiver = Receiver { socket, webrtc: this.clone(), loops };
        threads.push(std::thread::Builder::new().name("webrtc-rx".to_owned()).spawn(move || receiver.run())?);
        *this.0.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(this)
    }

    /// Whether it is bound where this configuration asks for, beside HTTP at this address.
    pub fn is_at(&self, config: &config::WebRtc, listen: SocketAddr) -> bool {
        self.config().udp == config.udp && self.0.listen == listen
    }

    /// Whether both are the same sessions.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What of another configuration needs no other port: sessions stay.
    pub async fn reconfigure(&self, config: &config::WebRtc) {
        *self.0.config.lock().unwrap_or_else(PoisonError::into_inner) = config.clone();
        let found = self.look_up().await;
        self.set_addresses(found);
    }

    /// Has what is behind data channels serve those of a session, which `about` describes.
    pub fn bridge(&self, session: &mut Session, of: (Arc<Shard>, SessionId), about: Vec<(&'static str, String)>) {
        let hooks = self.config().channels;
        if !hooks.is_empty() {
            let labels = hooks.iter().map(|hook| hook.label.clone()).collect();
            session.set_hooks(labels, self.0.bridges.serve(&hooks, of, about));
        }
    }

    fn config(&self) -> config::WebRtc {
        self.0.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds out under which addresses viewers reach the server, now and once a minute, until it is stopped. To be run as a task.
    pub async fn resolve(self) {
        loop {
            let found = self.look_up().await;
            self.set_addresses(found);
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(RESOLVE) => {}
            }
        }
    }

    async fn look_up(&self) -> Vec<IpAddr> {
        let mut hosts = Vec::new();
        for host in &self.config().hosts {
            match tokio::net::lookup_host((host.as_str(), self.0.port)).await {
                Ok(found) => hosts.extend(found.map(|address| address.ip())),
                Err(error) => tracing::warn!(host, %error, "host of webrtc not found"),
            }
        }
        advertised(&hosts, self.0.listen.ip(), &interface_addresses())
    }

    fn set_addresses(&self, found: Vec<IpAddr>) {
        let mut known = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if known.1 && known.0 == found {
            return;
        }
        *known = (found.clone(), true);
        drop(known);
        let addresses: Vec<_> = found.iter().map(ToString::to_string).collect();
        let (addresses, port) = (addresses.join(","), self.0.port);
        match doubt(&found) {
            Some(doubt) => tracing::info!(addresses, port, doubt, "webrtc candidates"),
            None => tracing::info!(addresses, port, "webrtc candidates"),
        }
    }

    /// The candidates of each answer.
    pub fn candidates(&self) -> Vec<Candidate> {
        let (addresses, _) = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let over_udp = addresses.iter().map(|address| SocketAddr::new(*address, self.0.port));
        let over_udp = over_udp.filter_map(|address| Candidate::host(address, "udp").ok());
        let over_tcp = addresses.iter().filter(|_| self.has_tcp()).map(|address| {
            let address = SocketAddr::new(*address, self.0.listen.port());
            Candidate::builder().tcp().host(address).tcptype(TcpType::Passive).build()
        });
        over_udp.chain(over_tcp.filter_map(Result::ok)).collect()
    }

    /// The advertised address that stands for all that a socket of one family receives.
    pub fn destination(&self, source: Source) -> SocketAddr {
        let known = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, _) = &*known;
        let same = addresses.iter().find(|address| address.is_ipv4() == source.address.is_ipv4());
        let port = if source.is_tcp { self.0.listen.port() } else { self.0.port };
        SocketAddr::new(same.or(addresses.first()).copied().unwrap_or(self.0.listen.ip()), port)
    }

    /// Hands a datagram to its session; `false` when it has none.
    pub fn receive(&self, source: Source, datagram: &[u8]) -> bool {
        let route = self.route(source, datagram);
        route.inspect(|route| self.hand_over(*route, source, datagram)).is_some()
    }

    /// The session of a datagram, and its shard.
    fn route(&self, source: Source, datagram: &[u8]) -> Option<(SessionId, usize)> {
        let route = self.directory().route(source, datagram);
        if route.is_none() {
            self.0.stats.dropped(Dropped::Unknown, 1);
        }
        route
    }

    fn hand_over(&self, (id, shard): (SessionId, usize), source: Source, datagram: &[u8]) {
        if is_media(datagram) && is_lost() {
            return;
        }
        let datagram = Datagram { source, destination: self.destination(source), bytes: datagram.to_vec() };
        if !self.shard(shard).is_some_and(|shard| shard.receive(id, datagram)) {
            self.0.stats.dropped(Dropped::Overrun, 1);
        }
    }

    /// Whether viewers may connect to the port of HTTP.
    pub fn has_tcp(&self) -> bool {
        self.config().tcp
    }

    /// Servers of STUN and TURN for clients.
    pub fn ice_servers(&self) -> Vec<String> {
        self.config().ice_servers
    }

    /// The connections of such viewers.
    pub fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// What all sessions have in common.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The sessions.
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// A place for one more session of a client.
    ///
    /// # Errors
    /// When there are too many.
    pub fn place(&self, address: IpAddr) -> Result<Place, Full> {
        self.0.directory.place(address)
    }

    /// Runs what costs a core for a moment, not too much of it at a time. `None` when too much waits for it, or when it panics.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
        let _waiting = self.0.waiting.try_acquire().map_err(|_| NotDone::Busy)?;
        let _permit = self.0.answers.acquire().await.map_err(|_| NotDone::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| NotDone::Panicked)
    }

    /// The shard with the fewest sessions.
    pub fn emptiest(&self) -> usize {
        let shards = self.0.shards.iter().enumerate();
        shards.min_by_key(|(_, shard)| shard.sessions()).map_or(0, |(number, _)| number)
    }

    /// A shard.
    pub fn shard(&self, number: usize) -> Option<&Arc<Shard>> {
        self.0.shards.get(number)
    }

    /// The statistics.
    pub fn stats(&self) -> &WebRtcStats {
        &self.0.stats
    }

    /// Ends all sessions and all threads, and waits for them: about a quarter of a second.
    pub fn stop(&self) {
        self.0.stop.cancel();
        self.0.shards.iter().for_each(|shard| shard.close());
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    /// Too much waits for it.
    Busy,
    /// It panicked.
    Panicked,
}

/// The configured addresses that are no names.
fn literal(config: &config::WebRtc) -> Vec<IpAddr> {
    config.hosts.iter().filter_map(|host| host.parse().ok()).collect()
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    let options = SockRef::from(&socket);
    // As much as the system permits.
    let _ = options.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = options.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_read_timeout(Some(LOOK))?;
    // A full socket drops what is sent: no viewer waits for another.
    socket.set_write_timeout(Some(Duration::from_millis(1)))?;
    Ok(socket)
}

/// The thread that receives.
struct Receiver {
    socket: Arc<UdpSocket>,
    webrtc: WebRtc,
    /// What the threads of the shards work with.
    loops: Vec<Arc<Mutex<Loop>>>,
}

impl Receiver {
    fn run(self) {
        let mut received = ReceivedDatagrams::default();
        while !self.webrtc.0.stop.is_cancelled() {
            match received.read(&*self.socket, true) {
                Ok(()) => self.take(&received),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot receive datagrams");
                    std::thread::sleep(LOOK);
                }
            }
        }
    }

    fn take(&self, received: &ReceivedDatagrams) {
        let are_few = received.len() <= FEW;
        for (datagram, peer) in received.datagrams() {
            let source = Source { address: SocketAddr::new(peer.ip().to_canonical(), peer.port()), is_tcp: false };
            let Some(route) = self.webrtc.route(source, datagram) else { continue };
            if !(are_few && is_application_data(datagram) && self.handle(route, source, datagram)) {
                self.webrtc.hand_over(route, source, datagram);
            }
        }
    }

    /// Handles a datagram of a data channel in this thread, if that of its shard sleeps: a message need not wait until another thread has
    /// woken up. Media and handshakes take longer, and are left to the shards.
    fn handle(&self, (id, shard): (SessionId, usize), source: Source, datagram: &[u8]) -> bool {
        let (Some(event_loop), Some(shard)) = (self.loops.get(shard), self.webrtc.shard(shard)) else { return false };
        let Some(mut event_loop) = shard.lock_asleep(event_loop) else { return false };
        event_loop.receive(id, (source, self.webrtc.destination(source)), datagram, Instant::now());
        let due = event_loop.due();
        drop(event_loop);
        due.into_iter().for_each(|due| shard.due(due));
        true
    }
}

/// Whether tests have the packet lost on its way here.
fn is_lost() -> bool {
    fail::fail_point!("webrtc-received-loss", |_| true);
    false
}
