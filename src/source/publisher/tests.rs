//! One publisher at a time, and what streams get of it.

use super::*;
use crate::{
    config::FeedName,
    media::{
        Container, TrackId, TrackInfo,
        codec::CodecParameters,
        track::{Shape, VideoShape},
    },
    stream::{Delivery, Entry, FanOut, Join, StreamInput},
};
use bytes::Bytes;
use futures_util::FutureExt;

fn slot(settings: config::Publish) -> PublishSlot {
    PublishSlot::new(FeedName::new("studio").unwrap(), settings, 0, Facts::default())
}

fn info(protocol: PublishProtocol) -> PublisherInfo {
    PublisherInfo { protocol, peer: SocketAddr::from(([192, 0, 2, 1], 1)), user: None, agent: None }
}

fn tracks() -> TrackSet {
    let shape = Shape::Video(VideoShape { width: 64, height: 48, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) });
    TrackSet::new(vec![TrackInfo { id: TrackId(0), codec: CodecParameters::Vp8, shape }])
}

fn sample(millis: i64, is_sync: bool) -> Sample {
    let time = Time::from_millis(millis);
    Sample {
        track: TrackId(0),
        dts: time,
        pts: time,
        duration: None,
        is_sync,
        discontinuity: false,
        captured: None,
        entered: None,
        data: Bytes::from_static(b"frame"),
    }
}

/// A stream in Matroska that takes what is published.
fn stream(slot: &PublishSlot) -> (FanOut, u64, crate::stream::OutputLease) {
    let input = StreamInput::new("studio");
    let output = input.output(Container::Mkv);
    let lease = output.lease();
    (output.fanout().clone(), slot.attach(Entrances::of(input)), lease)
}

/// How many packets a reader finds, which begins with a keyframe.
fn packets(fanout: &FanOut) -> usize {
    let mut reader = fanout.subscribe(Entry { join: Join::Keyframe, header: false });
    let mut count = 0;
    while let Some(Delivery::Packet(_)) = reader.next().now_or_never() {
        count += 1;
    }
    count
}

#[test]
fn a_stream_gets_what_is_published_and_one_that_comes_later_the_newest_gop() {
    let slot = slot(config::Publish::default());
    let (first, number, _lease) = stream(&slot);
    let publisher = slot.publish(info(PublishProtocol::Rtmp), tracks()).unwrap();
    for frame in 0..10 {
        publisher.sample(sample(3_600_000 + frame * 40, frame % 5 == 0));
    }
    assert_eq!(packets(&first), 5);
    let (second, _, _lease) = stream(&slot);
    assert_eq!(packets(&second), 5);
    slot.detach(number);
    publisher.sample(sample(3_600_400, false));
    assert_eq!((packets(&first), packets(&second)), (5, 6));
    let read = slot.read();
    assert_eq!((read.current.unwrap().samples, read.totals.bytes, read.totals.publishers), (11, 55, 1));
}

#[test]
fn there_is_one_publisher_at_a_time() {
    let slot = slot(config::Publish::default());
    let publisher = slot.claim(info(PublishProtocol::Http)).unwrap();
    assert_eq!(slot.claim(info(PublishProtocol::Http)).unwrap_err(), PublishError::Busy);
    publisher.finish("done");
    let publisher = slot.claim(info(PublishProtocol::Http)).unwrap();
    drop(publisher);
    let totals = slot.read().totals;
    assert_eq!((totals.publishers, totals.refused), (2, 1));
    assert_eq!(totals.ended, BTreeMap::from([("done", 1), (LEFT, 1)]));
}

#[test]
fn a_publisher_that_was_replaced_changes_nothing_any_more() {
    let settings = config::Publish { second: SecondPublisher::Replace, ..config::Publish::default() };
    let slot = slot(settings);
    let first = slot.publish(info(PublishProtocol::Rtmp), tracks()).unwrap();
    first.sample(sample(0, true));
    let second = slot.publish(info(PublishProtocol::Http), tracks()).unwrap();
    assert_eq!(first.ended().now_or_never(), Some(REPLACED));
    assert_eq!(second.ended().now_or_never(), None);
    first.sample(sample(40, true));
    first.tracks(TrackSet::new(Vec::new()));
    drop(first);
    let current = slot.read().current.unwrap();
    assert_eq!((current.info.protocol, current.samples), (PublishProtocol::Http, 0));
    assert_eq!(slot.tracks(), Some(tracks()));
}

#[test]
fn only_the_protocols_of_the_feed_are_taken() {
    let settings = config::Publish { protocols: vec![PublishProtocol::Rtmp], ..config::Publish::default() };
    let slot = slot(settings);
    let refused = slot.claim(info(PublishProtocol::Http)).unwrap_err();
    assert_eq!(refused, PublishError::Protocol(PublishProtocol::Http));
    assert!(slot.claim(info(PublishProtocol::Rtmp)).is_ok());
}

#[test]
fn a_silent_publisher_is_disconnected() {
    let slot = slot(config::Publish::default());
    let publisher = slot.claim(info(PublishProtocol::Http)).unwrap();
    let (mut phase, now) = (slot.phase(), Instant::now());
    assert_eq!(*phase.borrow_and_update(), Phase::Claimed);
    slot.expire(now + Duration::from_secs(19));
    assert_eq!(publisher.ended().now_or_never(), None);
    publisher.tracks(tracks());
    publisher.sample(sample(0, true));
    assert_eq!(*phase.borrow_and_update(), Phase::Live);
    slot.expire(now + Duration::from_secs(6));
    assert_eq!(publisher.ended().now_or_never(), None);
    slot.expire(now + Duration::from_secs(8));
    assert_eq!(publisher.ended().now_or_never(), Some(SILENT));
    assert_eq!(*phase.borrow_and_update(), Phase::Vacant);
    let publisher = slot.claim(info(PublishProtocol::Http)).unwrap();
    slot.expire(Instant::now() + Duration::from_secs(21));
    assert_eq!(publisher.ended().now_or_never(), Some(NO_MEDIA));
}

#[test]
fn media_that_runs_ahead_of_the_clock_is_noticed() {
    let slot = slot(config::Publish::default());
    let publisher = slot.publish(info(PublishProtocol::Http), tracks()).unwrap();
    assert_eq!(publisher.ahead(), Duration::ZERO);
    for frame in 0..100 {
        publisher.sample(sample(frame * 40, true));
    }
    let ahead = publisher.ahead();
    assert!(ahead > Duration::from_secs(3) && ahead < Duration::from_secs(4), "{ahead:?}");
}

/// A publisher that does not say which tracks it has is held for two seconds, and is as live as others after that.
#[test]
fn what_was_held_is_not_ahead_of_the_clock() {
    // Frames that come together, and how far the newest one is ahead, in milliseconds.
    for (frames, expect) in [(1, 0), (51, 0), (126, 2500)] {
        let slot = slot(config::Publish::default());
        let publisher = slot.claim(info(PublishProtocol::Rtmp)).unwrap();
        let samples = (0..frames).map(|frame| Demuxed::Sample(sample(frame * 40, true)));
        let count = publisher.demuxed([Demuxed::Tracks(tracks())].into_iter().chain(samples), true);
        let ahead = i64::try_from(publisher.ahead().as_millis()).unwrap();
        assert!(count == frames as u64 && (expect - 500..=expect).contains(&ahead), "{frames}: {ahead}");
    }
}
