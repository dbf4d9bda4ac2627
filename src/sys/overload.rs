//! Detects that the machine is overloaded. [`OverloadDetector`] decides and is pure; [`watch`] runs it once a second.
//!
//! Busy processors alone are no problem: an encoder uses what it gets. Neither are late packets alone: that may be a moment.
//! Both together, for seconds, harm viewers: then new work that is not essential is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

/// Length of a sample.
const PERIOD: Duration = Duration::from_secs(1);
/// Share of processor time from which a sample is bad.
const BUSY: f64 = 0.95;
/// Shortest wait of a packet for its write from which a sample is bad: viewers notice a quarter of a second.
const LATE: Duration = Duration::from_millis(250);
/// Bad samples in a row before the level rises by one.
const UP: u32 = 3;
/// Good samples in a row before the level falls by one.
const DOWN: u32 = 5;

/// What the server still accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadLevel {
    /// Everything.
    #[default]
    Normal,
    /// No new stills.
    Degraded,
    /// No new viewers either.
    Overloaded,
}

impl LoadLevel {
    const ALL: [Self; 3] = [Self::Normal, Self::Degraded, Self::Overloaded];

    /// The value in the state.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "calm",
            Self::Degraded => "strained",
            Self::Overloaded => "overloaded",
        }
    }
}

/// The measurements of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Share of processor time that was used, 0 to 1.
    pub busy: f64,
    /// Shortest wait of a packet for its write; zero when there was no packet.
    pub late: Duration,
}

/// Decides the load level.
#[derive(Debug, Default)]
pub struct OverloadDetector {
    level: LoadLevel,
    /// Bad samples in a row, or good ones.
    streak: u32,
    was_bad: bool,
}

impl OverloadDetector {
    /// Takes the next sample; returns the level from now on.
    pub fn sample(&mut self, sample: Sample) -> LoadLevel {
        let is_bad = sample.busy >= BUSY && sample.late >= LATE;
        self.streak = if is_bad == self.was_bad { self.streak + 1 } else { 1 };
        self.was_bad = is_bad;
        if self.streak >= if is_bad { UP } else { DOWN } {
            self.streak = 0;
            self.level = match (self.level, is_bad) {
                (LoadLevel::Normal, true) => LoadLevel::Degraded,
                (LoadLevel::Degraded | LoadLevel::Overloaded, true) => LoadLevel::Overloaded,
                (LoadLevel::Overloaded, false) => LoadLevel::Degraded,
                (LoadLevel::Degraded | LoadLevel::Normal, false) => LoadLevel::Normal,
            };
        }
        self.level
    }
}

/// The current load level, shared with everything that starts new work. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CurrentLoad(Arc<AtomicU8>);

impl CurrentLoad {
    /// The level now.
    pub fn level(&self) -> LoadLevel {
        LoadLevel::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    fn set(&self, level: LoadLevel) {
        self.0.store(level as u8, Ordering::Relaxed);
    }
}

/// Samples once a second, for ever. `late` returns the shortest wait of a packet since it was last called.
pub async fn watch(load: CurrentLoad, late: impl Fn() -> Duration) {
    let (mut detector, mut before) = (OverloadDetector::default(), Ticks::now());
    let mut round = tokio::time::interval(PERIOD);
    loop {
        round.tick().await;
        let now = Ticks::now();
        let busy = now.zip(before).map_or(0.0, |(now, before)| now.busy_since(before));
        before = now;
        let was = load.level();
        let is = detector.sample(measured(Sample { busy, late: late() }));
        load.set(is);
        match is {
            _ if is == was => {}
            LoadLevel::Normal => tracing::info!("overload ended: snapshots and new viewers accepted"),
            LoadLevel::Degraded => tracing::warn!("overloaded: snapshots refused"),
            LoadLevel::Overloaded => tracing::warn!("overloaded: snapshots and new viewers refused"),
        }
    }
}

/// The sample, or what a test injects instead: `load=return(<busy in percent> <late in milliseconds>)`.
fn measured(sample: Sample) -> Sample {
    fail::fail_point!("load", |values| {
        let values = values.unwrap_or_default();
        let mut values = values.split(' ').map(|number| number.parse::<u32>().unwrap_or_default());
        let busy = f64::from(values.next().unwrap_or_default()) / 100.0;
        Sample { busy, late: Duration::from_millis(values.next().unwrap_or_default().into()) }
    });
    sample
}

/// Processor time since boot, in ticks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    /// `None` without `/proc`.
    fn now() -> Option<Self> {
        Self::read(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat` (proc(5)): `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal. The
    /// rest are parts of the first two.
    fn read(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        let ticks: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().sum() })
    }

    fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        // A second has few ticks.
        #[allow(clippy::cast_precision_loss, reason = "see above")]
        if all == 0 { 0.0 } else { (all - idle) as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter for each sample: `b`usy, `l`ate, `B`oth, `.` for neither; and the level after each.
    #[track_caller]
    fn check(periods: &str, expected: &str) {
        let mut detector = OverloadDetector::default();
        let levels = periods.chars().map(|period| {
            let busy = if matches!(period, 'b' | 'B') { 0.99 } else { 0.5 };
            let late = Duration::from_millis(if matches!(period, 'l' | 'B') { 400 } else { 2 });
            match detector.sample(Sample { busy, late }) {
                LoadLevel::Normal => 'n',
                LoadLevel::Degraded => 'd',
                LoadLevel::Overloaded => 'o',
            }
        });
        assert_eq!(levels.collect::<String>(), expected, "{periods}");
    }

    #[test]
    fn level_rises_only_when_the_machine_is_busy_and_late_for_seconds() {
        check("bbbbbbbbbb", "nnnnnnnnnn");
        check("llllllllll", "nnnnnnnnnn");
        check("BB.BB.BBlBB", "nnnnnnnnnnn");
        check("BBBBBBBB", "nndddooo");
        check("BBB.....", "nndddddn");
        check("BBBBBB..........B", "nndddooooodddddnn");
        check("BBBBBB....B.....", "nndddooooooooood");
    }

    #[test]
    fn processor_time_is_read() {
        let before = Ticks::read("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!(before, Ticks { idle: 850, all: 1000 });
        let now = Ticks::read("cpu  160 0 70 810 60 5 5 0 30 0\n").unwrap();
        assert_eq!(now.busy_since(before), 90.0 / 110.0);
        assert_eq!((before.busy_since(before), before.busy_since(now)), (0.0, 0.0));
        assert_eq!([Ticks::read(""), Ticks::read("cpu 1 2"), Ticks::read("intr 1 2 3 4 5 6")], [None; 3]);
        assert!(Ticks::now().is_some_and(|ticks| ticks.all > ticks.idle));
    }
}
