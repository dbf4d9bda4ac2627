//! How long clients may say nothing (pure).

use crate::output::http::limits::HEAD_WITHIN;
use std::time::Duration;

/// A session that does not play ends without a request for so long; clients are sent this time.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// A client of datagrams that shows nothing of itself for so long has left: the timeout that it was sent, and some time more for those who
/// are just in time.
const SILENCE: Duration = Duration::from_secs(90);

/// Why a connection ends that has been silent for so long, if it does. `has_listed` is whether a session of it lives in datagrams, whose
/// reports show that the client is there.
pub fn of_connection(has_requested: bool, has_listed: bool, silence: Duration) -> Option<&'static str> {
    match has_requested {
        false if silence > HEAD_WITHIN => Some("no request in time"),
        true if silence > TIMEOUT && !has_listed => Some("session timed out"),
        _ => None,
    }
}

/// Why a session in datagrams ends whose client has shown nothing of itself for so long, if it does.
pub fn of_datagrams(silence: Duration) -> Option<&'static str> {
    (silence > SILENCE).then_some("no sign of the client for 90 s")
}

#[cfg(test)]
mod tests {
    use super::{super::sessions::Sessions, *};
    use std::net::IpAddr;

    #[test]
    fn clients_that_never_play_do_not_stay() {
        let check = |has_requested, has_listed, seconds, expect| {
            let found = of_connection(has_requested, has_listed, Duration::from_secs(seconds));
            assert_eq!(found, expect, "{has_requested} {has_listed} {seconds}");
        };
        let head = HEAD_WITHIN.as_secs();
        check(false, false, head, None);
        check(false, false, head + 1, Some("no request in time"));
        // It has described, or set up.
        check(true, false, 60, None);
        check(true, false, 61, Some("session timed out"));
        check(true, true, 3600, None);
    }

    /// As VLC does: a request each 60 s, and nothing else.
    #[test]
    fn a_request_each_minute_keeps_a_session_in_datagrams() {
        let (sessions, own) = (Sessions::default(), IpAddr::from([192, 0, 2, 1]));
        let listed = sessions.add("s", own, Vec::new(), None, Duration::ZERO).unwrap();
        let mut ended = None;
        for second in 1..=1000 {
            let now = Duration::from_secs(second);
            // It is a little late each time, and the last one was at 600 s.
            if second % 60 == 2 && second < 600 {
                assert!(sessions.touch("s", own, now));
            }
            ended = ended.or_else(|| of_datagrams(listed.liveness.silence(now)).map(|_| second));
        }
        assert_eq!(ended, Some(542 + 91));
    }
}
