//! Whether the machine still keeps up. [`Breaker`] decides and is pure; [`watch`] has it look once a second.
//!
//! That all processors are busy is no fault: an encoder takes what it gets. That packets leave late is none either, it may be
//! a moment. Both together, for seconds, hurt those who watch: then what can be done without is not begun any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Of the processors' time, in a period.
const BUSY: f64 = 0.95;
/// What even the quickest packet of a period waited until it was with the kernel: a quarter of a second is seen and heard.
const LATE: Duration = Duration::from_millis(250);
/// Bad periods in a row, each time, until less is begun.
const UP: u32 = 3;
/// Good periods in a row until more is begun again.
const DOWN: u32 = 5;

/// What is still begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// All.
    #[default]
    Calm,
    /// No pictures are made.
    Strained,
    /// Nobody begins to watch, either.
    Overloaded,
}

impl Load {
    const ALL: [Self; 3] = [Self::Calm, Self::Strained, Self::Overloaded];

    /// As it is told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Strained => "strained",
            Self::Overloaded => "overloaded",
        }
    }
}

/// How one period was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Share of the processors' time that was used, 0 to 1.
    pub busy: f64,
    /// What even the quickest packet waited; zero when there was none.
    pub late: Duration,
}

/// Decides what is still begun.
#[derive(Debug, Default)]
pub struct Breaker {
    load: Load,
    /// Bad periods in a row, or good ones.
    streak: u32,
    was_bad: bool,
}

impl Breaker {
    /// A period was like this; returns what is begun from now on.
    pub fn sample(&mut self, sample: Sample) -> Load {
        let is_bad = sample.busy >= BUSY && sample.late >= LATE;
        self.streak = if is_bad == self.was_bad { self.streak + 1 } else { 1 };
        self.was_bad = is_bad;
        if self.streak >= if is_bad { UP } else { DOWN } {
            self.streak = 0;
            self.load = match (self.load, is_bad) {
                (Load::Calm, true) => Load::Strained,
                (Load::Strained | Load::Overloaded, true) => Load::Overloaded,
                (Load::Overloaded, false) => Load::Strained,
                (Load::Strained | Load::Calm, false) => Load::Calm,
            };
        }
        self.load
    }
}

/// What is still begun, for all who begin something. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Pressure(Arc<AtomicU8>);

impl Pressure {
    /// What is begun now.
    pub fn load(&self) -> Load {
        Load::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    fn set(&self, load: Load) {
        self.0.store(load as u8, Ordering::Relaxed);
    }
}

/// Looks once a second, for ever. `late` tells what even the quickest packet waited since it was asked last.
pub async fn watch(pressure: Pressure, late: impl Fn() -> Duration) {
    let (mut breaker, mut before) = (Breaker::default(), Ticks::now());
    let mut round = tokio::time::interval(PERIOD);
    loop {
        round.tick().await;
        let now = Ticks::now();
        let busy = now.zip(before).map_or(0.0, |(now, before)| now.busy_since(before));
        before = now;
        let was = pressure.load();
        let is = breaker.sample(measured(Sample { busy, late: late() }));
        pressure.set(is);
        match is {
            _ if is == was => {}
            Load::Calm => tracing::info!("the machine keeps up again: everything is begun"),
            Load::Strained => tracing::warn!("the machine does not keep up: no pictures are made"),
            Load::Overloaded => tracing::warn!("the machine does not keep up: no new viewers, and no pictures"),
        }
    }
}

/// What was measured, or what a test says instead: `load=return(<busy in percent> <late in milliseconds>)`.
fn measured(sample: Sample) -> Sample {
    fail::fail_point!("load", |said| {
        let said = said.unwrap_or_default();
        let mut said = said.split(' ').map(|number| number.parse::<u32>().unwrap_or_default());
        let busy = f64::from(said.next().unwrap_or_default()) / 100.0;
        Sample { busy, late: Duration::from_millis(said.next().unwrap_or_default().into()) }
    });
    sample
}

/// The processors' time since the machine began, in the system's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    /// `None` where there is no such file.
    fn now() -> Option<Self> {
        Self::read(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat` (proc(5)): `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal. What
    /// follows are parts of the first two.
    fn read(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        let ticks: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().sum() })
    }

    fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        // Ticks of a second are few.
        #[allow(clippy::cast_precision_loss, reason = "see above")]
        if all == 0 { 0.0 } else { (all - idle) as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter for each period: `b`usy, `l`ate, `B`oth, `.` for none; and what is begun after each.
    #[track_caller]
    fn check(periods: &str, expected: &str) {
        let mut breaker = Breaker::default();
        let loads = periods.chars().map(|period| {
            let busy = if matches!(period, 'b' | 'B') { 0.99 } else { 0.5 };
            let late = Duration::from_millis(if matches!(period, 'l' | 'B') { 400 } else { 2 });
            match breaker.sample(Sample { busy, late }) {
                Load::Calm => 'c',
                Load::Strained => 's',
                Load::Overloaded => 'o',
            }
        });
        assert_eq!(loads.collect::<String>(), expected, "{periods}");
    }

    #[test]
    fn less_is_begun_only_when_the_machine_is_busy_and_late_for_seconds() {
        check("bbbbbbbbbb", "cccccccccc");
        check("llllllllll", "cccccccccc");
        check("BB.BB.BBlBB", "ccccccccccc");
        check("BBBBBBBB", "ccsssooo");
        check("BBB.....", "ccsssssc");
        check("BBBBBB..........B", "ccsssooooossssscc");
        check("BBBBBB....B.....", "ccsssoooooooooos");
    }

    #[test]
    fn time_of_processors_is_read() {
        let before = Ticks::read("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!(before, Ticks { idle: 850, all: 1000 });
        let now = Ticks::read("cpu  160 0 70 810 60 5 5 0 30 0\n").unwrap();
        assert_eq!(now.busy_since(before), 90.0 / 110.0);
        assert_eq!((before.busy_since(before), before.busy_since(now)), (0.0, 0.0));
        assert_eq!([Ticks::read(""), Ticks::read("cpu 1 2"), Ticks::read("intr 1 2 3 4 5 6")], [None; 3]);
        assert!(Ticks::now().is_some_and(|ticks| ticks.all > ticks.idle));
    }
}
