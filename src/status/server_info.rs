//! The state of the server itself, reported by the code that runs it.

use super::history::History;
use crate::{
    sys::{overload::CurrentLoad, service::Pulses},
    telemetry::{CertificateStats, HlsStats, HookStats, HttpStats, JournalStats, OtlpStats, SrtStats, WebRtcStats},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

/// Most characters of an error that are kept.
const MAX_ERROR: usize = 2000;

/// The server as a whole. Clones share it.
#[derive(Debug, Clone)]
pub struct ServerInfo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: SystemTime,
    since: Instant,
    state: Mutex<RuntimeState>,
    loops: Pulses,
    stats: Arc<HttpStats>,
    webrtc: Arc<WebRtcStats>,
    srt: Arc<SrtStats>,
    hls: Arc<HlsStats>,
    journal: Arc<JournalStats>,
    hooks: Arc<HookStats>,
    history: History,
    otlp: Arc<OtlpStats>,
    certificate: Arc<CertificateStats>,
    load: CurrentLoad,
    connections: Arc<AtomicUsize>,
}

/// What changes while the server runs.
#[derive(Debug, Clone)]
pub struct RuntimeState {
    /// When the active configuration was applied.
    pub loaded: SystemTime,
    /// Why the newest configuration was rejected.
    pub rejected: Option<String>,
    /// Why the newest certificate is not used.
    pub bad_certificate: Option<String>,
    /// Whether the server is shutting down.
    pub stopping: bool,
    /// Where it listens, by protocol.
    pub listening: BTreeMap<&'static str, SocketAddr>,
}

impl ServerInfo {
    /// A server that starts now, with these monitored loops, and the number of its open connections.
    pub fn new(loops: Pulses, connections: Arc<AtomicUsize>) -> Self {
        let started = SystemTime::now();
        let state = Mutex::new(RuntimeState {
            loaded: started,
            rejected: None,
            bad_certificate: None,
            stopping: false,
            listening: BTreeMap::new(),
        });
        let (since, stats, load) = (Instant::now(), Arc::default(), CurrentLoad::default());
        let (webrtc, srt, hls) = (Arc::default(), Arc::default(), Arc::default());
        let (journal, hooks, otlp) = (Arc::default(), Arc::default(), Arc::default());
        Self(Arc::new(Inner {
            started,
            since,
            state,
            loops,
            stats,
            webrtc,
            srt,
            hls,
            journal,
            hooks,
            history: History::default(),
            otlp,
            certificate: Arc::default(),
            load,
            connections,
        }))
    }

    /// When the server started.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// When the server started, on the monotonic clock.
    pub fn since(&self) -> Instant {
        self.0.since
    }

    /// A new configuration was applied.
    pub fn config_applied(&self) {
        let mut state = self.lock();
        state.loaded = SystemTime::now();
        state.rejected = None;
    }

    /// A new configuration was rejected; the previous one stays active.
    pub fn config_rejected(&self, errors: &str) {
        self.lock().rejected = Some(errors.chars().take(MAX_ERROR).collect());
    }

    /// The newest certificate is not used for this reason, or is used.
    pub fn certificate_failed(&self, error: Option<String>) {
        self.lock().bad_certificate = error;
    }

    /// The server listens there from now on, by protocol.
    pub fn listens(&self, listening: BTreeMap<&'static str, SocketAddr>) {
        self.lock().listening = listening;
    }

    /// The server starts to shut down.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// The statistics of all HTTP requests.
    pub fn http_stats(&self) -> &Arc<HttpStats> {
        &self.0.stats
    }

    /// The statistics of the sessions of WebRTC.
    pub fn webrtc_stats(&self) -> &Arc<WebRtcStats> {
        &self.0.webrtc
    }

    /// The statistics of all connections of SRT.
    pub fn srt_stats(&self) -> &Arc<SrtStats> {
        &self.0.srt
    }

    /// The statistics of HLS and DASH.
    pub fn hls_stats(&self) -> &Arc<HlsStats> {
        &self.0.hls
    }

    /// The statistics of the journal.
    pub fn journal_stats(&self) -> &Arc<JournalStats> {
        &self.0.journal
    }

    /// What hooks do.
    pub fn hook_stats(&self) -> &Arc<HookStats> {
        &self.0.hooks
    }

    /// How the streams did in the last minutes.
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// What becomes of the spans of traces.
    pub fn otlp_stats(&self) -> &Arc<OtlpStats> {
        &self.0.otlp
    }

    /// What is known of the certificate of the server.
    pub fn certificate_stats(&self) -> &Arc<CertificateStats> {
        &self.0.certificate
    }

    /// The load level of the machine.
    pub fn load(&self) -> &CurrentLoad {
        &self.0.load
    }

    /// How many connections of clients are open.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// The names of the stalled event loops.
    pub fn stalled_loops(&self) -> Vec<Arc<str>> {
        self.0.loops.stalled()
    }

    /// The current state.
    pub fn state(&self) -> RuntimeState {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RuntimeState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
