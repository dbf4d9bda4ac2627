//! When a feed or stream starts, stops and restarts: the state machine of every supervisor. Pure.

use std::time::{Duration, Instant};

/// Pause before the second restart in a row; it doubles with each further one. The first restart is immediate.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a restart while failures are few: with the start of a worker, viewers have video again within a
/// second.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// Size of the retry budget: failures in a row that are followed by a quick restart.
const QUICK_RETRIES: u32 = 24;
/// Time in which the budget regains one restart: with the quick ones, no more than 60 in ten minutes.
const RETRY_REFILL: Duration = Duration::from_secs(17);
/// A source that ran this long is healthy: its next failure counts as a first one.
const HEALTHY: Duration = Duration::from_secs(5);

/// When a source runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Runs without users.
    pub continuous: bool,
    /// Runs this long after its last use.
    pub linger: Duration,
    /// Restarts when it fails.
    pub restart: bool,
}

/// Where a source is in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Does not run; has no users.
    Idle,
    /// Started; no media yet.
    Starting,
    /// Delivers media since then.
    Running {
        /// Time of the first media.
        since: Instant,
    },
    /// Runs; its device captures nothing.
    NoSignal {
        /// Time of the first media, if it came.
        since: Option<Instant>,
    },
    /// Runs and delivers nothing any more. It is being stopped, and restarts.
    Stalled {
        /// How long it delivered.
        ran: Duration,
    },
    /// Runs without users until then.
    Lingering {
        /// When it is stopped.
        until: Instant,
        /// Time of the first media, if it came.
        since: Option<Instant>,
    },
    /// Is being stopped.
    Stopping,
    /// Failed; restarts then.
    Backoff {
        /// When.
        until: Instant,
    },
    /// Its device is absent; starts when it appears.
    WaitingDevice,
    /// Runs, and there is no publisher.
    WaitingPublisher,
    /// Failed, and does not restart while the present users last (`no-resurrect`).
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
            Self::WaitingPublisher => "waiting-publisher",
            Self::Dead => "dead",
        }
    }
}

impl State {
    /// Whether it runs and has delivered media.
    pub const fn has_media(self) -> bool {
        matches!(self, Self::Running { .. } | Self::Lingering { since: Some(_), .. })
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// It has users, or none any more.
    InUse(bool),
    /// Its policy changed.
    Policy(Policy),
    /// It is not to run from now on, whoever uses it; or it may again.
    Held(bool),
    /// Someone ordered a restart.
    Restart,
    /// The first media arrived since the start, or since there was no signal.
    FirstMedia,
    /// Its device captures nothing any more.
    SignalLost,
    /// There is no publisher, or none any more.
    NoPublisher,
    /// It runs, and has delivered nothing for longer than its usual pauses.
    Stalled,
    /// It ended, by itself or because it was stopped.
    Ended(End),
    /// The device that it waits for appeared.
    DeviceThere,
    /// Time passed.
    Tick,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was stopped, or its media ended.
    Clean,
    /// With an error.
    Failed,
    /// Its device is absent.
    NoDevice,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the source. Never given while one runs.
    Start,
    /// Stop the source; `Input::Ended` follows.
    Stop,
}

/// The lifecycle of one source.
#[derive(Debug)]
pub struct Lifecycle {
    policy: Policy,
    state: State,
    in_use: bool,
    is_held: bool,
    /// Failures since it was last healthy.
    failures: u32,
    /// When the retry budget is full again, if restarts were taken from it.
    retry_budget_full_at: Option<Instant>,
}

impl Lifecycle {
    /// An idle source.
    pub fn new(policy: Policy) -> Self {
        Self { policy, state: State::Idle, in_use: false, is_held: false, failures: 0, retry_budget_full_at: None }
    }

    /// The present state.
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

    /// Handles what happened and returns what to do.
    pub fn handle(&mut self, now: Instant, input: Input) -> Option<Action> {
        match input {
            Input::InUse(in_use) => self.in_use = in_use,
            Input::Policy(policy) => self.policy = policy,
            Input::Held(is_held) => self.is_held = is_held,
            Input::Restart
            | Input::FirstMedia
            | Input::SignalLost
            | Input::NoPublisher
            | Input::Stalled
            | Input::Ended(_)
            | Input::DeviceThere
            | Input::Tick => {}
        }
        let in_use = (self.in_use || self.policy.continuous) && !self.is_held;
        let (state, action) = match (self.state, input) {
            (State::Idle, _) if in_use => (State::Starting, Some(Action::Start)),
            (State::Dead, _) if !in_use => (State::Idle, None),
            (State::Dead, _) if self.policy.restart => (State::Starting, Some(Action::Start)),
            (State::Backoff { .. }, _) if !in_use => (State::Idle, None),
            (State::Backoff { until }, _) if now >= until => (State::Starting, Some(Action::Start)),

            (State::WaitingDevice, _) if !in_use => (State::Idle, None),
            (State::WaitingDevice, Input::DeviceThere) => (State::Starting, Some(Action::Start)),

            (State::Stopping, Input::Ended(_)) => {
                self.failures = 0;
                if in_use { (State::Starting, Some(Action::Start)) } else { (State::Idle, None) }
            }
            (State::Starting | State::WaitingPublisher | State::Lingering { .. }, Input::Ended(how)) => {
                self.failed(now, in_use, None, how)
            }
            (State::Running { since }, Input::Ended(how)) => {
                self.failed(now, in_use, Some(now.saturating_duration_since(since)), how)
            }
            (State::NoSignal { since }, Input::Ended(how)) => {
                self.failed(now, in_use, since.map(|since| now.saturating_duration_since(since)), how)
            }
            // It was stopped because it stalled, which is a failure.
            (State::Stalled { ran }, Input::Ended(how)) => {
                let how = if how == End::NoDevice { how } else { End::Failed };
                self.failed(now, in_use, Some(ran), how)
            }

            (State::Running { since } | State::NoSignal { since: Some(since) }, Input::Stalled) => {
                (State::Stalled { ran: now.saturating_duration_since(since) }, Some(Action::Stop))
            }
            (State::Lingering { .. }, Input::Stalled) => (State::Stopping, Some(Action::Stop)),
            (State::Stalled { .. }, _) if !in_use => (State::Stopping, None),

            (State::Starting | State::WaitingPublisher, Input::FirstMedia) => (State::Running { since: now }, None),
            (State::NoSignal { since }, Input::FirstMedia) => (State::Running { since: since.unwrap_or(now) }, None),
            (State::Starting | State::Running { .. }, Input::NoPublisher) if in_use => (State::WaitingPublisher, None),
            (State::Starting, Input::SignalLost) if in_use => (State::NoSignal { since: None }, None),
            (State::Running { since }, Input::SignalLost) if in_use => (State::NoSignal { since: Some(since) }, None),
            (State::Lingering { until, since: None }, Input::FirstMedia) => {
                (State::Lingering { until, since: Some(now) }, None)
            }

            // What is held does not linger.
            (
                State::Starting
                | State::Running { .. }
                | State::NoSignal { .. }
                | State::WaitingPublisher
                | State::Lingering { .. },
                Input::Held(true) | Input::Restart,
            ) => (State::Stopping, Some(Action::Stop)),
            (State::Backoff { .. } | State::Dead, Input::Restart) if in_use => (State::Starting, Some(Action::Start)),

            (State::Starting | State::WaitingPublisher, _) if !in_use => self.unused(now, None),
            (State::Running { since }, _) if !in_use => self.unused(now, Some(since)),
            (State::NoSignal { since }, _) if !in_use => self.unused(now, since),
            (State::Lingering { since, .. }, _) if in_use => {
                (since.map_or(State::Starting, |since| State::Running { since }), None)
            }
            (State::Lingering { until, .. }, _) if now >= until => (State::Stopping, Some(Action::Stop)),

            (state, _) => (state, None),
        };
        self.state = state;
        action
    }

    fn unused(&self, now: Instant, since: Option<Instant>) -> (State, Option<Action>) {
        if self.policy.linger.is_zero() {
            (State::Stopping, Some(Action::Stop))
        } else {
            (State::Lingering { until: now + self.policy.linger, since }, None)
        }
    }

    /// The source ended by itself. `ran`: how long it delivered, if it did.
    fn failed(&mut self, now: Instant, in_use: bool, ran: Option<Duration>, how: End) -> (State, Option<Action>) {
        let was_healthy = ran.is_some_and(|ran| ran >= HEALTHY);
        self.failures = if was_healthy { 1 } else { self.failures.saturating_add(1) };
        if !in_use {
            return (State::Idle, None);
        }
        if !self.policy.restart {
            return (State::Dead, None);
        }
        let due = match how {
            End::NoDevice => return (State::WaitingDevice, None),
            // A source that ends after each piece of media has not failed.
            End::Clean if ran.is_some() => now,
            End::Clean | End::Failed => self.spend_retry(now),
        };
        let due = due.max(now + pause(self.failures));
        if due > now { (State::Backoff { until: due }, None) } else { (State::Starting, Some(Action::Start)) }
    }

    /// Takes a restart from the budget. Returns when it may happen: immediately, unless the budget is used up.
    fn spend_retry(&mut self, now: Instant) -> Instant {
        let full = self.retry_budget_full_at.map_or(now, |full| full.max(now)) + RETRY_REFILL;
        self.retry_budget_full_at = Some(full);
        full.checked_sub(QUICK_RETRIES * RETRY_REFILL).map_or(now, |due| due.max(now))
    }
}

/// The pause after this many failures in a row.
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
    fn on_demand_runs_while_in_use() {
        let (state, actions) = run(
            ON_DEMAND,
            &[
                (0, Input::Tick),
                (1, Input::InUse(true)),
                (2, Input::FirstMedia),
                (9, Input::InUse(false)),
                (10, Input::Ended(End::Failed)),
            ],
        );
        assert_eq!(actions, [(1, Action::Start), (9, Action::Stop)]);
        assert_eq!(state, State::Idle);
    }

    #[test]
    fn what_is_held_does_not_run_until_it_is_released() {
        let policy = Policy { continuous: true, linger: SECOND, ..ON_DEMAND };
        let (state, actions) = run(
            policy,
            &[
                (0, Input::InUse(true)),
                (1, Input::FirstMedia),
                (2, Input::Held(true)),
                (3, Input::Ended(End::Clean)),
                (4, Input::InUse(false)),
                (5, Input::InUse(true)),
                (6, Input::Tick),
            ],
        );
        assert_eq!((state, actions), (State::Idle, vec![(0, Action::Start), (2, Action::Stop)]));
        let inputs = [(0, Input::Held(true)), (1, Input::InUse(true)), (2, Input::Held(false))];
        assert_eq!(run(policy, &inputs), (State::Starting, vec![(2, Action::Start)]));
    }

    #[test]
    fn a_restart_is_a_stop_and_a_start_and_no_failure() {
        let inputs =
            [(0, Input::InUse(true)), (1, Input::FirstMedia), (2, Input::Restart), (3, Input::Ended(End::Clean))];
        let (state, actions) = run(ON_DEMAND, &inputs);
        assert_eq!(actions, [(0, Action::Start), (2, Action::Stop), (3, Action::Start)]);
        assert_eq!(state, State::Starting);
        let dead = Policy { restart: false, ..ON_DEMAND };
        let inputs = [(0, Input::InUse(true)), (1, Input::Ended(End::Failed)), (2, Input::Restart)];
        assert_eq!(run(dead, &inputs).1, [(0, Action::Start), (2, Action::Start)]);
        assert_eq!(run(ON_DEMAND, &[(0, Input::Restart)]).1, []);
    }

    #[test]
    fn continuous_runs_from_the_first_tick() {
        let (_, actions) = run(
            Policy { continuous: true, ..ON_DEMAND },
            &[(0, Input::Tick), (5, Input::InUse(true)), (6, Input::InUse(false))],
        );
        assert_eq!(actions, [(0, Action::Start)]);
    }

    #[test]
    fn lingering_ends_on_time_or_with_a_new_user() {
        let policy = Policy { linger: SECOND, ..ON_DEMAND };
        let inputs = [(0, Input::InUse(true)), (1, Input::FirstMedia), (100, Input::InUse(false)), (1099, Input::Tick)];
        let (state, actions) = run(policy, &inputs);
        assert!(matches!(state, State::Lingering { .. }));
        assert_eq!(actions, [(0, Action::Start)]);
        let (_, actions) = run(policy, &[&inputs[..], &[(1100, Input::Tick)]].concat());
        assert_eq!(actions, [(0, Action::Start), (1100, Action::Stop)]);
        let (state, actions) = run(policy, &[&inputs[..], &[(1099, Input::InUse(true)), (1101, Input::Tick)]].concat());
        assert!(matches!(state, State::Running { .. }));
        assert_eq!(actions, [(0, Action::Start)]);
    }

    /// For each end of a started source: the milliseconds until it restarts.
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
        assert_eq!(lifecycle.handle(now, Input::InUse(true)), Some(Action::Start));
        (lifecycle, now)
    }

    #[test]
    fn first_failure_restarts_immediately_and_further_ones_after_short_pauses() {
        let (mut lifecycle, now) = started();
        let took = pauses(&mut lifecycle, now, &[(0, false, End::Failed); 24]);
        assert_eq!(took[..6], [0, 100, 200, 400, 500, 500]);
        assert_eq!(took[23], 500);
        let (mut lifecycle, now) = started();
        let healthy = HEALTHY.as_millis().try_into().unwrap();
        let took = pauses(
            &mut lifecycle,
            now,
            &[(9, true, End::Failed), (9, true, End::Failed), (healthy, true, End::Failed)],
        );
        assert_eq!(took, [0, 100, 0], "healthy for a while: immediate again");
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
    fn media_in_pieces_is_no_failure() {
        let (mut lifecycle, now) = started();
        let took = pauses(&mut lifecycle, now, &[(3000, true, End::Clean); 1000]);
        assert!(took.iter().all(|pause| *pause <= 500), "{took:?}");
        let (mut lifecycle, now) = started();
        let took = pauses(&mut lifecycle, now, &[(0, false, End::Clean); 30]);
        assert!(took[29] > 10_000, "an end without media is a failure");
    }

    #[test]
    fn a_stalled_source_is_restarted() {
        let (_, actions) = run(
            ON_DEMAND,
            &[
                (0, Input::InUse(true)),
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
        const INPUTS: [Input; 11] = [
            Input::InUse(true),
            Input::InUse(false),
            Input::FirstMedia,
            Input::SignalLost,
            Input::Stalled,
            Input::Ended(End::Clean),
            Input::Ended(End::Failed),
            Input::Ended(End::NoDevice),
            Input::DeviceThere,
            Input::Tick,
            Input::NoPublisher,
        ];
        let now = Instant::now();
        let later = now + SECOND;
        // Where each of the inputs leads; `+` starts the source, `-` stops it.
        let same = |word| [word; 11].join(" ");
        let table = [
            (State::Idle, "+starting idle idle idle idle idle idle idle idle idle idle".to_owned()),
            (
                State::Starting,
                "starting lingering running no-signal starting +starting +starting waiting-device starting starting \
                 waiting-publisher"
                    .to_owned(),
            ),
            (
                State::Running { since: now },
                "running lingering running no-signal -stalled +starting +starting waiting-device running running \
                 waiting-publisher"
                    .to_owned(),
            ),
            (
                State::NoSignal { since: Some(now) },
                "no-signal lingering running no-signal -stalled +starting +starting waiting-device no-signal no-signal \
                 no-signal"
                    .to_owned(),
            ),
            (
                State::Stalled { ran: SECOND },
                "stalled stopping stalled stalled stalled +starting +starting waiting-device stalled stalled stalled"
                    .to_owned(),
            ),
            (
                State::Lingering { until: later, since: Some(now) },
                "running -stopping -stopping -stopping -stopping idle idle idle -stopping -stopping -stopping".to_owned(),
            ),
            (
                State::Stopping,
                "stopping stopping stopping stopping stopping idle idle idle stopping stopping stopping".to_owned(),
            ),
            (State::Backoff { until: later }, same("+starting").replacen(" +starting", " idle", 1)),
            (State::WaitingDevice, format!("{0} idle {0} {0} {0} {0} {0} {0} +starting {0} {0}", "waiting-device")),
            (
                State::WaitingPublisher,
                format!("{0} lingering running {0} {0} +starting +starting waiting-device {0} {0} {0}", "waiting-publisher"),
            ),
            (State::Dead, same("+starting").replacen(" +starting", " idle", 1)),
        ];
        let policy = Policy { linger: SECOND, ..ON_DEMAND };
        for (state, row) in table {
            let in_use = !matches!(state, State::Idle | State::Lingering { .. } | State::Stopping);
            for (input, expected) in INPUTS.into_iter().zip(row.split(' ')) {
                let mut lifecycle =
                    Lifecycle { policy, state, in_use, is_held: false, failures: 0, retry_budget_full_at: None };
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
    fn without_restart_a_failed_source_starts_only_for_a_new_user() {
        let policy = Policy { restart: false, ..ON_DEMAND };
        let failure = [
            (0, Input::InUse(true)),
            (1, Input::FirstMedia),
            (2, Input::Ended(End::Failed)),
            (9000, Input::Tick),
            (9001, Input::InUse(true)),
        ];
        assert_eq!(run(policy, &failure), (State::Dead, vec![(0, Action::Start)]));
        let again = [&failure[..], &[(9002, Input::InUse(false)), (9003, Input::InUse(true))]].concat();
        assert_eq!(run(policy, &again).1, [(0, Action::Start), (9003, Action::Start)]);
    }

    #[test]
    fn used_again_while_stopping_starts_after_the_end() {
        let (_, actions) = run(
            ON_DEMAND,
            &[
                (0, Input::InUse(true)),
                (1, Input::InUse(false)),
                (2, Input::InUse(true)),
                (3, Input::Ended(End::Failed)),
            ],
        );
        assert_eq!(actions, [(0, Action::Start), (1, Action::Stop), (3, Action::Start)]);
    }

    proptest! {
        #[test]
        fn one_run_at_a_time_and_a_source_in_use_always_restarts(
            steps in prop::collection::vec((0u64..3000, 0u8..10), 1..200), linger in 0u64..2000, continuous: bool,
        ) {
            let policy = Policy { continuous, linger: Duration::from_millis(linger), restart: true };
            let mut lifecycle = Lifecycle::new(policy);
            let mut now = Instant::now();
            let (mut runs, mut in_use) = (false, false);
            for (millis, what) in steps {
                now += Duration::from_millis(millis);
                let input = match what {
                    0 => { in_use = true; Input::InUse(true) }
                    1 => { in_use = false; Input::InUse(false) }
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
                    Some(Action::Stop) => prop_assert!(runs && (input == Input::Stalled || !in_use && !continuous)),
                    None => {}
                }
            }
            // Whatever the history: a source in use runs in the end, any other is idle.
            let want = in_use || continuous;
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
