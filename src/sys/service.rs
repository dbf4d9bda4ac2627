//! The service manager that started us, if one did: what it is told (sd_notify(3)), and the sockets it hands over
//! (sd_listen_fds(3)). Without one nothing happens.

use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::{
    io,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::monotonic;

/// A loop that beats has been round within this time. Each goes round once a second when nothing else happens.
const ALIVE: Duration = Duration::from_secs(5);

/// A sign of life of one loop of the program.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<AtomicU64>);

impl Default for Pulse {
    fn default() -> Self {
        let pulse = Self(Arc::default());
        pulse.beat();
        pulse
    }
}

impl Pulse {
    /// How long a loop may sleep between two beats.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// The loop has come round.
    pub fn beat(&self) {
        self.0.store(millis(), Ordering::Relaxed);
    }

    /// Whether the loop still comes round.
    pub fn is_alive(&self) -> bool {
        let age = millis().saturating_sub(self.0.load(Ordering::Relaxed));
        Duration::from_millis(age) < ALIVE
    }
}

fn millis() -> u64 {
    u64::try_from(monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// The listening socket that the service manager has opened for us.
///
/// # Errors
/// When what it hands over is no such socket.
pub fn inherited_listener() -> io::Result<Option<TcpListener>> {
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    // It is not for workers and commands.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

/// The server listens and serves.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] follows, however that goes.
pub fn reloading() {
    // Without its time systemd does not take the message.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The server ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells that all is well as long as it is, and what the server does, until it is dropped.
pub async fn watch(pulses: Vec<(&'static str, Pulse)>, status: impl Fn() -> String) {
    let watchdog = sd_notify::watchdog_enabled();
    // Half the limit, as sd_watchdog_enabled(3) has it; without a limit, to tell what is served.
    let mut ticks = tokio::time::interval(watchdog.map_or(Duration::from_secs(5), |limit| limit / 2));
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let dead: Vec<_> = pulses.iter().filter(|(_, pulse)| !pulse.is_alive()).map(|(name, _)| *name).collect();
        if dead.is_empty() {
            if watchdog.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
        } else {
            tracing::error!(?dead, "does not come round any more: the service manager will start the server anew");
        }
        let status = status();
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Who does not listen has no watchdog either.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}
