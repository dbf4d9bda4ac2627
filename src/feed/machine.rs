//! What is to happen with a feed or stream: the pure state machine behind every supervisor.

use std::time::{Duration, Instant};

/// Pause before the second attempt in a row; it doubles with each further one. The first attempt is made at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two attempts: with the start of a worker, viewers have a picture again within a second.
const LAST_PAUSE: Duration = Duration::from_millis(500);
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
    pub resurrect: bool,
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
            Self::Lingering { .. } => "lingering",
            Self::Stopping => "stopping",
            Self::Backoff { .. } => "backoff",
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
    /// The first media since the start came.
    FirstMedia,
    /// It runs no more, by itself or because it was told to.
    Ended,
    /// Time passed.
    Tick,
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
pub struct Machine {
    policy: Policy,
    state: State,
    wanted: bool,
    /// Deaths since it was last well.
    deaths: u32,
}

impl Machine {
    /// An idle source.
    pub fn new(policy: Policy) -> Self {
        Self { policy, state: State::Idle, wanted: false, deaths: 0 }
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
            Input::FirstMedia | Input::Ended | Input::Tick => {}
        }
        let wanted = self.wanted || self.policy.continuous;
        let (state, action) = match (self.state, input) {
            (State::Idle, _) if wanted => (State::Starting, Some(Action::Start)),
            (State::Dead, _) if !wanted => (State::Idle, None),
            (State::Dead, _) if self.policy.resurrect => (State::Starting, Some(Action::Start)),
            (State::Backoff { .. }, _) if !wanted => (State::Idle, None),
            (State::Backoff { until }, _) if now >= until => (State::Starting, Some(Action::Start)),

            (State::Stopping, Input::Ended) => {
                self.deaths = 0;
                if wanted { (State::Starting, Some(Action::Start)) } else { (State::Idle, None) }
            }
            (State::Starting | State::Running { .. } | State::Lingering { .. }, Input::Ended) => self.died(now, wanted),

            (State::Starting, Input::FirstMedia) => (State::Running { since: now }, None),
            (State::Lingering { until, since: None }, Input::FirstMedia) => {
                (State::Lingering { until, since: Some(now) }, None)
            }

            (State::Starting, _) if !wanted => self.unwanted(now, None),
            (State::Running { since }, _) if !wanted => self.unwanted(now, Some(since)),
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

    fn died(&mut self, now: Instant, wanted: bool) -> (State, Option<Action>) {
        let was_well =
            matches!(self.state, State::Running { since } if now.saturating_duration_since(since) >= HEALTHY);
        self.deaths = if was_well { 1 } else { self.deaths.saturating_add(1) };
        if !wanted {
            return (State::Idle, None);
        }
        if !self.policy.resurrect {
            return (State::Dead, None);
        }
        match pause(self.deaths) {
            None => (State::Starting, Some(Action::Start)),
            Some(pause) => (State::Backoff { until: now + pause }, None),
        }
    }
}

/// How long to wait after this many deaths in a row.
fn pause(deaths: u32) -> Option<Duration> {
    let doublings = deaths.checked_sub(2)?;
    Some(LAST_PAUSE.min(FIRST_PAUSE * (1 << doublings.min(8))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ON_DEMAND: Policy = Policy { continuous: false, linger: Duration::ZERO, resurrect: true };
    const SECOND: Duration = Duration::from_secs(1);

    fn run(policy: Policy, inputs: &[(u64, Input)]) -> (State, Vec<(u64, Action)>) {
        let start = Instant::now();
        let mut machine = Machine::new(policy);
        let mut actions = Vec::new();
        for &(millis, input) in inputs {
            let action = machine.handle(start + Duration::from_millis(millis), input);
            actions.extend(action.map(|action| (millis, action)));
        }
        (machine.state(), actions)
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
                (10, Input::Ended),
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

    #[test]
    fn the_dead_rise_at_once_then_after_short_capped_pauses_without_limit() {
        let start = Instant::now();
        let mut machine = Machine::new(ON_DEMAND);
        let mut now = start;
        assert_eq!(machine.handle(now, Input::Wanted(true)), Some(Action::Start));
        let mut pauses = Vec::new();
        for _ in 0..500 {
            if machine.handle(now, Input::Ended) == Some(Action::Start) {
                pauses.push(0);
                continue;
            }
            let until = machine.deadline().unwrap();
            pauses.push((until - now).as_millis());
            now = until;
            assert_eq!(machine.handle(now, Input::Tick), Some(Action::Start));
        }
        assert_eq!(pauses[..6], [0, 100, 200, 400, 500, 500]);
        assert_eq!(pauses[499], 500);
        machine.handle(now, Input::FirstMedia);
        assert_eq!(machine.handle(now + HEALTHY, Input::Ended), Some(Action::Start), "well for a while: at once again");
    }

    #[test]
    fn no_resurrect_stays_dead_until_a_new_demand() {
        let policy = Policy { resurrect: false, ..ON_DEMAND };
        let death = [
            (0, Input::Wanted(true)),
            (1, Input::FirstMedia),
            (2, Input::Ended),
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
            &[(0, Input::Wanted(true)), (1, Input::Wanted(false)), (2, Input::Wanted(true)), (3, Input::Ended)],
        );
        assert_eq!(actions, [(0, Action::Start), (1, Action::Stop), (3, Action::Start)]);
    }

    proptest! {
        #[test]
        fn never_two_at_once_and_the_wanted_always_return(
            steps in prop::collection::vec((0u64..3000, 0u8..5), 1..200), linger in 0u64..2000, continuous: bool,
        ) {
            let policy = Policy { continuous, linger: Duration::from_millis(linger), resurrect: true };
            let mut machine = Machine::new(policy);
            let mut now = Instant::now();
            let (mut runs, mut wanted) = (false, false);
            for (millis, what) in steps {
                now += Duration::from_millis(millis);
                let input = match what {
                    0 => { wanted = true; Input::Wanted(true) }
                    1 => { wanted = false; Input::Wanted(false) }
                    2 if runs => { runs = false; Input::Ended }
                    3 if runs => Input::FirstMedia,
                    _ => Input::Tick,
                };
                match machine.handle(now, input) {
                    Some(Action::Start) => { prop_assert!(!runs); runs = true; }
                    Some(Action::Stop) => prop_assert!(runs && !wanted && !continuous),
                    None => {}
                }
            }
            // Whatever the history: what is wanted comes to run, what is not comes to rest.
            let want = wanted || continuous;
            for _ in 0..4 {
                now = machine.deadline().map_or(now, |deadline| deadline.max(now)) + Duration::from_millis(1);
                if machine.state() == State::Stopping { runs = false; }
                let input = if runs || machine.state() != State::Stopping { Input::Tick } else { Input::Ended };
                match machine.handle(now, input) {
                    Some(Action::Start) => runs = true,
                    Some(Action::Stop) => runs = false,
                    None => {}
                }
            }
            prop_assert_eq!(runs, want, "{:?}", machine.state());
        }
    }
}
