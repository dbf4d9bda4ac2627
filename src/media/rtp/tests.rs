//! Streams of real encoders go through packets and come back; packets that are missing cost whole units; any bytes are survived.

use super::*;
use crate::media::codec::canonical::Canonicalizer;
use crate::media::codec::{CodecParameters, ac3, mpeg_audio, nal, opus, pcm};
use crate::media::demux::Demuxed;
use crate::media::track::{AudioShape, Shape, VideoShape};
use crate::media::{Sample, Time, TrackId, TrackInfo, matroska, mp4, ts};
use bytes::Bytes;
use proptest::prelude::*;

const H264_AAC: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");
const H264_GST: &[u8] = include_bytes!("../../../tests/data/h264-aac-gst.ts");
const H265: &[u8] = include_bytes!("../../../tests/data/h265.ts");
const AV1_OPUS: &[u8] = include_bytes!("../../../tests/data/av1-opus.mkv");
const VP8_OPUS: &[u8] = include_bytes!("../../../tests/data/vp8-opus-gst.webm");
const VP9: &[u8] = include_bytes!("../../../tests/data/vp9.mp4");
const MP3: &[u8] = include_bytes!("../../../tests/data/sound.mp3");

/// A track and its samples.
type Track = (TrackInfo, Vec<Sample>);

fn by_track(found: &[Demuxed]) -> Vec<Track> {
    let mut tracks: Vec<Track> = Vec::new();
    for found in found {
        match found {
            Demuxed::Tracks(set) if tracks.is_empty() => {
                tracks = set.tracks().iter().map(|track| (track.clone(), Vec::new())).collect();
            }
            Demuxed::Tracks(_) => {}
            Demuxed::Sample(sample) => {
                let (_, samples) = tracks.iter_mut().find(|(track, _)| track.id == sample.track).unwrap();
                samples.push(sample.clone());
            }
        }
    }
    tracks
}

/// The tracks of the captures.
fn captures() -> Vec<Track> {
    let mut all = Vec::new();
    for capture in [H264_AAC, H264_GST, H265] {
        let (mut demuxer, mut out) = (ts::Demuxer::new(), Vec::new());
        demuxer.push(capture, &mut out);
        demuxer.finish(&mut out);
        all.extend(by_track(&out));
    }
    for capture in [AV1_OPUS, VP8_OPUS] {
        let (mut demuxer, mut out) = (matroska::Demuxer::new(), Vec::new());
        demuxer.push(capture, &mut out);
        demuxer.finish(&mut out);
        all.extend(by_track(&out));
    }
    let (mut demuxer, mut out) = (mp4::Demuxer::new(), Vec::new());
    demuxer.push(VP9, &mut out);
    demuxer.finish(&mut out);
    all.extend(by_track(&out));
    assert!(all.len() >= 9 && all.iter().all(|(_, samples)| samples.len() > 10));
    all
}

fn audio(codec: CodecParameters, rate: u32, channels: u16, units: Vec<(u64, Bytes)>) -> Track {
    let track = TrackInfo { id: TrackId(0), codec, shape: Shape::Audio(AudioShape { rate, channels }) };
    let sample = |(at, data): (u64, Bytes)| {
        let time = Time::from_ticks(at as i64, rate);
        Sample {
            track: TrackId(0),
            dts: time,
            pts: time,
            duration: None,
            is_sync: true,
            discontinuity: false,
            captured: None,
            entered: None,
            data,
        }
    };
    (track, units.into_iter().map(sample).collect())
}

fn mp3() -> Track {
    let at = MP3.windows(4).position(|bytes| mpeg_audio::Header::parse(bytes).is_some()).unwrap();
    let mut samples = 0;
    let mut units = Vec::new();
    let mut known = None;
    for (header, frame) in mpeg_audio::frames(&Bytes::from_static(&MP3[at..])) {
        units.push((samples, frame));
        samples += u64::from(header.samples);
        known = Some(header);
    }
    let header = known.unwrap();
    audio(CodecParameters::MpegAudio(header.parameters), header.rate, header.channels, units)
}

/// A frame of AC-3 at 48 kHz and 640 kbit/s, stereo, without content that decodes.
fn ac3() -> Track {
    let mut frame = vec![0u8; 2560];
    frame[..7].copy_from_slice(&[0x0b, 0x77, 0, 0, 0x24, 0x40, 0x40]);
    let frame = Bytes::from(frame);
    let header = ac3::Header::parse(&frame).unwrap();
    assert_eq!((header.frame_length, header.rate), (2560, 48_000));
    let parameters = ac3::Parameters::of_unit(&frame).unwrap();
    let units = (0..5).map(|number| (number * 1536, frame.clone())).collect();
    audio(CodecParameters::Ac3(parameters), 48_000, header.channels, units)
}

fn pcm(format: pcm::Format, rate: u32, channels: u16) -> Track {
    let block = format.bytes() * usize::from(channels);
    let unit = |number: u64| {
        let bytes: Vec<u8> = (0..block * 700).map(|at| (at as u64 * 7 + number) as u8).collect();
        (number * 700, Bytes::from(bytes))
    };
    audio(CodecParameters::Pcm(format), rate, channels, (0..4).map(unit).collect())
}

/// The packets of a track.
fn packets((track, samples): &Track, limit: usize) -> Vec<Packet> {
    let mut packetizer = Packetizer::new(track, limit).unwrap();
    let clock_rate = Format::of(track).unwrap().clock_rate;
    let mut sequence = 65_000u16;
    let mut all = Vec::new();
    for sample in samples {
        let mut payloads = Payloads::new(HEADER);
        packetizer.push(sample, &mut payloads);
        assert!(!payloads.is_empty());
        for (payload, piece) in payloads.iter() {
            assert!(payload.len() <= limit.max(64) || !track.codec.is_video(), "{}", payload.len());
            let header = Header {
                payload_type: 96,
                marker: piece.marker,
                sequence,
                timestamp: (sample.pts.ticks(clock_rate) as u32).wrapping_add(piece.ticks),
                ssrc: 1,
            };
            sequence = sequence.wrapping_add(1);
            all.push(Packet::parse([&header.bytes()[..], payload].concat().into()).unwrap());
        }
    }
    all
}

fn encoding(track: &TrackInfo) -> Encoding {
    let format = Format::of(track).unwrap();
    Encoding::parse(format.name, format.clock_rate, format.channels.unwrap_or(1), &format.parameters).unwrap()
}

/// The units that these packets make.
fn raw_units(encoding: &Encoding, packets: &[Packet]) -> Vec<Unit> {
    let (mut depacketizer, mut out) = (Depacketizer::new(encoding), Vec::new());
    packets.iter().for_each(|packet| depacketizer.push(packet, &mut out));
    out
}

/// The same in canonical form: timestamp, whether a decoder may begin, whether something is missing before, bytes.
fn units(encoding: &Encoding, packets: &[Packet]) -> Vec<(u32, bool, bool, Bytes)> {
    let mut canonicalizer = Canonicalizer::new(encoding.source_form());
    let canonical = raw_units(encoding, packets).into_iter().filter_map(|unit| {
        let canonical = canonicalizer.push(unit.data)?;
        Some((unit.timestamp, canonical.is_sync, unit.discontinuity, canonical.data))
    });
    canonical.collect()
}

#[test]
fn samples_come_back() {
    for track in captures().into_iter().chain([mp3(), ac3()]) {
        for limit in [64, 200, 1200, 1460, 65_000] {
            let (info, samples) = &track;
            let clock_rate = Format::of(info).unwrap().clock_rate;
            let expect: Vec<_> = samples
                .iter()
                .enumerate()
                .map(|(number, sample)| {
                    (sample.pts.ticks(clock_rate) as u32, sample.is_sync, number == 0, sample.data.clone())
                })
                .collect();
            let found = units(&encoding(info), &packets(&track, limit));
            assert_eq!(found.len(), expect.len(), "{} {limit}", info.codec.name());
            for (number, (found, expect)) in found.iter().zip(&expect).enumerate() {
                assert!(found == expect, "{} {limit} {number}: {found:?} {expect:?}", info.codec.name());
            }
        }
    }
}

#[test]
fn parameters_come_back() {
    for (info, samples) in captures() {
        let mut canonicalizer = Canonicalizer::new(encoding(&info).source_form());
        for packet in units(&encoding(&info), &packets(&(info.clone(), samples), 1200)) {
            canonicalizer.push(packet.3);
        }
        // Those of AV1, VP8 and VP9 are in band.
        if let Some((codec, _)) = canonicalizer.parameters()
            && !matches!(codec, CodecParameters::Opus(_) | CodecParameters::Vp9(_))
        {
            assert_eq!(*codec, info.codec);
        }
    }
}

#[test]
fn pcm_comes_back_with_the_times_of_its_pieces() {
    use pcm::Format::{ALaw, MuLaw, S16Be, S16Le, S24Le, U8};
    for (format, rate, channels) in
        [(ALaw, 8000, 1), (MuLaw, 16_000, 2), (U8, 8000, 1), (S16Le, 48_000, 2), (S16Be, 44_100, 2), (S24Le, 96_000, 6)]
    {
        let track = pcm(format, rate, channels);
        let found = units(&encoding(&track.0), &packets(&track, 1200));
        let block = (format.bytes() * usize::from(channels)) as u32;
        let mut ticks = 0;
        for (timestamp, _, _, data) in &found {
            assert_eq!(*timestamp, ticks, "{format:?}");
            ticks += data.len() as u32 / block;
        }
        let all: Vec<u8> = found.iter().flat_map(|(.., data)| data.to_vec()).collect();
        let mut expect: Vec<u8> = track.1.iter().flat_map(|sample| sample.data.to_vec()).collect();
        if format == S16Le {
            // Big endian, as it travels: it needs no other form.
            expect.chunks_mut(2).for_each(<[u8]>::reverse);
        }
        assert!(all == expect, "{format:?}");
    }
}

#[test]
fn images_decode_to_the_same() {
    let Some(stream) = encoded_images() else { return };
    let at = stream.windows(4).rposition(|bytes| bytes == [0xff, 0xd8, 0xff, 0xe0]).unwrap();
    let image = Bytes::copy_from_slice(&stream[at..]);
    let shape = VideoShape { width: 160, height: 120, pixel_aspect: (1, 1), frame_rate: None };
    let info = TrackInfo { id: TrackId(0), codec: CodecParameters::Jpeg, shape: Shape::Video(shape) };
    let (_, samples) = audio(CodecParameters::Jpeg, 90_000, 1, (0..4).map(|at| (at * 3600, image.clone())).collect());
    let found = units(&encoding(&info), &packets(&(info.clone(), samples), 1200));
    assert_eq!(found.len(), 4);
    let decoded = |bytes: &[u8]| image::load_from_memory(bytes).unwrap();
    assert!(found.iter().all(|(.., data)| decoded(data) == decoded(&image)));
    // Other tables, other chroma, other sizes have no payload format.
    let shape = VideoShape { width: 2048, ..shape };
    assert_eq!(Format::of(&TrackInfo { shape: Shape::Video(shape), ..info }), None);
}

/// Images with the usual Huffman tables.
fn encoded_images() -> Option<Vec<u8>> {
    let arguments = "-v error -f lavfi -i testsrc2=size=160x120:rate=5 -t 1 -c:v mjpeg -huffman default -pix_fmt yuvj420p -f mjpeg -";
    match std::process::Command::new("ffmpeg").args(arguments.split(' ')).output() {
        Ok(output) => Some(output.stdout),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "ffmpeg: {error}");
            eprintln!("SKIPPED: there is no ffmpeg: {error}");
            None
        }
    }
}

/// A unit without messages to decoders, which may be lost without harm.
fn without_messages(codec: &CodecParameters, data: &[u8]) -> Vec<Vec<u8>> {
    let is_message = |unit: &&[u8]| match codec {
        CodecParameters::H264(_) => unit[0] & 0x1f == 6,
        CodecParameters::H265(_) => matches!(unit[0] >> 1, 39 | 40),
        _ => false,
    };
    match codec {
        CodecParameters::H264(_) | CodecParameters::H265(_) => {
            nal::length_prefixed(data, 4).filter(|unit| !is_message(unit)).map(<[u8]>::to_vec).collect()
        }
        _ => vec![data.to_vec()],
    }
}

#[test]
fn packets_that_are_missing_cost_whole_units() {
    for track in captures().into_iter().chain([mp3(), ac3()]) {
        let (info, samples) = &track;
        let all = packets(&track, 300);
        let clock_rate = Format::of(info).unwrap().clock_rate;
        let expect: std::collections::HashMap<u32, Vec<Vec<u8>>> = samples
            .iter()
            .map(|sample| (sample.pts.ticks(clock_rate) as u32, without_messages(&info.codec, &sample.data)))
            .collect();
        for seed in 1..40u32 {
            let mut random = seed;
            let mut is_kept = || {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                !random.is_multiple_of(20)
            };
            let kept: Vec<_> = all.iter().filter(|_| is_kept()).cloned().collect();
            let found = units(&encoding(info), &kept);
            for (timestamp, _, _, data) in &found {
                let whole = expect.get(timestamp).is_some_and(|unit| *unit == without_messages(&info.codec, data));
                assert!(whole, "{} {seed} {timestamp}", info.codec.name());
            }
            // Whoever continues after a hole knows it.
            let number = |unit: &Unit| {
                samples.iter().position(|sample| sample.pts.ticks(clock_rate) as u32 == unit.timestamp).unwrap()
            };
            for pair in raw_units(&encoding(info), &kept).windows(2) {
                let is_next = number(&pair[1]) == number(&pair[0]) + 1;
                assert!(is_next || pair[1].discontinuity, "{} {seed} {pair:?}", info.codec.name());
            }
        }
    }
}

#[test]
fn frames_are_whole_whatever_the_markers_say() {
    let track = captures().into_iter().find(|(track, _)| matches!(track.codec, CodecParameters::H264(_))).unwrap();
    let (info, samples) = &track;
    for marker in [|_: &Packet| true, |_: &Packet| false] {
        let mut all = packets(&track, 300);
        for packet in &mut all {
            packet.header.marker = marker(packet);
        }
        let found = units(&encoding(info), &all);
        assert_eq!(found.len(), samples.len() - 1, "the last has no packet behind it");
        assert!(found.iter().zip(samples).all(|((.., data), sample)| *data == sample.data));
    }
}

/// With markers that are right, frames leave with their last packet.
#[test]
fn frames_do_not_wait_for_the_next() {
    let track = captures().into_iter().find(|(track, _)| matches!(track.codec, CodecParameters::H264(_))).unwrap();
    let (mut depacketizer, mut out, mut ends) = (Depacketizer::new(&encoding(&track.0)), Vec::new(), 0);
    for packet in packets(&track, 300) {
        depacketizer.push(&packet, &mut out);
        ends += usize::from(packet.header.marker);
        assert!(ends <= 3 || !packet.header.marker || out.len() == ends, "{ends} {}", out.len());
    }
}

#[test]
fn several_frames_in_a_packet_have_their_times() {
    let encoding =
        Encoding::parse("MPEG4-GENERIC", 48_000, 2, "sizelength=13;indexlength=3;indexdeltalength=3;config=1190");
    let header = Header { payload_type: 96, marker: true, sequence: 0, timestamp: 100, ssrc: 0 };
    let payload = Bytes::from_static(&[0, 48, 0, 2 << 3, 0, 3 << 3, 0, 1 << 3 | 1, b'a', b'b', b'c', b'd', b'e', b'f']);
    let found = units(&encoding.unwrap(), &[Packet { header, payload }]);
    let found: Vec<_> = found.iter().map(|(timestamp, _, _, data)| (*timestamp, &data[..])).collect();
    assert_eq!(found, [(100, &b"ab"[..]), (1124, b"cde"), (3172, b"f")], "one is missing before the last");
}

#[test]
fn latm_is_read() {
    let encoding = Encoding::parse("MP4A-LATM", 44_100, 2, "cpresent=0;config=40002420").unwrap();
    let packet = |sequence: u16, marker, payload: &[u8]| Packet {
        header: Header { payload_type: 96, marker, sequence, timestamp: u32::from(sequence / 2) * 1024, ssrc: 0 },
        payload: Bytes::copy_from_slice(payload),
    };
    let packets: Vec<_> =
        (0..10).flat_map(|n| [packet(2 * n, false, &[4, n as u8, 2]), packet(2 * n + 1, true, &[3, 4])]).collect();
    let found = units(&encoding, &packets[1..]);
    assert_eq!(found.len(), 9, "of the first the begin is missing");
    assert_eq!(found[0].3, [1, 2, 3, 4][..]);
}

#[test]
fn layers_of_vp9_become_a_superframe() {
    let mut frames = Vec::new();
    let mut depacketizer = Depacketizer::new(&Encoding::Vp9);
    // Picture number, layers, structure of the first; each layer begins and ends.
    let payloads: [&[u8]; 2] = [&[0xae, 1, 0x00, 0, 0x00, b'a', b'b'], &[0xac, 1, 0x02, 0, b'c']];
    for (sequence, payload) in (0u16..).zip(payloads.iter().cycle().take(6)) {
        let timestamp = u32::from(sequence / 2) * 3000;
        let header = Header { payload_type: 98, marker: sequence % 2 == 1, sequence, timestamp, ssrc: 0 };
        depacketizer.push(&Packet { header, payload: Bytes::copy_from_slice(payload) }, &mut frames);
    }
    let expect = [&b"abc"[..], &[0xd9, 2, 0, 0, 0, 1, 0, 0, 0, 0xd9]].concat();
    assert_eq!(frames[0].data, expect);
}

#[test]
fn opus_with_many_channels_and_unknown_codecs_are_not_carried() {
    let track = audio(CodecParameters::Opus(opus::Parameters::simple(6)), 48_000, 6, Vec::new()).0;
    assert_eq!(Format::of(&track), None);
    let track = audio(CodecParameters::Pcm(pcm::Format::F32Le), 48_000, 2, Vec::new()).0;
    assert!(Packetizer::new(&track, 1200).is_none());
}

fn encodings() -> Vec<Encoding> {
    let fmtp = "config=1190;cpresent=0";
    let names =
        ["H264", "H265", "AV1", "VP8", "VP9", "JPEG", "MPEG4-GENERIC", "MPA", "AC3", "OPUS", "PCMA", "L16", "L24"];
    let parsed = names.iter().map(|name| Encoding::parse(name, 48_000, 2, fmtp).unwrap());
    parsed.chain([Encoding::Latm(None)]).collect()
}

proptest! {
    /// Payloads of any bytes, with few timestamps and gaps.
    #[test]
    fn foreign_payloads_never_panic(
        packets in proptest::collection::vec((any::<Vec<u8>>(), 0u8..6, any::<bool>(), 0u32..3, 0u16..9), 1..40),
        kind: u8,
    ) {
        for encoding in encodings() {
            let (mut sequence, mut timestamp) = (0u16, 0u32);
            let mut depacketizer = Depacketizer::new(&encoding);
            let mut canonicalizer = Canonicalizer::new(encoding.source_form());
            let mut out = Vec::new();
            for (payload, head, marker, step, gap) in &packets {
                sequence = sequence.wrapping_add(1 + u16::from(*gap == 0));
                timestamp = timestamp.wrapping_add(step * 3000);
                // Heads that mean something to one of the formats.
                let heads: [&[u8]; 6] = [&[], &[0x78, 0, 1], &[0x7c, kind], &[0x62, 1, kind], &[0, 16, 0, 8], &[0, 0, 0, 0, 1, 255]];
                let payload = [heads[usize::from(*head)], payload].concat();
                let header = Header { payload_type: 0, marker: *marker, sequence, timestamp, ssrc: 0 };
                if !payload.is_empty() {
                    depacketizer.push(&Packet { header, payload: payload.into() }, &mut out);
                }
            }
            for unit in out {
                let _ = canonicalizer.push(unit.data);
            }
        }
    }

    /// Packetizers take what is no sample of their codec.
    #[test]
    fn foreign_samples_never_panic(data in proptest::collection::vec(any::<u8>(), 0..400), limit in 0usize..200) {
        for (track, mut samples) in captures_once() {
            let Some(mut packetizer) = Packetizer::new(&track, limit) else { continue };
            samples.truncate(1);
            for sample in &mut samples {
                sample.data = data.clone().into();
                packetizer.push(sample, &mut Payloads::new(0));
            }
        }
    }
}

/// One sample of each codec.
fn captures_once() -> Vec<Track> {
    static ALL: std::sync::OnceLock<Vec<Track>> = std::sync::OnceLock::new();
    let all = ALL.get_or_init(|| {
        let image = audio(CodecParameters::Jpeg, 8000, 1, vec![(0, Bytes::new())]).1;
        let shape = VideoShape { width: 8, height: 8, pixel_aspect: (1, 1), frame_rate: None };
        let info = TrackInfo { id: TrackId(0), codec: CodecParameters::Jpeg, shape: Shape::Video(shape) };
        let mut all = captures();
        all.extend([mp3(), ac3(), pcm(pcm::Format::S24Le, 48_000, 2), (info, image)]);
        all.iter_mut().for_each(|(_, samples)| samples.truncate(1));
        all
    });
    all.clone()
}
