//! The service manager that started us, if one did: what it is told (sd_notify(3)), and the sockets it hands over
//! (sd_listen_fds(3)). Without one nothing happens.

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

/// A loop that beats has been round within this time.
const ALIVE: Duration = Duration::from_secs(5);

/// The loops of the program that must go round.
#[derive(Debug, Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<Watched>>>);

/// A loop, until it drops its pulse.
#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    beat: Weak<AtomicU64>,
}

/// A sign of life of one loop of the program.
#[derive(Debug)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulses {
    /// For a loop that is watched from now on, until it drops this.
    pub fn add(&self, name: impl Into<Arc<str>>) -> Pulse {
        let pulse = Pulse(Arc::new(AtomicU64::new(millis())));
        let watched = Watched { name: name.into(), beat: Arc::downgrade(&pulse.0) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        pulse
    }

    /// The names of the loops that have not come round in time.
    pub fn missing(&self) -> Vec<Arc<str>> {
        self.missing_at(millis())
    }

    fn missing_at(&self, now: u64) -> Vec<Arc<str>> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|watched| watched.beat.strong_count() > 0);
        let age = |beat: Arc<AtomicU64>| Duration::from_millis(now.saturating_sub(beat.load(Ordering::Relaxed)));
        let late = watched.iter().filter(|watched| watched.beat.upgrade().is_some_and(|beat| age(beat) >= ALIVE));
        late.map(|watched| watched.name.clone()).collect()
    }
}

impl Pulse {
    /// How long a loop may sleep between two beats.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// The loop has come round.
    pub fn beat(&self) {
        self.0.store(millis(), Ordering::Relaxed);
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

/// Tells that all is well as long as it is, and what the server does, until it is dropped. A thread of its own: it is to
/// see it when all others are stuck.
#[derive(Debug)]
pub struct Watch(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Watch {
    /// Watches these loops; `status` is one line on what the server does.
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
    // Half the limit, as sd_watchdog_enabled(3) has it; without a limit, to tell what is served.
    let period = watchdog.map_or(Duration::from_secs(5), |limit| limit / 2);
    let (mut told, mut missed) = (String::new(), Vec::new());
    loop {
        let missing = pulses.missing();
        if !missing.is_empty() && missing != missed {
            tracing::error!(
                ?missing,
                "does not come round any more, the watchdog of the service manager is not answered"
            );
        }
        if missing.is_empty() && watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
        missed = missing;
        let status = status();
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        if stopped.recv_timeout(period) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Who does not listen has no watchdog either.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_beat_is_missed() {
        let (pulses, now) = (Pulses::default(), millis());
        let late = now + 4000 + u64::try_from(ALIVE.as_millis()).unwrap();
        assert!(pulses.missing_at(late).is_empty(), "nobody is watched");
        let (one, two) = (pulses.add("one"), pulses.add("two"));
        assert!(pulses.missing_at(now + 1000).is_empty());
        assert_eq!(pulses.missing_at(late), ["one".into(), "two".into()]);
        one.0.store(late, Ordering::Relaxed);
        assert_eq!(pulses.missing_at(late), ["two".into()]);
        drop(two);
        assert!(pulses.missing_at(late).is_empty(), "who has left is not missed");
        one.beat();
        assert!(pulses.missing().is_empty());
    }
}
