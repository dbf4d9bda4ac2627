//! What takes connections beside the port of HTTP: opened for a configuration, and exchanged with it.

use crate::{
    config::{self, Config, ControlPlace, Plain},
    engine::registry::Registry,
    net::{ControlSocket, tls::Tls, usual_place},
    output::{
        srt::{self, SrtListener},
        webrtc::WebRtc,
    },
    status::server_info::ServerInfo,
    sys::service::Pulses,
    telemetry::WebRtcStats,
};
use anyhow::Context;
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio_util::sync::CancellationToken;

/// The control socket of a server with this port. Where the configuration does not name it, the server does without if need be. Blocking.
pub(super) fn bind_control(place: &ControlPlace, port: u16) -> anyhow::Result<Option<ControlSocket>> {
    let path = match place {
        ControlPlace::Off => return Ok(None),
        ControlPlace::Path(path) => Some(path.clone()),
        ControlPlace::Usual => usual_place(port),
    };
    let Some(path) = path else {
        tracing::debug!("no control socket: there is no folder for it, name one as api.socket");
        return Ok(None);
    };
    let bound = ControlSocket::bind(&path).with_context(|| format!("cannot listen on {}", path.display()));
    match bound {
        Ok(socket) => {
            tracing::info!(path = %socket.path().display(), "control socket");
            Ok(Some(socket))
        }
        Err(error) if *place == ControlPlace::Usual => {
            tracing::warn!(error = format!("{error:#}"), "no control socket");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The sessions of WebRTC that a configuration asks for beside HTTP at this address, or those of before if they have the same port.
pub(super) fn start_webrtc(
    config: &Config,
    address: SocketAddr,
    watched: (&Pulses, &Arc<WebRtcStats>),
    before: Option<&WebRtc>,
) -> anyhow::Result<Option<WebRtc>> {
    let Some(wanted) = &config.webrtc else { return Ok(None) };
    if let Some(same) = before.filter(|webrtc| webrtc.is_at(wanted, address)) {
        return Ok(Some(same.clone()));
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let started = WebRtc::start(wanted, address, config.listen_port == 0, cores, watched);
    let port = wanted.udp.unwrap_or(address.port());
    let started = started.with_context(|| format!("cannot use UDP port {port} of {} for webrtc", address.ip()));
    started.map(Some)
}

/// The encryption that a configuration asks for, or that of before if it is the same. `state` is the folder of what survives a restart.
pub(super) fn load_tls(config: &Config, state: Option<&Path>, before: Option<&Tls>) -> anyhow::Result<Option<Tls>> {
    let Some(wanted) = &config.tls else { return Ok(None) };
    if let Some(same) = before.filter(|tls| tls.is_of(wanted)) {
        return Ok(Some(same.clone()));
    }
    Ok(Some(Tls::load(wanted, state).context("cannot use the certificate of `tls`")?))
}

pub(super) fn with_plain(config: &Config, tls: Option<Tls>) -> Option<(Tls, Plain)> {
    Some((tls?, config.tls.as_ref()?.plain))
}

/// An encryption whose certificate is renewed by a task.
pub(super) struct FollowedTls {
    pub(super) tls: Option<Tls>,
    /// Ends all of them.
    all: CancellationToken,
    /// Ends that of now.
    task: CancellationToken,
}

impl FollowedTls {
    pub(super) fn start(tls: Option<Tls>, info: &ServerInfo, all: &CancellationToken) -> Self {
        let mut followed = Self { tls: None, all: all.clone(), task: all.child_token() };
        followed.exchange(tls, info);
        followed
    }

    pub(super) fn exchange(&mut self, tls: Option<Tls>, info: &ServerInfo) {
        if let (Some(new), Some(old)) = (&tls, &self.tls)
            && new.is_same(old)
        {
            // Its task, which may be in the middle of an order, continues.
            return;
        }
        self.task.cancel();
        self.task = self.all.child_token();
        info.certificate_failed(None);
        info.certificate_stats().used(None);
        if let Some(tls) = &tls {
            let (stats, info) = (info.certificate_stats().clone(), info.clone());
            tokio::spawn(tls.clone().follow(self.task.clone(), stats, move |error| info.certificate_failed(error)));
        }
        self.tls = tls;
    }
}

pub(super) fn bind_srt(settings: &config::Srt) -> anyhow::Result<srt::Bound> {
    let address = settings.listen;
    srt::Bound::new(address).with_context(|| format!("cannot listen on {address} for SRT"))
}

/// The port for SRT, as the configuration has it.
pub(super) struct SrtPort {
    listener: Option<SrtListener>,
    /// Where it was configured to listen.
    address: Option<SocketAddr>,
    services: srt::Services,
    pulses: Pulses,
}

impl SrtPort {
    pub(super) fn start(
        bound: Option<srt::Bound>,
        config: &Config,
        registry: &Registry,
        services: srt::Services,
        pulses: Pulses,
    ) -> Self {
        let mut port = Self { listener: None, address: None, services, pulses };
        port.exchange(bound, config, registry);
        port
    }

    /// The socket of a port that another configuration has; `None` when it is the same one, or there is none.
    pub(super) fn bind_other(&self, settings: Option<&config::Srt>) -> anyhow::Result<Option<srt::Bound>> {
        let other = settings.filter(|settings| self.listener.is_none() || self.address != Some(settings.listen));
        other.map(bind_srt).transpose()
    }

    /// Another configuration counts, whose socket is bound if it is another one. Blocking.
    pub(super) fn exchange(&mut self, bound: Option<srt::Bound>, config: &Config, registry: &Registry) {
        let Some(settings) = config.srt.clone() else {
            self.close();
            return;
        };
        self.address = Some(settings.listen);
        let deployed = srt::Deployed { settings, registry: registry.clone() };
        match (bound, &self.listener) {
            (Some(bound), _) => {
                self.close();
                match SrtListener::start(bound, deployed, self.services.clone(), &self.pulses) {
                    Ok(listener) => self.listener = Some(listener),
                    Err(error) => tracing::error!(%error, "cannot start the thread of SRT"),
                }
            }
            (None, Some(listener)) => listener.apply(deployed),
            (None, None) => {}
        }
    }

    /// Where it listens; `None` while it does not.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(SrtListener::address)
    }

    /// Ends all connections. Blocking.
    pub(super) fn close(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
    }
}
