//! Tests of what a viewer is sent, with a viewer that holds the same keys.

use super::{super::srtp::Profile, *};
use crate::media::rtp::{self, Packet};
use proptest::prelude::*;
use std::collections::HashSet;

const VIDEO: u32 = 0x1000_7ff0;
const AGAIN_SSRC: u32 = 0x2000_0001;
const AUDIO: u32 = 0x3000_0001;

/// A sender with both tracks, its viewer, and packets on the way.
struct Rig {
    sender: Sender,
    /// With the keys of the sender, to read what it sends.
    reader: Encryptor,
    reports: Decryptor,
    viewer: Encryptor,
    now: Instant,
    out: Outbox,
}

fn rig() -> Rig {
    let keys = Keys::new(Profile::Aes256Gcm, &[5; 88]).unwrap();
    let video = TrackSetup {
        kind: MediaKind::Video,
        ssrc: VIDEO,
        clock: 90_000,
        payload_type: 96,
        again: Some((AGAIN_SSRC, 97)),
        mid: Some((4, "v".to_owned())),
        name: "name".to_owned(),
    };
    let audio = TrackSetup {
        kind: MediaKind::Audio,
        ssrc: AUDIO,
        clock: 48_000,
        payload_type: 111,
        again: None,
        ..video.clone()
    };
    let now = Instant::now();
    Rig {
        sender: Sender::new(&keys, Side::Server, &[video, audio], (now, 1_700_000_000_000_000_000)).unwrap(),
        reader: Encryptor::new(&keys, Side::Server).unwrap(),
        reports: Decryptor::new(&keys, Side::Server).unwrap(),
        viewer: Encryptor::new(&keys, Side::Client).unwrap(),
        now,
        out: Outbox::default(),
    }
}

impl Rig {
    fn write(&mut self, kind: MediaKind, millis: i64, payloads: &[&[u8]]) {
        let frame = Arc::new(Frame::of(kind, Time::from_millis(millis), payloads));
        self.sender.write(&frame, frame.time, self.now, &mut self.out);
    }

    /// What left, decrypted; RTCP as it is.
    fn sent(&mut self) -> Vec<Packet> {
        let packets: Vec<_> = self.out.datagrams().map(<[u8]>::to_vec).collect();
        self.out.clear();
        let plain = packets.iter().filter(|packet| !rtp::is_rtcp(packet)).map(|packet| {
            let (head, body) = self.reader.open(packet, 0).or_else(|| self.reader.open(packet, 1)).unwrap();
            Packet::parse([head, body].concat().into()).unwrap()
        });
        plain.collect()
    }

    /// What left of RTCP.
    fn reported(&mut self) -> Vec<Report> {
        let packets: Vec<_> = self.out.datagrams().filter(|packet| rtp::is_rtcp(packet)).map(<[u8]>::to_vec).collect();
        self.out.clear();
        packets.iter().flat_map(|packet| report::parse(&self.reports.rtcp(packet).unwrap())).collect()
    }

    /// The viewer sends RTCP. Whether it needs a keyframe.
    fn report(&mut self, compound: &[u8]) -> bool {
        let mut bytes = Vec::new();
        self.viewer.rtcp(compound, &mut bytes);
        self.sender.receive(&bytes, self.now, &mut self.out)
    }

    fn lost(&mut self, ssrc: u32, first: u16, others: u16) {
        let [ssrc, first, others] =
            [ssrc.to_be_bytes().to_vec(), first.to_be_bytes().to_vec(), others.to_be_bytes().to_vec()];
        self.report(&[&[0x81, 205, 0, 3, 0, 0, 0, 9][..], &ssrc, &first, &others].concat());
    }
}

#[test]
fn a_frame_is_packets_of_one_time_with_a_marker_at_the_end() {
    let mut rig = rig();
    rig.write(MediaKind::Video, 1000, &[b"one", b"two"]);
    rig.write(MediaKind::Audio, 1000, &[b"sound"]);
    let sent = rig.sent();
    let heads: Vec<_> = sent.iter().map(|packet| packet.header).collect();
    let found: Vec<_> = heads.iter().map(|head| (head.ssrc, head.payload_type, head.timestamp, head.marker)).collect();
    assert_eq!(found, [(VIDEO, 96, 90_000, false), (VIDEO, 96, 90_000, true), (AUDIO, 111, 48_000, false)]);
    assert_eq!(heads[1].sequence, heads[0].sequence.wrapping_add(1));
    assert_eq!(sent[2].payload, b"sound"[..]);
    assert_eq!(rig.sender.stats().packets_sent, 3);
}

#[test]
fn packets_name_their_medium_until_the_source_is_known() {
    let mut rig = rig();
    let length = |rig: &mut Rig| {
        rig.write(MediaKind::Video, 0, &[b"one"]);
        let length = rig.out.datagrams().next().unwrap().len();
        rig.out.clear();
        length
    };
    let named = length(&mut rig);
    let block = ReportBlock {
        ssrc: VIDEO,
        fraction_lost: 0,
        lost: 3,
        highest: 0,
        jitter: 900,
        last_report: (report::ntp(1_700_000_000_000_000_000) >> 16) as u32,
        since_last_report: 65_536 / 4,
    };
    rig.now += Duration::from_millis(300);
    assert!(!rig.report(&report::receiver(9, &[block], "viewer")));
    assert_eq!(length(&mut rig), named - 8, "a head of four bytes, and an element of two in one word");
    let stats = rig.sender.stats();
    assert_eq!((stats.packets_lost, stats.jitter), (3, Some(Duration::from_millis(10))));
    let taken = stats.round_trip_time.unwrap();
    assert!(taken.abs_diff(Duration::from_millis(50)) < Duration::from_millis(1), "{taken:?}");
}

#[test]
fn lost_packets_are_sent_again_from_what_all_viewers_share() {
    let mut rig = rig();
    // Across the end of the sequence numbers.
    let many: Vec<&[u8]> = vec![b"x"; 0x1_0000 - 0x7ff0 - 24];
    rig.write(MediaKind::Video, 0, &many);
    rig.out.clear();
    for number in 0..32u8 {
        rig.write(MediaKind::Video, number.into(), &[&[number], &[number, 1]]);
    }
    let sent = rig.sent();
    let (first, last) = (sent[10].header.sequence, sent[27].header.sequence);
    assert!(sent[0].header.sequence > sent[63].header.sequence, "the numbers begin again");
    rig.lost(VIDEO, first, 1);
    rig.lost(VIDEO, last, 0);
    let again = rig.sent();
    let expected = [10, 11, 27].map(|at| [&sent[at].header.sequence.to_be_bytes()[..], &sent[at].payload].concat());
    assert_eq!(again.iter().map(|packet| packet.payload.to_vec()).collect::<Vec<_>>(), expected);
    let head = again[1].header;
    assert_eq!((head.ssrc, head.payload_type, head.marker), (AGAIN_SSRC, 97, true));
    assert_eq!(head.timestamp, sent[11].header.timestamp);
    assert_eq!((rig.sender.stats().nack_count, rig.sender.stats().retransmitted_packets_sent), (2, 3));
    // What is not there: not sent yet, too old, audio.
    rig.lost(VIDEO, sent[63].header.sequence.wrapping_add(1), 0xffff);
    rig.lost(AUDIO, 0, 0);
    assert!(rig.sent().is_empty());
    rig.now += KEPT_FOR * 2;
    rig.write(MediaKind::Video, 1000, &[b"new"]);
    rig.sent();
    rig.lost(VIDEO, first, 0);
    assert!(rig.sent().is_empty());
}

#[test]
fn a_viewer_that_reports_everything_as_lost_gets_a_part_again() {
    let mut rig = rig();
    let payload = [0; 1000];
    for number in 0..400 {
        rig.write(MediaKind::Video, number, &[&payload]);
    }
    let newest = rig.sent().last().unwrap().header.sequence;
    for _ in 0..100 {
        rig.lost(VIDEO, newest.wrapping_sub(16), 0xffff);
    }
    assert_eq!(rig.sent().len(), MOST_AGAIN / 1000);
    for number in 0..70 {
        rig.write(MediaKind::Video, number, &[&payload]);
    }
    let newest = rig.sent().last().unwrap().header.sequence;
    rig.lost(VIDEO, newest.wrapping_sub(16), 0xffff);
    assert_eq!(rig.sent().len(), 10, "a seventh");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut rig = rig();
    for number in 0..3000 {
        rig.write(MediaKind::Video, number, &[b"one", b"two"]);
    }
    let track = &rig.sender.tracks[0];
    assert_eq!((track.kept_packets, track.kept.len()), (KEPT, KEPT / 2));
}

#[test]
fn the_time_is_reported_each_second() {
    let mut rig = rig();
    rig.sender.tick(rig.now, &mut rig.out);
    assert!(rig.out.is_empty() && rig.sender.due().is_none(), "there is nothing to report");
    rig.write(MediaKind::Video, 5000, &[b"one", b"two"]);
    rig.write(MediaKind::Audio, 5000, &[b"sound"]);
    rig.out.clear();
    let began = rig.now;
    for seconds in 0..3u32 {
        rig.now = began + Duration::from_secs(1) * seconds;
        assert_eq!(rig.sender.due(), Some(rig.now));
        rig.sender.tick(rig.now, &mut rig.out);
        rig.sender.tick(rig.now, &mut rig.out);
        let reports = rig.reported();
        let (ntp, time) = (report::ntp(1_700_000_000_000_000_000 + u64::from(seconds) * 1_000_000_000), 5 + seconds);
        let of_video = SenderReport { ssrc: VIDEO, ntp, timestamp: time * 90_000, packets: 2, octets: 6 };
        let of_audio = SenderReport { ssrc: AUDIO, ntp, timestamp: time * 48_000, packets: 1, octets: 5 };
        assert_eq!(reports[0], Report::Sender(of_video));
        assert_eq!((&reports[2], reports.len()), (&Report::Sender(of_audio), 4));
    }
    rig.sender.end(&mut rig.out);
    let ends: Vec<_> = rig.reported().into_iter().filter(|report| matches!(report, Report::End(_))).collect();
    assert_eq!(ends, [Report::End(vec![VIDEO]), Report::End(vec![AUDIO])]);
}

#[test]
fn keyframes_are_requested_of_our_own_tracks() {
    let mut rig = rig();
    let request = |kind: u8, ssrc: u32| [&[0x80 | kind, 206, 0, 2, 0, 0, 0, 9][..], &ssrc.to_be_bytes()].concat();
    assert!(rig.report(&request(1, VIDEO)));
    assert!(!rig.report(&request(1, 77)));
    let full = [&[0x84, 206, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0][..], &VIDEO.to_be_bytes(), &[1, 0, 0, 0]].concat();
    assert!(rig.report(&full));
    assert_eq!((rig.sender.stats().pli_count, rig.sender.stats().fir_count), (1, 1));
    // Nothing that is not encrypted.
    assert!(!rig.sender.receive(&request(1, VIDEO), rig.now, &mut rig.out));
    assert!(!rig.sender.receive(&[0x80, 96, 0, 1], rig.now, &mut rig.out));
}

#[test]
fn no_number_is_used_twice_over_a_million_packets() {
    let mut rig = rig();
    let mut used = HashSet::new();
    let mut rounds = std::collections::HashMap::<u32, (u64, u16)>::new();
    let payloads: Vec<&[u8]> = vec![b"x"; 100];
    let mut packets = 0;
    while packets < 1_000_000 {
        rig.write(MediaKind::Video, 0, &payloads);
        rig.write(MediaKind::Audio, 0, &[b"y"]);
        let newest = rig.sender.tracks[0].source.number() as u16;
        rig.lost(VIDEO, newest.wrapping_sub(17), 0xffff);
        for packet in rig.out.datagrams() {
            let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let (round, last) = rounds.entry(ssrc).or_insert((0, sequence.wrapping_sub(1)));
            assert_eq!(sequence, last.wrapping_add(1), "without a hole");
            *round += u64::from(sequence < *last);
            *last = sequence;
            assert!(used.insert((ssrc, *round, sequence)));
            packets += 1;
        }
        rig.out.clear();
    }
    assert_eq!(rounds.len(), 3);
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>, compound: Vec<u8>, kind in 200u8..208, count in 0u8..32) {
        let mut rig = rig();
        rig.write(MediaKind::Video, 0, &[b"one"]);
        rig.sender.receive(&bytes, rig.now, &mut rig.out);
        let words = (compound.len() / 4) as u16;
        rig.report(&[&[0x80 | count, kind][..], &words.to_be_bytes(), &compound].concat());
    }
}
