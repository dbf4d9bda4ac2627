//! What is to happen with a feed or stream: the pure state lifecycle behind every supervisor.

use std::time::{Duration, Instant};

/// Pause before the second attempt in a row; it doubles with each further one. The first attempt is made at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two attempts while failures are few: with the start of a worker, viewers have a picture again
/// within a second.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// Failures in a row that are answered that quickly.
const QUICK_RETRIES: u32 = 24;
/// Time that pays for the answer to one further failure: with the quick ones, no more than 60 in ten minutes.
const RETRY_COST: Duration = Duration::from_secs(17);
/// Who has run this long is well: the next death is a first one.
const HEALTHY: Duration = Duration::from_secs(5);

/// When a source is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Runs although nobody wants it.
    pub continuous: bool,
    /// Runs this long after the last one who wanted it.
    pub linger: Duration,
    /// Is started again when it dies.
    pub restart: bool,
}

/// Where a source is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not running, not wanted.
    Idle,
    /// Started; no media yet.
    Starting,
    /// Delivers media since then.
    Running {
        /// Time of the first media.
        since: Instant,
    },
    /// Runs, but its device captures nothing.
    NoSignal {
        /// Time of the first media, if it came.
        since: Option<Instant>,
    },
    /// Delivers no more, though it has not ended. It is told to, and begins anew.
    Stalled {
        /// How long it had delivered.
        ran: Duration,
    },
    /// Runs, unwanted, until then.
    Lingering {
        /// When it will be stopped.
        until: Instant,
        /// Time of the first media, if it came.
        since: Option<Instant>,
    },
    /// Told to end; not gone yet.
    Stopping,
    /// Died; will be started then.
    Backoff {
        /// When.
        until: Instant,
    },
    /// Its device is not there; will be started when it is.
    WaitingDevice,
    /// Died and is not to be resurrected while the same demand lasts.
    Dead,
}

impl State {
    /// One word for logs and pages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Running { .. } => "running",
            Self::NoSignal { .. } => "no-signal",
            Self::Stalled { .. } => "stalled",
            Self::Lingering { .. } => "lingering",
            Self::Stopping => "stopping",
            Self::Backoff { .. } => "backoff",
            Self::WaitingDevice => "waiting-device",
            Self::Dead => "dead",
        }
    }
}

impl State {
    /// Whether it runs and media came.
    pub const fn has_media(self) -> bool {
        matches!(self, Self::Running { .. } | Self::Lingering { since: Some(_), .. })
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Someone wants it, or nobody does any more.
    Wanted(bool),
    /// It is to run by these rules from now on.
    Policy(Policy),
    /// The first media came, since the start or since there was no signal.
    FirstMedia,
    /// Its device captures nothing any more.
    SignalLost,
    /// It runs, and its media stays away longer than its pace explains.
    Stalled,
    /// It runs no more, by itself or because it was told to.
    Ended(End),
    /// The device that it waits for is there.
    DeviceThere,
    /// Time passed.
    Tick,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As it was told to, or because its media was at its end.
    Clean,
    /// With a fault.
    Failed,
    /// Because its device is not there.
    NoDevice,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the source. Never given while one runs.
    Start,
    /// Tell the source to end; `Input::Ended` follows.
    Stop,
}

/// The life of one source.
#[derive(Debug)]
pub struct Lifecycle {
    policy: Policy,
    state: State,
    wanted: bool,
    /// Deaths since it was last well.
    failures: u32,
    /// Answers to failures are retry_budget for until then.
    retry_budget: Option<Instant>,
}

impl Lifecycle {
    /// An idle source.
    pub fn new(policy: Policy) -> Self {
        Self { policy, state: State::Idle, wanted: false, failures: 0, retry_budget: None }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// When `Input::Tick` is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Lingering { until, .. } | State::Backoff { until } => Some(until),
            _ => None,
        }
    }

    /// Takes what happened and says what to do.
    pub fn handle(&mut self, now: Instant, input: Input) -> Option<Action> {
        match input {
            Input::Wanted(wanted) => self.wanted = wanted,
            Input::Policy(policy) => self.policy = policy,
            Input::FirstMedia
            | Input::SignalLost
            | Input::Stalled
            | Input::Ended(_)
            | Input::DeviceThere
            | Input::Tick => {}
        }
        let wanted = self.wanted || self.policy.continuous;
        let (state, action) = match (self.state, input) {
            (State::Idle, _) if wanted => (State::Starting, Some(Action::Start)),
            (State::Dead, _) if !wanted => (State::Idle, None),
            (State::Dead, _) if self.policy.restart => (State::Starting, Some(Action::Start)),
            (State::Backoff { .. }, _) if !wanted => (State::Idle, None),
            (State::Backoff { until }, _) if now >= until => (State::Starting, Some(Action::Start)),

            (State::WaitingDevice, _) if !wanted => (State::Idle, None),
            (State::WaitingDevice, Input::DeviceThere) => (State::Starting, Some(Action::Start)),

            (State::Stopping, Input::Ended(_)) => {
                self.failures = 0;
                if wanted { (State::Starting, Some(Action::Start)) } else { (State::Idle, None) }
            }
            (State::Starting | State::Lingering { .. }, Input::Ended(how)) => self.failed(now, wanted, None, how),
            (State::Running { since }, Input::Ended(how)) => {
                self.failed(now, wanted, Some(now.saturating_duration_since(since)), how)
            }
            (State::NoSignal { since }, Input::Ended(how)) => {
                self.failed(now, wanted, since.map(|since| now.saturating_duration_since(since)), how)
            }
            // It ended as it was told to, but not because all was well.
            (State::Stalled { ran }, Input::Ended(how)) => {
                let how = if how == End::NoDevice { how } else { End::Failed };
                self.failed(now, wanted, Some(ran), how)
            }

            (State::Running { since } | State::NoSignal { since: Some(since) }, Input::Stalled) => {
                (State::Stalled { ran: now.saturating_duration_since(since) }, Some(Action::Stop))
            }
            (State::Lingering { .. }, Input::Stalled) => (State::Stopping, Some(Action::Stop)),
            (State::Stalled { .. }, _) if !wanted => (State::Stopping, None),

            (State::Starting, Input::FirstMedia) => (State::Running { since: now }, None),
            (State::NoSignal { since }, Input::FirstMedia) => (State::Running { since: since.unwrap_or(now) }, None),
            (State::Starting, Input::SignalLost) if wanted => (State::NoSignal { since: None }, None),
            (State::Running { since }, Input::SignalLost) if wanted => (State::NoSignal { since: Some(since) }, None),
            (State::Lingering { until, since: None }, Input::FirstMedia) => {
                (State::Lingering { until, since: Some(now) }, None)
            }

            (State::Starting, _) if !wanted => self.unwanted(now, None),
            (State::Running { since }, _) if !wanted => self.unwanted(now, Some(since)),
            (State::NoSignal { since }, _) if !wanted => self.unwanted(now, since),
            (State::Lingering { since, .. }, _) if wanted => {
                (since.map_or(State::Starting, |since| State::Running { since }), None)
            }
            (State::Lingering { until, .. }, _) if now >= until => (State::Stopping, Some(Action::Stop)),

            (state, _) => (state, None),
        };
        self.state = state;
        action
    }

    fn unwanted(&self, now: Instant, since: Option<Instant>) -> (State, Option<Action>) {
        if self.policy.linger.is_zero() {
            (State::Stopping, Some(Action::Stop))
        } else {
            (State::Lingering { until: now + self.policy.linger, since }, None)
        }
    }

    /// `ran`: how long it delivered, if it did.
    fn failed(&mut self, now: Instant, wanted: bool, ran: Option<Duration>, how: End) -> (State, Option<Action>) {
        let was_well = ran.is_some_and(|ran| ran >= HEALTHY);
        self.failures = if was_well { 1 } else { self.failures.saturating_add(1) };
        if !wanted {
            return (State::Idle, None);
        }
        if !self.policy.restart {
            return (State::Dead, None);
        }
        let due = match how {
            End::NoDevice => return (State::WaitingDevice, None),
            // Media that comes in pieces, one after the other, is no fault.
            End::Clean if ran.is_some() => now,
            End::Clean | End::Failed => self.spend_retry(now),
        };
        let due = due.max(now + pause(self.failures));
        if due > now { (State::Backoff { until: due }, None) } else { (State::Starting, Some(Action::Start)) }
    }

    /// When a failure at `now` may be answered: at once, unless too many were of late.
    fn spend_retry(&mut self, now: Instant) -> Instant {
        let retry_budget = self.retry_budget.map_or(now, |retry_budget| retry_budget.max(now)) + RETRY_COST;
        self.retry_budget = Some(retry_budget);
        retry_budget.checked_sub(QUICK_RETRIES * RETRY_COST).map_or(now, |due| due.max(now))
    }
}

/// How long to wait after this many failures in a row.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(2) {
        Some(doublings) => MAX_PAUSE.min(FIRST_PAUSE * (1 << doublings.min(8))),
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ON_DEMAND: Policy = Policy { continuous: false, linger: Duration::ZERO, restart: true };
    const SECOND: Duration = Duration::from_secs(1);

    fn run(policy: Policy, inputs: &[(u64, Input)]) -> (State, Vec<(u64, Action)>) {
        let start = Instant::now();
        let mut lifecycle = Lifecycle::new(policy);
        let mut actions = Vec::new();
        for &(millis, input) in inputs {
            let action = lifecycle.handle(start + Duration::from_millis(millis), input);
            actions.extend(action.map(|action| (millis, action)));
        }
        (lifecycle.state(), actions)
    }

    #[test]
    fn on_demand_runs_while_wanted() {
        let (state, actions) = run(
            ON_DEMAND,
            &[
                (0, Input::Tick),
                (1, Input::Wanted(true)),
                (2, Input::FirstMedia),
                (9, Input::Wanted(false)),
                (10, Input::Ended(End::Failed)),
            ],
        );
        assert_eq!(actions, [(1, Action::Start), (9, Action::Stop)]);
        assert_eq!(state, State::Idle);
    }

    #[test]
    fn continuous_runs_from_the_first_tick() {
        let (_, actions) = run(
            Policy { continuous: true, ..ON_DEMAND },
            &[(0, Input::Tick), (5, Input::Wanted(true)), (6, Input::Wanted(false))],
        );
        assert_eq!(actions, [(0, Action::Start)]);
    }

    #[test]
    fn linger_is_honoured_to_the_tick_and_ended_by_a_new_wish() {
        let policy = Policy { linger: SECOND, ..ON_DEMAND };
        let inputs =
            [(0, Input::Wanted(true)), (1, Input::FirstMedia), (100, Input::Wanted(false)), (1099, Input::Tick)];
        let (state, actions) = run(policy, &inputs);
        assert!(matches!(state, State::Lingering { .. }));
        assert_eq!(actions, [(0, Action::Start)]);
        let (_, actions) = run(policy, &[&inputs[..], &[(1100, Input::Tick)]].concat());
        assert_eq!(actions, [(0, Action::Start), (1100, Action::Stop)]);
        let (state, actions) =
            run(policy, &[&inputs[..], &[(1099, Input::Wanted(true)), (1101, Input::Tick)]].concat());
        assert!(matches!(state, State::Running { .. }));
        assert_eq!(actions, [(0, Action::Start)]);
    }

    /// A lifecycle that is wanted and has been told to start, and for each end: after how many milliseconds it starts anew.
    fn pauses(lifecycle: &mut Lifecycle, mut now: Instant, ends: &[(u64, bool, End)]) -> Vec<u128> {
        ends.iter()
            .map(|&(millis, media, end)| {
                if media {
                    lifecycle.handle(now, Input::FirstMedia);
                }
                now += Duration::from_millis(millis);
                if lifecycle.handle(now, Input::Ended(end)) == Some(Action::Start) {
                    return 0;
                }
                let until = lifecycle.deadline().unwrap();
                let pause = (until - now).as_millis();
                now = until;
                assert_eq!(lifecycle.handle(now, Input::Tick), Some(Action::Start));
                pause
            })
            .collect()
    }

    fn started() -> (Lifecycle, Instant) {
        let (mut lifecycle, now) = (Lifecycle::new(ON_DEMAND), Instant::now());
        assert_eq!(lifecycle.handle(now, Input::Wanted(true)), Some(Action::Start));
        (lifecycle, now)
    }

    #[test]
    fn first_death_is_answered_at_once_and_further_ones_after_short_pauses() {
        let (mut lifecycle, now) = started();
        let took = pauses(&mut lifecycle, now, &[(0, false, End::Failed); 24]);
        assert_eq!(took[..6], [0, 100, 200, 400, 500, 500]);
        assert_eq!(took[23], 500);
        let (mut lifecycle, now) = started();
        let well = HEALTHY.as_millis().try_into().unwrap();
        let took =
            pauses(&mut lifecycle, now, &[(9, true, End::Failed), (9, true, End::Failed), (well, true, End::Failed)]);
        assert_eq!(took, [0, 100, 0], "well for a while: at once again");
    }

    #[test]
    fn a_source_that_flaps_is_started_sixty_times_in_ten_minutes_at_most() {
        for (up, media) in [(0, false), (1000, true), (5000, true), (6000, true), (9000, true)] {
            let (mut lifecycle, now) = started();
            let mut starts: Vec<u128> = Vec::new();
            let mut time = 0;
            for pause in pauses(&mut lifecycle, now, &[(up, media, End::Failed); 500]) {
                time += u128::from(up) + pause;
                starts.push(time);
            }
            for (n, start) in starts.iter().enumerate() {
                let within = starts[n..].iter().filter(|other| **other - start < 600_000).count();
                assert!(within <= 60, "{within} starts in 10 minutes from {start} on, up {up} ms");
            }
        }
    }

    #[test]
    fn media_in_pieces_is_no_fault() {
        let (mut lifecycle, now) = started();
        let took = pauses(&mut lifecycle, now, &[(3000, true, End::Clean); 1000]);
        assert!(took.iter().all(|pause| *pause <= 500), "{took:?}");
        let (mut lifecycle, now) = started();
        let took = pauses(&mut lifecycle, now, &[(0, false, End::Clean); 30]);
        assert!(took[29] > 10_000, "an end without media is one");
    }

    #[test]
    fn a_stalled_source_is_stopped_and_begins_anew() {
        let (_, actions) = run(
            ON_DEMAND,
            &[
                (0, Input::Wanted(true)),
                (1, Input::FirstMedia),
                (5, Input::Stalled),
                (6, Input::Stalled),
                (9, Input::Ended(End::Clean)),
            ],
        );
        assert_eq!(actions, [(0, Action::Start), (5, Action::Stop), (9, Action::Start)]);
    }

    #[test]
    fn every_input_in_every_state() {
        const INPUTS: [Input; 10] = [
            Input::Wanted(true),
            Input::Wanted(false),
            Input::FirstMedia,
            Input::SignalLost,
            Input::Stalled,
            Input::Ended(End::Clean),
            Input::Ended(End::Failed),
            Input::Ended(End::NoDevice),
            Input::DeviceThere,
            Input::Tick,
        ];
        let now = Instant::now();
        let later = now + SECOND;
        // Where each of the inputs leads; `+` starts the source, `-` stops it.
        let same = |word| [word; 10].join(" ");
        let table = [
            (State::Idle, "+starting idle idle idle idle idle idle idle idle idle".to_owned()),
            (
                State::Starting,
                "starting lingering running no-signal starting +starting +starting waiting-device starting starting"
                    .to_owned(),
            ),
            (
                State::Running { since: now },
                "running lingering running no-signal -stalled +starting +starting waiting-device running running"
                    .to_owned(),
            ),
            (
                State::NoSignal { since: Some(now) },
                "no-signal lingering running no-signal -stalled +starting +starting waiting-device no-signal no-signal"
                    .to_owned(),
            ),
            (
                State::Stalled { ran: SECOND },
                "stalled stopping stalled stalled stalled +starting +starting waiting-device stalled stalled"
                    .to_owned(),
            ),
            (
                State::Lingering { until: later, since: Some(now) },
                "running -stopping -stopping -stopping -stopping idle idle idle -stopping -stopping".to_owned(),
            ),
            (
                State::Stopping,
                "stopping stopping stopping stopping stopping idle idle idle stopping stopping".to_owned(),
            ),
            (State::Backoff { until: later }, same("+starting").replacen(" +starting", " idle", 1)),
            (State::WaitingDevice, format!("{0} idle {0} {0} {0} {0} {0} {0} +starting {0}", "waiting-device")),
            (State::Dead, same("+starting").replacen(" +starting", " idle", 1)),
        ];
        let policy = Policy { linger: SECOND, ..ON_DEMAND };
        for (state, row) in table {
            let wanted = !matches!(state, State::Idle | State::Lingering { .. } | State::Stopping);
            for (input, expected) in INPUTS.into_iter().zip(row.split(' ')) {
                let mut lifecycle = Lifecycle { policy, state, wanted, failures: 0, retry_budget: None };
                let sign = match lifecycle.handle(later, input) {
                    Some(Action::Start) => "+",
                    Some(Action::Stop) => "-",
                    None => "",
                };
                assert_eq!(format!("{sign}{}", lifecycle.state().word()), expected, "{input:?} in {state:?}");
            }
        }
    }

    #[test]
    fn no_resurrect_stays_dead_until_a_new_demand() {
        let policy = Policy { restart: false, ..ON_DEMAND };
        let death = [
            (0, Input::Wanted(true)),
            (1, Input::FirstMedia),
            (2, Input::Ended(End::Failed)),
            (9000, Input::Tick),
            (9001, Input::Wanted(true)),
        ];
        assert_eq!(run(policy, &death), (State::Dead, vec![(0, Action::Start)]));
        let again = [&death[..], &[(9002, Input::Wanted(false)), (9003, Input::Wanted(true))]].concat();
        assert_eq!(run(policy, &again).1, [(0, Action::Start), (9003, Action::Start)]);
    }

    #[test]
    fn wanted_again_while_stopping_starts_when_it_is_gone() {
        let (_, actions) = run(
            ON_DEMAND,
            &[
                (0, Input::Wanted(true)),
                (1, Input::Wanted(false)),
                (2, Input::Wanted(true)),
                (3, Input::Ended(End::Failed)),
            ],
        );
        assert_eq!(actions, [(0, Action::Start), (1, Action::Stop), (3, Action::Start)]);
    }

    proptest! {
        #[test]
        fn never_two_at_once_and_the_wanted_always_return(
            steps in prop::collection::vec((0u64..3000, 0u8..10), 1..200), linger in 0u64..2000, continuous: bool,
        ) {
            let policy = Policy { continuous, linger: Duration::from_millis(linger), restart: true };
            let mut lifecycle = Lifecycle::new(policy);
            let mut now = Instant::now();
            let (mut runs, mut wanted) = (false, false);
            for (millis, what) in steps {
                now += Duration::from_millis(millis);
                let input = match what {
                    0 => { wanted = true; Input::Wanted(true) }
                    1 => { wanted = false; Input::Wanted(false) }
                    2 if runs => { runs = false; Input::Ended(End::Failed) }
                    3 if runs => Input::FirstMedia,
                    4 if runs => Input::Stalled,
                    5 if runs => { runs = false; Input::Ended(End::Clean) }
                    6 if runs => { runs = false; Input::Ended(End::NoDevice) }
                    7 => Input::DeviceThere,
                    8 if runs => Input::SignalLost,
                    _ => Input::Tick,
                };
                match lifecycle.handle(now, input) {
                    Some(Action::Start) => { prop_assert!(!runs); runs = true; }
                    Some(Action::Stop) => prop_assert!(runs && (input == Input::Stalled || !wanted && !continuous)),
                    None => {}
                }
            }
            // Whatever the history: what is wanted comes to run, what is not comes to rest.
            let want = wanted || continuous;
            for _ in 0..4 {
                now = lifecycle.deadline().map_or(now, |deadline| deadline.max(now)) + Duration::from_millis(1);
                let input = match lifecycle.state() {
                    State::Stopping | State::Stalled { .. } => { runs = false; Input::Ended(End::Clean) }
                    State::WaitingDevice => Input::DeviceThere,
                    _ => Input::Tick,
                };
                match lifecycle.handle(now, input) {
                    Some(Action::Start) => { prop_assert!(!runs); runs = true; }
                    Some(Action::Stop) | None => {}
                }
            }
            prop_assert_eq!(runs, want, "{:?}", lifecycle.state());
        }
    }
}
