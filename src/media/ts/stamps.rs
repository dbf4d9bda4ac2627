//! When the access unit is decoded and shown that begins in some transport packets.

use super::packet::{PACKET, Packet};
use super::timeline::Timeline;
use crate::media::Time;

/// The times of an access unit, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitTimes {
    /// The PID of its track.
    pub pid: u16,
    /// The head of its PES packet says that it is video (ISO/IEC 13818-1, table 2-22).
    pub is_video: bool,
    /// When it is decoded.
    pub dts: Time,
    /// When it is shown.
    pub pts: Time,
}

/// Reads times out of transport packets and unrolls their 33 bits.
#[derive(Debug, Default)]
pub struct UnitClock(Timeline);

impl UnitClock {
    /// The times of the first access unit that begins in these transport packets.
    pub fn times(&mut self, bytes: &[u8]) -> Option<UnitTimes> {
        let (packets, _) = bytes.as_chunks::<PACKET>();
        let mut packets = packets.iter().filter_map(Packet::new);
        let (packet, (pts, dts)) = packets.find_map(|packet| Some((packet, packet.presentation()?)))?;
        let (pid, raw) = (packet.pid(), packet.raw());
        let is_video = packet.payload().get(3).is_some_and(|id| id & 0xf0 == 0xe0);
        let read = |at: usize| stamp(raw.get(at..)?.first_chunk()?);
        let (pts, dts) = self.0.stamps(read(pts), dts.and_then(read));
        Some(UnitTimes { pid, is_video, dts: dts?, pts: pts? })
    }
}

/// 33 bits among marker bits (ISO/IEC 13818-1, section 2.4.3.6).
fn stamp(bytes: &[u8; 5]) -> Option<u64> {
    let [a, b, c, d, e] = bytes.map(u64::from);
    Some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        Container, Muxed, Muxer, Sample, TrackId, TrackInfo,
        codec::{CodecParameters, h264},
        track::{Shape, VideoShape},
    };
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::time::Instant;

    #[test]
    fn times_are_those_of_the_samples_up_to_a_constant() {
        let sets = h264::Parameters {
            sps: vec![Bytes::from_static(b"\x67\x42\xc0\x0d")],
            pps: vec![Bytes::from_static(b"\x68\xce")],
        };
        let shape = VideoShape { width: 0, height: 0, pixel_aspect: (1, 1), frame_rate: None };
        let track = TrackInfo { id: TrackId(0), codec: CodecParameters::H264(sets), shape: Shape::Video(shape) };
        let (mut muxer, mut clock, mut out) = (Muxer::new(Container::Ts).unwrap(), UnitClock::default(), Vec::new());
        muxer.set_tracks(&[track], &mut out);
        // Over a wrap of 33 bits.
        let times = [0i64, 40, 80, 95_443_000, 95_444_000, 95_444_040];
        let mut found = Vec::new();
        for millis in times {
            let (dts, pts) = (Time::from_millis(millis), Time::from_millis(millis + 80));
            let sample = Sample {
                track: TrackId(0),
                dts,
                pts,
                duration: None,
                is_sync: true,
                discontinuity: false,
                captured: None,
                entered: None,
                data: Bytes::from_static(b"\0\0\0\x02\x65\x88"),
            };
            out.clear();
            muxer.push(&sample, Instant::now(), &mut out);
            let Some(Muxed::Packet(packet)) = out.last() else { panic!("{out:?}") };
            let times = clock.times(&packet.payload()).unwrap();
            assert_eq!((times.pid, times.is_video, times.pts.since(times.dts)), (0x100, true, 80_000_000));
            found.push(times.dts.millis());
        }
        let near: Vec<_> = found[..3].iter().map(|time| time - found[0]).collect();
        assert_eq!(near, [0, 40, 80]);
        assert_eq!((found[4] - found[3], found[5] - found[4]), (1000, 40));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
            UnitClock::default().times(&bytes);
        }
    }
}
