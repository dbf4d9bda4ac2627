//! Samples of a stream → RTP packets for all readers of RTSP, made once: one sample is one packet of the ring.
//!
//! A packet of the ring is a row of packets as they travel between the messages of RTSP, so that a reader with the usual channels gets
//! its bytes as they are, and one with datagrams gets slices of them. All readers see the same sources, sequence numbers and
//! timestamps. The header of this container is the description of the tracks in SDP.

use super::{
    Format, HEADER, Header, Packetizer, Payloads,
    interleaved::{self, HEAD, channel},
    report::{self, SenderReport},
};
use crate::media::{
    HeaderChange, Kind, MediaKind, Muxed, Sample, Time, TrackId, TrackInfo, codec::CodecParameters, packet::PacketBuf,
    track,
};
use std::{fmt::Write, time::Duration};

/// Longest payload: with the headers of IPv6, UDP and RTP it fits into 1500 bytes, and what encryption adds as well.
const LIMIT: usize = 1400;
/// First payload type that is free (RFC 3551, section 3).
const FIRST_TYPE: u8 = 96;
/// Sender reports come this often, and with each join point.
const REPORT_PERIOD: i64 = 5_000_000_000;
/// A clock that stays further away than this for [`CLOCK_PATIENCE`] has been set; what is less, or shorter, is jitter or drift.
const CLOCK_STEP: i64 = 50_000_000;
/// Longer than sources and machines stall.
const CLOCK_PATIENCE: i64 = 3_000_000_000;
/// Drift is followed by at most one part in so many of the time that passes: 500 ppm. Players move their timeline with each sender
/// report; moved by more than the distance of two samples, it would step back.
const CLOCK_SLEW: i64 = 2000;

/// Makes the packets of one stream.
#[derive(Debug, Default)]
pub struct Muxer {
    tracks: Vec<Track>,
    lead: Option<TrackId>,
    header: String,
    /// See [`Muxer::set_epoch`].
    epoch: Option<Duration>,
    /// What numbers that should be random are made of.
    seed: u64,
    wall: Option<Wall>,
    /// Of the last sender reports.
    reported: Option<Time>,
}

/// The clock on the wall, as sender reports have it.
#[derive(Debug, Clone, Copy)]
struct Wall {
    /// Nanoseconds from the time of the media to the time since 1970.
    offset: i64,
    /// Of the newest sample that was seen.
    at: Time,
    /// The newest sample that was near enough.
    near: Time,
}

#[derive(Debug)]
struct Track {
    info: TrackInfo,
    packetizer: Packetizer,
    format: Format,
    sequence: u16,
    ssrc: u32,
    /// The timestamp at time 0.
    base: u32,
    packets: u32,
    octets: u32,
}

impl Muxer {
    /// Nothing is known of the tracks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether RTP can carry a track of this codec.
    pub fn carries(codec: &CodecParameters) -> bool {
        match codec {
            CodecParameters::H264(_)
            | CodecParameters::H265(_)
            | CodecParameters::Av1(_)
            | CodecParameters::Vp8
            | CodecParameters::Vp9(_)
            | CodecParameters::Jpeg
            | CodecParameters::Aac(_)
            | CodecParameters::MpegAudio(_)
            | CodecParameters::Ac3(_) => true,
            CodecParameters::Opus(parameters) => parameters.channels() <= 2,
            CodecParameters::Pcm(format) => super::pcm::name(*format).is_some(),
            CodecParameters::Mpeg1Video
            | CodecParameters::Mpeg2Video
            | CodecParameters::Mpeg4Visual(_)
            | CodecParameters::Raw(_)
            | CodecParameters::Theora(_)
            | CodecParameters::Vorbis(_)
            | CodecParameters::Flac(_)
            | CodecParameters::Eac3(_) => false,
        }
    }

    /// The time since 1970 at which the clock of [`Sample::captured`] was 0, which sender reports need. It follows the clock on the
    /// wall if it is set again from time to time.
    pub fn set_epoch(&mut self, epoch: Option<Duration>) {
        self.epoch = epoch;
        if self.seed == 0 {
            // Clocks of nanoseconds are as random as another server could guess; there is nothing to be kept secret.
            self.seed = epoch.map_or(1, |epoch| epoch.as_nanos() as u64 | 1);
        }
    }

    /// The tracks from now on. Readers continue where the formats are the same: new parameter sets are in band.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let had_header = !self.header.is_empty();
        let continues = self.tracks.len() == tracks.len()
            && self.tracks.iter_mut().zip(tracks).all(|(known, track)| known.set_info(track));
        if !continues {
            let seed = self.seed;
            let made = (0u64..).zip(tracks).filter_map(|(number, track)| Track::new(track, mixed(seed ^ number)));
            self.tracks = made.collect();
            self.seed = mixed(seed);
            self.reported = None;
        }
        self.lead = track::lead(tracks).map(|track| track.id);
        let header = self.describe();
        if header != self.header {
            let readers = if had_header && !continues { HeaderChange::End } else { HeaderChange::None };
            out.push(Muxed::Header { bytes: header.clone().into(), readers });
            self.header = header;
        }
    }

    /// The next sample. It is ignored if its track is unknown.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let is_join = sample.is_sync && self.lead == Some(sample.track);
        let Some(number) = self.tracks.iter().position(|track| track.info.id == sample.track) else { return };
        self.follow_clock(sample);
        let mut bytes = Vec::new();
        let is_due = self.reported.is_none_or(|last| sample.dts.since(last).saturating_abs() >= REPORT_PERIOD);
        if is_join || is_due {
            self.report(sample, &mut bytes);
        }
        let Some(track) = self.tracks.get_mut(number) else { return };
        let packets = track.packets(sample, channel(number));
        if packets.is_empty() {
            return;
        }
        let mut payload = PacketBuf::with_capacity(bytes.len() + packets.len());
        payload.extend_from_slice(&bytes);
        payload.extend_from_slice(&packets);
        let mut packet = payload.finish(if is_join { Kind::Keyframe } else { Kind::Delta });
        packet.captured = sample.captured;
        packet.entered = sample.entered;
        packet.discontinuity = sample.discontinuity;
        out.push(Muxed::Packet(packet));
    }

    /// Follows the clock by which the media was captured, and not its jitter.
    fn follow_clock(&mut self, sample: &Sample) {
        let Some((epoch, at)) = self.epoch.zip(sample.captured.or(sample.entered)) else { return };
        let wall = i64::try_from((epoch + at).as_nanos()).unwrap_or(i64::MAX);
        let wall = wall.saturating_sub(sample.pts.nanos());
        self.wall.get_or_insert(Wall { offset: wall, at: sample.dts, near: sample.dts }).follow(wall, sample.dts);
    }

    /// Appends sender reports of all tracks for the same moment.
    fn report(&mut self, sample: &Sample, out: &mut Vec<u8>) {
        let Some(wall) = self.wall else { return };
        self.reported = Some(sample.dts);
        let ntp = report::ntp(u64::try_from(wall.offset.saturating_add(sample.pts.nanos())).unwrap_or(0));
        for (number, track) in self.tracks.iter().enumerate() {
            let timestamp = track.timestamp(sample.pts);
            let Track { ssrc, packets, octets, .. } = *track;
            let report = SenderReport { ssrc, ntp, timestamp, packets, octets }.bytes("voyandz");
            out.extend(interleaved::head(channel(number) + 1, report.len()));
            out.extend(report);
        }
    }

    /// The tracks as SDP has them (RFC 8866), without what is said of the session.
    fn describe(&self) -> String {
        let mut text = String::new();
        for (number, track) in self.tracks.iter().enumerate() {
            let (format, kind) = (&track.format, track.payload_type(number));
            let media = if track.info.kind() == MediaKind::Video { "video" } else { "audio" };
            let _ = write!(text, "m={media} 0 RTP/AVP {kind}\r\na=rtpmap:{kind} {format}\r\n");
            if !format.parameters.is_empty() {
                let _ = write!(text, "a=fmtp:{kind} {}\r\n", format.parameters);
            }
            if let Some((frames, seconds)) = track.info.video().and_then(|shape| shape.frame_rate) {
                let rate = f64::from(frames) / f64::from(seconds.max(1));
                let _ = write!(text, "a=framerate:{}\r\n", (rate * 1000.0).round() / 1000.0);
            }
            let _ = write!(text, "a=control:trackID={number}\r\n");
        }
        text
    }
}

impl Wall {
    /// Takes what a sample says.
    fn follow(&mut self, offset: i64, at: Time) {
        let apart = offset.saturating_sub(self.offset);
        // Samples of several tracks are a little out of order: time that was counted is not counted again.
        let passed = at.since(self.at).max(0);
        self.at = self.at.max(at);
        if apart.saturating_abs() < CLOCK_STEP {
            self.near = self.at;
        } else if self.at.since(self.near) > CLOCK_PATIENCE {
            *self = Self { offset, at, near: at };
            return;
        }
        let most = passed / CLOCK_SLEW;
        self.offset = self.offset.saturating_add(apart.clamp(-most, most));
    }
}

impl Track {
    fn new(info: &TrackInfo, seed: u64) -> Option<Self> {
        Some(Self {
            packetizer: Packetizer::new(info, LIMIT)?,
            format: Format::of(info)?,
            info: info.clone(),
            sequence: (seed >> 48) as u16,
            ssrc: (seed >> 16) as u32,
            base: mixed(seed) as u32,
            packets: 0,
            octets: 0,
        })
    }

    /// Takes other parameters; whether readers can continue with them.
    fn set_info(&mut self, info: &TrackInfo) -> bool {
        let Some(format) = Format::of(info) else { return false };
        let is_same = (format.name, format.clock_rate, format.channels, format.payload_type)
            == (self.format.name, self.format.clock_rate, self.format.channels, self.format.payload_type);
        if !is_same || info.id != self.info.id {
            return false;
        }
        // Without parameters in band, only the same ones will do.
        let continues = format.parameters == self.format.parameters || self.packetizer.set_track(info);
        (self.format, self.info) = (format, info.clone());
        continues
    }

    fn payload_type(&self, number: usize) -> u8 {
        self.format.payload_type.unwrap_or(FIRST_TYPE + number as u8)
    }

    fn timestamp(&self, time: Time) -> u32 {
        self.base.wrapping_add(time.ticks(self.format.clock_rate) as u32)
    }

    /// The packets of a sample, with what stands before each.
    fn packets(&mut self, sample: &Sample, channel: u8) -> Vec<u8> {
        let mut payloads = Payloads::new(HEAD + HEADER);
        self.packetizer.push(sample, &mut payloads);
        let (mut bytes, pieces) = payloads.into_parts();
        let (timestamp, payload_type) = (self.timestamp(sample.pts), self.payload_type(usize::from(channel >> 1)));
        for piece in pieces {
            let header = Header {
                payload_type,
                marker: piece.marker,
                sequence: self.sequence,
                timestamp: timestamp.wrapping_add(piece.ticks),
                ssrc: self.ssrc,
            };
            self.sequence = self.sequence.wrapping_add(1);
            self.packets = self.packets.wrapping_add(1);
            self.octets = self.octets.wrapping_add(piece.range.len() as u32);
            let room =
                piece.range.start.checked_sub(HEAD + HEADER).and_then(|from| bytes.get_mut(from..piece.range.start));
            if let Some((head, rest)) = room.and_then(|room| room.split_first_chunk_mut::<HEAD>()) {
                *head = interleaved::head(channel, HEADER + piece.range.len());
                rest.copy_from_slice(&header.bytes());
            }
        }
        bytes
    }
}

/// Numbers that look random (the finalizer of SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut number = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, interleaved::split, report::Report};
    use super::*;
    use crate::media::codec::{aac, h264, opus, pcm};
    use crate::media::track::{AudioShape, Shape, VideoShape};
    use bytes::Bytes;

    fn video(level: u8) -> TrackInfo {
        let parameters = h264::Parameters {
            sps: vec![Bytes::copy_from_slice(&[0x67, 0x42, 0xc0, level, 0xd9])],
            pps: vec![Bytes::from_static(&[0x68, 0xcb])],
        };
        let shape = VideoShape { width: 320, height: 240, pixel_aspect: (1, 1), frame_rate: Some((30_000, 1001)) };
        TrackInfo { id: TrackId(4), codec: CodecParameters::H264(parameters), shape: Shape::Video(shape) }
    }

    fn audio() -> TrackInfo {
        let codec = CodecParameters::Aac(aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) });
        TrackInfo { id: TrackId(7), codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) }
    }

    fn sample(track: u8, millis: i64, is_sync: bool, length: usize) -> Sample {
        let mut data = vec![0x41; length];
        data[..4].copy_from_slice(&(length as u32 - 4).to_be_bytes());
        let time = Time::from_millis(millis);
        Sample {
            track: TrackId(track),
            dts: time,
            pts: time,
            duration: None,
            is_sync,
            discontinuity: false,
            captured: Some(Duration::from_millis(1000 + millis as u64)),
            entered: None,
            data: data.into(),
        }
    }

    struct Rig(Muxer);

    impl Rig {
        fn new() -> Self {
            let mut muxer = Muxer::new();
            muxer.set_epoch(Some(Duration::from_secs(1_700_000_000)));
            Self(muxer)
        }

        fn tracks(&mut self, tracks: &[TrackInfo]) -> Option<(String, HeaderChange)> {
            let mut out = Vec::new();
            self.0.set_tracks(tracks, &mut out);
            assert!(out.len() <= 1);
            match out.pop()? {
                Muxed::Header { bytes, readers } => Some((String::from_utf8(bytes.to_vec()).unwrap(), readers)),
                other => panic!("{other:?}"),
            }
        }

        /// Kind of the packet of the ring, packets by channel.
        fn push(&mut self, sample: &Sample) -> (Kind, Vec<(u8, Bytes)>) {
            let mut out = Vec::new();
            self.0.push(sample, &mut out);
            let [Muxed::Packet(packet)] = &out[..] else { panic!("{out:?}") };
            (packet.kind, split(&packet.payload()).map(|framed| (framed.channel, framed.packet())).collect())
        }
    }

    #[test]
    fn the_header_describes_the_tracks() {
        let (header, readers) = Rig::new().tracks(&[video(30), audio()]).unwrap();
        let expect = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
            a=fmtp:96 packetization-mode=1;profile-level-id=42C01E;sprop-parameter-sets=Z0LAHtk=,aMs=\r\n\
            a=framerate:29.97\r\na=control:trackID=0\r\n\
            m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/2\r\n\
            a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190\r\n\
            a=control:trackID=1\r\n";
        assert_eq!((header.as_str(), readers), (expect, HeaderChange::None));
    }

    #[test]
    fn join_points_begin_with_reports_of_one_moment_for_all_tracks() {
        let mut rig = Rig::new();
        rig.tracks(&[video(30), audio()]).unwrap();
        let (kind, packets) = rig.push(&sample(4, 0, true, 4000));
        assert_eq!(
            (kind, packets.iter().map(|(channel, _)| *channel).collect::<Vec<_>>()),
            (Kind::Keyframe, vec![1, 3, 0, 0, 0, 0])
        );
        let sender = |bytes: &Bytes| match report::parse(bytes)[0] {
            Report::Sender(report) => report,
            ref other => panic!("{other:?}"),
        };
        let reports = [sender(&packets[0].1), sender(&packets[1].1)];
        assert_eq!(reports[0].ntp, reports[1].ntp);
        assert_eq!(reports[0].ntp, report::ntp(1_700_000_001_000_000_000));
        let first = Packet::parse(packets[2].1.clone()).unwrap().header;
        assert_eq!((first.ssrc, first.timestamp), (reports[0].ssrc, reports[0].timestamp));
        // The audio of the same moment has the timestamp of its report.
        let (kind, packets) = rig.push(&sample(7, 0, true, 300));
        let sound = Packet::parse(packets[0].1.clone()).unwrap().header;
        assert_eq!((kind, sound.ssrc, sound.timestamp), (Kind::Delta, reports[1].ssrc, reports[1].timestamp));
        let (_, packets) = rig.push(&sample(4, 40, false, 100));
        let next = Packet::parse(packets[0].1.clone()).unwrap().header;
        assert_eq!((packets.len(), next.timestamp.wrapping_sub(first.timestamp)), (1, 3600));
        assert_eq!(next.sequence.wrapping_sub(first.sequence), 4);
        // Without join points reports come each 5 s.
        assert_eq!(rig.push(&sample(7, 4900, true, 300)).1.len(), 1);
        let (_, packets) = rig.push(&sample(7, 5000, true, 300));
        let report = sender(&packets[0].1);
        assert_eq!((packets.len(), report.packets), (3, 5));
    }

    #[test]
    fn other_parameter_sets_continue_and_other_formats_end() {
        let mut rig = Rig::new();
        rig.tracks(&[video(30), audio()]).unwrap();
        assert_eq!(rig.tracks(&[video(30), audio()]), None);
        let (header, readers) = rig.tracks(&[video(31), audio()]).unwrap();
        assert!(header.contains("42C01F") && readers == HeaderChange::None);
        assert_eq!(rig.tracks(&[video(31)]).unwrap().1, HeaderChange::End);
        let codec = CodecParameters::Opus(opus::Parameters::simple(2));
        assert_eq!(rig.tracks(&[video(31), TrackInfo { codec, ..audio() }]).unwrap().1, HeaderChange::End);
    }

    #[test]
    fn audio_alone_is_joined_anywhere() {
        let mut rig = Rig::new();
        let codec = CodecParameters::Pcm(pcm::Format::ALaw);
        let shape = Shape::Audio(AudioShape { rate: 8000, channels: 1 });
        let (header, _) = rig.tracks(&[TrackInfo { id: TrackId(7), codec, shape }]).unwrap();
        assert!(header.starts_with("m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=control"), "{header}");
        let (kind, packets) = rig.push(&sample(7, 0, true, 3000));
        assert_eq!((kind, packets.len()), (Kind::Keyframe, 4));
        let times: Vec<_> =
            packets[1..].iter().map(|(_, packet)| Packet::parse(packet.clone()).unwrap().header.timestamp).collect();
        assert_eq!(times[2].wrapping_sub(times[0]), 2800);
    }

    #[test]
    fn the_clock_follows_drift_and_steps_with_the_clock_on_the_wall() {
        let mut rig = Rig::new();
        rig.tracks(&[video(30)]).unwrap();
        // Microseconds by which the report is off from the first one.
        let mut ntp = |millis: i64, late: i64| {
            let mut sample = sample(4, millis, true, 100);
            sample.captured = Some(Duration::from_millis((1000 + millis + late) as u64));
            match report::parse(&rig.push(&sample).1[0].1)[0] {
                Report::Sender(report) => {
                    let since =
                        report::ntp_since(report.ntp, report::ntp(1_700_000_001_000_000_000)) - millis * 1_000_000;
                    (since as f64 / 1000.0).round() as i64
                }
                ref other => panic!("{other:?}"),
            }
        };
        assert_eq!(ntp(0, 0), 0);
        // 40 ms are followed by 500 ppm, and so is a stall of a second.
        assert_eq!(ntp(40, 40), 20);
        assert_eq!(ntp(80, 1000), 40);
        assert_eq!(ntp(1080, 30), 540);
        assert_eq!(ntp(1120, 0), 520);
        // The clock was set, which is believed after some seconds.
        for millis in (1160..4160).step_by(40) {
            assert!(ntp(millis, 3_600_000) < 2100, "{millis}");
        }
        assert_eq!(ntp(4200, 3_600_000), 3_600_000_000);
        // Jitter around it is not seen.
        assert!((4240..9240).step_by(40).all(|at| (ntp(at, 3_600_000 + at % 3 * 10) - 3_600_000_000).abs() < 2500));
    }
}
