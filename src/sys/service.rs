//! The service manager: notifications (sd_notify(3)), the watchdog, and inherited sockets (sd_listen_fds(3)). Without one nothing
//! happens.

use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::{
    io,
    net::TcpListener,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use super::monotonic;

/// A loop without a heartbeat for this long is stalled.
const ALIVE: Duration = Duration::from_secs(5);

/// The event loops that the watchdog monitors.
#[derive(Debug, Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<Watched>>>);

/// A monitored loop, until it drops its pulse.
#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    beat: Weak<AtomicU64>,
}

/// The heartbeat of one loop.
#[derive(Debug)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulses {
    /// Monitors a loop until it drops the pulse.
    pub fn add(&self, name: impl Into<Arc<str>>) -> Pulse {
        let pulse = Pulse(Arc::new(AtomicU64::new(millis())));
        let watched = Watched { name: name.into(), beat: Arc::downgrade(&pulse.0) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        pulse
    }

    /// The names of the stalled loops.
    pub fn stalled(&self) -> Vec<Arc<str>> {
        self.stalled_at(millis())
    }

    fn stalled_at(&self, now: u64) -> Vec<Arc<str>> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|watched| watched.beat.strong_count() > 0);
        let age = |beat: Arc<AtomicU64>| Duration::from_millis(now.saturating_sub(beat.load(Ordering::Relaxed)));
        let late = watched.iter().filter(|watched| watched.beat.upgrade().is_some_and(|beat| age(beat) >= ALIVE));
        late.map(|watched| watched.name.clone()).collect()
    }
}

impl Pulse {
    /// How long a loop may sleep between two heartbeats.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// Called once in each iteration of the loop.
    pub fn beat(&self) {
        self.0.store(millis(), Ordering::Relaxed);
    }
}

fn millis() -> u64 {
    u64::try_from(monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// The listening socket that the service manager opened.
///
/// # Errors
/// When the inherited descriptor is no such socket.
pub fn inherited_listener() -> io::Result<Option<TcpListener>> {
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    // Workers and commands must not inherit it.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

/// Notifies that the server accepts connections.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Notifies that the configuration is being reloaded; [`ready`] follows, whatever the result.
pub fn reloading() {
    // systemd ignores the message without the time.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// Notifies that the server shuts down.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Sends watchdog and status notifications until it is dropped. A thread of its own: it must notice when all others are
/// stuck.
#[derive(Debug)]
pub struct Watch(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Watch {
    /// Monitors these loops; `status` returns the status line.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(pulses: Pulses, status: impl Fn() -> String + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let watch = move || watch(&pulses, &stopped, status);
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(watch)?;
        Ok(Self(Some((stop, thread))))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

fn watch(pulses: &Pulses, stopped: &mpsc::Receiver<()>, status: impl Fn() -> String) {
    let watchdog = sd_notify::watchdog_enabled();
    // Half the limit, as sd_watchdog_enabled(3) recommends; without a watchdog, the interval of the status.
    let period = watchdog.map_or(Duration::from_secs(5), |limit| limit / 2);
    let (mut sent, mut before) = (String::new(), Vec::new());
    loop {
        let stalled = pulses.stalled();
        if !stalled.is_empty() && stalled != before {
            tracing::error!(?stalled, "event loop stalled: no keep-alive for the watchdog");
        }
        if stalled.is_empty() && watchdog.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
        before = stalled;
        let status = status();
        if status != sent {
            notify(&[NotifyState::Status(&status)]);
            sent = status;
        }
        if stopped.recv_timeout(period) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // A service manager that does not listen has no watchdog either.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_without_heartbeat_is_stalled() {
        let (pulses, now) = (Pulses::default(), millis());
        let late = now + 4000 + u64::try_from(ALIVE.as_millis()).unwrap();
        assert!(pulses.stalled_at(late).is_empty(), "no loop is monitored");
        let (one, two) = (pulses.add("one"), pulses.add("two"));
        assert!(pulses.stalled_at(now + 1000).is_empty());
        assert_eq!(pulses.stalled_at(late), ["one".into(), "two".into()]);
        one.0.store(late, Ordering::Relaxed);
        assert_eq!(pulses.stalled_at(late), ["two".into()]);
        drop(two);
        assert!(pulses.stalled_at(late).is_empty(), "a dropped pulse is not monitored");
        one.beat();
        assert!(pulses.stalled().is_empty());
    }
}
