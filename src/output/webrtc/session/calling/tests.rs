//! Tests of a session that we begin, against one of our own that answers it, with neither a socket nor a clock.

use super::*;
use crate::{
    media::{
        Time, TrackId,
        codec::{h264, opus},
        track::{AudioShape, Shape, VideoShape},
        webrtc::Frame,
    },
    output::webrtc::{
        announce::announced,
        session::{LEFT, Out, Output},
    },
};
use proptest::prelude::*;
use std::{net::SocketAddr, sync::Arc, time::Duration};

const CALLER: &str = "192.0.2.1:5000";
const ENDPOINT: &str = "192.0.2.2:8090";

fn tracks() -> TrackSet {
    let shape = VideoShape { width: 64, height: 48, pixel_aspect: (1, 1), frame_rate: None };
    let video = TrackInfo { id: TrackId(0), codec: CodecParameters::Vp8, shape: Shape::Video(shape) };
    let codec = CodecParameters::Opus(opus::Parameters::simple(2));
    let audio = TrackInfo { id: TrackId(1), codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) };
    TrackSet::new(vec![video, audio])
}

fn candidate(address: &str) -> Candidate {
    Candidate::host(address.parse().unwrap(), "udp").unwrap()
}

fn call(now: Instant) -> (Calling, String) {
    Calling::new(&tracks(), &Identity::generate().unwrap(), &[candidate(CALLER)], now).unwrap()
}

/// An endpoint, and its answer.
fn answer(offer: &str, now: Instant) -> (Session, String) {
    let plan = announced(&Offer::parse(offer).unwrap()).unwrap();
    let (identity, secrets) = (Identity::generate().unwrap(), ("01234567", "0123456789abcdef01234567"));
    Session::accept_publisher(offer, (&plan, &[]), &identity, secrets, &[candidate(ENDPOINT)], now).unwrap()
}

/// Both sides, on a line without a loss.
struct Rig {
    caller: Session,
    endpoint: Session,
    now: Instant,
    /// What leaves the caller; packets of media wait here.
    out: Out,
    of_caller: Vec<Output>,
    of_endpoint: Vec<Output>,
}

fn rig(setup: &str) -> Rig {
    let now = Instant::now();
    let (calling, offer) = call(now);
    let (endpoint, answer) = answer(&offer.replace("a=setup:actpass", setup), now);
    let caller = calling.answered(&answer, (now, SystemTime::now())).unwrap();
    let (of_caller, of_endpoint) = (Vec::new(), Vec::new());
    Rig { caller, endpoint, now, out: Out::default(), of_caller, of_endpoint }
}

impl Rig {
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.now += Duration::from_millis(5);
            self.caller.timeout(self.now, &mut self.out);
            let mut out = Out::default();
            self.endpoint.timeout(self.now, &mut out);
            self.carry(out);
        }
    }

    /// What was sent arrives, until nobody has anything more to say.
    fn carry(&mut self, mut out: Out) {
        let ends: (SocketAddr, SocketAddr) = (CALLER.parse().unwrap(), ENDPOINT.parse().unwrap());
        loop {
            let media: Vec<_> = self.out.packets.datagrams().map(<[u8]>::to_vec).collect();
            self.out.packets.clear();
            assert!(media.is_empty() || self.caller.path().map(|path| path.destination) == Some(ends.1));
            let (mut to_endpoint, mut to_caller) = (media, Vec::new());
            for output in self.out.events.drain(..) {
                match output {
                    Output::Send { bytes, .. } => to_endpoint.push(bytes),
                    output => self.of_caller.push(output),
                }
            }
            for output in out.events.drain(..) {
                match output {
                    Output::Send { bytes, .. } => to_caller.push(bytes),
                    output => self.of_endpoint.push(output),
                }
            }
            if to_endpoint.is_empty() && to_caller.is_empty() {
                return;
            }
            to_endpoint.iter().for_each(|bytes| self.endpoint.receive(false, ends, bytes, self.now, &mut out));
            let back = (ends.1, ends.0);
            to_caller.iter().for_each(|bytes| self.caller.receive(false, back, bytes, self.now, &mut self.out));
        }
    }

    fn write(&mut self, kind: MediaKind, millis: i64, payload: &[u8]) {
        let frame = Arc::new(Frame::of(kind, Time::from_millis(millis), &[payload]));
        self.caller.write(&frame, frame.time, self.now, &mut self.out.packets);
    }
}

/// With whichever side begins the handshake.
#[test]
fn media_arrives_and_keyframes_are_asked_for() {
    for setup in ["a=setup:actpass", "a=setup:passive"] {
        let mut rig = rig(setup);
        rig.pass(1000);
        assert!(matches!(rig.of_caller[..], [Output::Ready]), "{setup}: {:?}", rig.of_caller);
        for frame in 0..25 {
            // The descriptor of VP8, and a keyframe.
            rig.write(MediaKind::Video, frame * 40, &[0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 48, 0, frame as u8]);
            rig.write(MediaKind::Audio, frame * 40, &[7; 100]);
            rig.pass(40);
        }
        let media = rig.of_endpoint.iter().filter_map(|output| match output {
            Output::Media(received) => Some((received.codec, received.is_continuous)),
            _ => None,
        });
        let media: Vec<_> = media.collect();
        let of = |codec| media.iter().filter(|received| **received == (codec, true)).count();
        assert!(of("vp8") >= 24 && of("opus") >= 24, "{setup}: {media:?}");
        rig.endpoint.request_keyframe(|_| true);
        rig.pass(100);
        assert!(matches!(rig.of_caller[..], [Output::Ready, Output::WantsKeyframe]), "{:?}", rig.of_caller);
        assert_eq!(rig.caller.stats().pli_count, 1);
    }
}

#[test]
fn both_sides_say_goodbye() {
    let mut rig = rig("a=setup:actpass");
    rig.pass(500);
    rig.caller.close(rig.now, &mut rig.out);
    rig.pass(100);
    assert!(rig.of_endpoint.iter().any(|output| matches!(output, Output::Ended(LEFT))), "{:?}", rig.of_endpoint);
    let mut rig = self::rig("a=setup:actpass");
    rig.pass(500);
    let mut out = Out::default();
    rig.endpoint.close(rig.now, &mut out);
    rig.carry(out);
    rig.pass(100);
    assert!(rig.of_caller.iter().any(|output| matches!(output, Output::Ended(LEFT))), "{:?}", rig.of_caller);
}

#[test]
fn the_offer_has_what_endpoints_demand() {
    let (_, offer) = call(Instant::now());
    for part in ["a=group:BUNDLE", "a=setup:actpass", "a=sendonly", "a=rtcp-mux-only", "VP8/90000", "opus/48000/2"] {
        assert!(offer.contains(part), "{part}: {offer}");
    }
    assert!(!offer.contains("a=ice-lite") && !offer.contains("recv"), "{offer}");
    let none = TrackSet::new(Vec::new());
    let called = Calling::new(&none, &Identity::generate().unwrap(), &[], Instant::now());
    assert!(matches!(called, Err(CallError::NoTracks)));
}

#[test]
fn an_answer_without_a_track_is_refused() {
    let check = |old: &str, new: &str, expected: &str| {
        let now = Instant::now();
        let (calling, offer) = call(now);
        let (_, answer) = answer(&offer, now);
        let changed = answer.replace(old, new);
        assert_ne!(changed, answer);
        let error = calling.answered(&changed, (now, SystemTime::now())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("m=audio 9", "m=audio 0", "the target does not take the audio of the stream (OPUS)");
    check("a=recvonly", "a=inactive", "the target does not take the video of the stream (VP8)");
    check("v=0", "hello", "the body is no session description");
    check("a=fingerprint", "a=x", "there is no a=fingerprint");
}

#[test]
fn profiles_are_written_as_all_do() {
    for (given, expected) in [
        ([66, 0xc0, 30], "42e01e"),
        ([66, 0, 30], "42001e"),
        ([77, 0x40, 31], "4d001f"),
        ([100, 0, 40], "640028"),
        ([100, 0x0c, 40], "640c28"),
    ] {
        assert_eq!(profile(given), expected);
    }
}

#[test]
fn h264_is_offered_as_what_it_is_and_as_what_all_know() {
    let check = |profile: [u8; 3], expected: &[(u8, &str)]| {
        let parameters = h264::Parameters { sps: vec![[&[0x67][..], &profile].concat().into()], pps: vec![] };
        let shape = VideoShape { width: 64, height: 48, pixel_aspect: (1, 1), frame_rate: None };
        let codec = CodecParameters::H264(parameters);
        let found = formats(&TrackInfo { id: TrackId(0), codec, shape: Shape::Video(shape) });
        let found = found.iter().map(|one| (one.payload_type, one.parameter("profile-level-id").unwrap()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    };
    check([66, 0xc0, 30], &[(96, "42e01e")]);
    check([100, 0, 40], &[(96, "640028"), (98, "42e028")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn foreign_answers_are_refused(text in "v=0(\n[am]=[a-z0-9:/ =;.-]{0,40}){0,30}|.*") {
        let (calling, _) = call(Instant::now());
        prop_assert!(calling.answered(&text, (Instant::now(), SystemTime::now())).is_err());
    }
}
